import type { PeerCertificate } from 'node:tls';
import type { RuntimeConfig } from '../../config/types.ts';
import { type Granted, TransportAuthority } from '../../domain/enrolment/authority.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { agentName } from '../../pki/agent-certs.ts';
import type { TlsMaterial } from '../../pki/tls-material.ts';
import { EnrolServer } from '../../rpc/transport/enrol-server.ts';
import type { EnrolReply, EnrolRequest } from '../../rpc/transport/enrol-wire.ts';
import type { TransportSecurity } from '../../rpc/transport/security.ts';
import { clientNode, createTlsSecurity, hasName, serverDatacenters, type TlsPolicy } from '../../rpc/transport/tls.ts';
import type { Store } from '../../store/store.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { Certificates } from './certificates.ts';
import { readKeyFile } from './key-file.ts';
import { ManagedCertificates } from './managed-certificates.ts';

export interface ServerSecurityDeps {
  readonly config: RuntimeConfig;
  readonly store: Store;
  readonly certificates: Certificates;
  /** host:port of this server, for other datacenters and within its own. */
  readonly address: (network: 'wan' | 'lan') => string;
  /** host:port of the primary's servers that are reached now. */
  readonly primaryServers: () => readonly string[];
  /** A token with which a datacenter replicates; '' where access control is off. Asked again with the same accessor, it is the same one. */
  readonly replicationToken: (accessor: string, datacenter: string) => Promise<string>;
  /** Datacenters that are known now: no other may join under their names. */
  readonly knownDatacenters: () => readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface ServerSecurity {
  /** For the listener of the server ports, and for everyone who dials a server. */
  readonly security: TransportSecurity;
  readonly authority: TransportAuthority;
  readonly managed: ManagedCertificates;
  /** Where the primary was reached when this datacenter joined by an invitation. */
  joinedAddresses(): readonly string[];
  /** The certificate that this datacenter's authority made; undefined without one. */
  material(): TlsMaterial | undefined;
  /** What is protected now. */
  protection(): { readonly policy: TlsPolicy; readonly certificate: boolean };
  /** To start right after the store, in this order. */
  readonly services: readonly Service[];
}

const STRICT: TlsPolicy = { verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true };

/** TLS between servers, and between agents and servers: with certificates from files, or from the datacenter's authority. */
export function createServerSecurity(deps: ServerSecurityDeps): ServerSecurity {
  const { config, store, certificates, clock, metrics } = deps;
  const log = deps.log.child({ component: 'tls' });
  const encryptionKey = readKeyFile(config.connect.caKeyEncryptionFile);
  const { rpc } = config.tls;
  const { domain } = config.dns;
  const authority = new TransportAuthority({
    store,
    clock,
    datacenter: config.datacenter,
    primaryDatacenter: config.primaryDatacenter,
    domain,
    certMs: rpc.managedCertMs,
    addresses: (kind) => [deps.address(kind === 'agent' ? 'lan' : 'wan')],
    known: deps.knownDatacenters,
    ...(encryptionKey === undefined ? {} : { encryptionKey }),
  });
  const managed = new ManagedCertificates({ config, authority, primaryServers: deps.primaryServers, clock, log });
  const enrolment = new EnrolServer({
    datacenter: config.datacenter,
    answer: (request, certificate) => answer(authority, deps, request, certificate),
    clock,
    log,
    metrics,
    limitMs: config.limits.rpcHandshakeTimeoutMs,
  });
  const configured: TlsPolicy = rpc;
  const fromFiles = rpc.managed || rpc.caFile !== '' || rpc.caPath !== '' || rpc.certFile !== '';
  // A datacenter that joined by an invitation is protected whether its configuration still says so or not.
  const policy = (): TlsPolicy => (fromFiles || authority.row === undefined ? configured : STRICT);
  const material = (): TlsMaterial | undefined => certificates.material('internal_rpc');
  return {
    security: createTlsSecurity({
      material,
      policy,
      domain,
      datacenter: config.datacenter,
      other: enrolment,
      clock,
      handshakeMs: config.limits.rpcHandshakeTimeoutMs,
    }),
    authority,
    managed,
    joinedAddresses: () => managed.addresses(),
    material: () => managed.material,
    protection: () => ({ policy: policy(), certificate: material()?.own !== undefined }),
    services: [managed, enrolment],
  };
}

async function answer(
  authority: TransportAuthority,
  { config, replicationToken }: ServerSecurityDeps,
  request: EnrolRequest,
  certificate: PeerCertificate | undefined,
): Promise<EnrolReply> {
  if (request.op === 'join') {
    const { chain, root, row, use } = await authority.join(request);
    const token = row.kind === 'datacenter' ? await replicationToken(use.accessor, use.datacenter) : '';
    return { chain, root, token };
  }
  const { chain, root } = await renew(authority, config, request, certificate);
  return { chain, root, token: '' };
}

/** A certificate is renewed for the name that the present one has. */
async function renew(
  authority: TransportAuthority,
  { datacenter, dns }: RuntimeConfig,
  { csr, proof }: Extract<EnrolRequest, { op: 'renew' }>,
  certificate: PeerCertificate | undefined,
): Promise<Granted> {
  const [server, ...more] = serverDatacenters(certificate, dns.domain);
  if (server !== undefined && more.length === 0 && server !== datacenter)
    return authority.renewDatacenter(server, csr, proof);
  if (server === undefined && hasName(certificate, agentName('client', datacenter, dns.domain)))
    return authority.renewAgent(clientNode(certificate, datacenter, dns.domain) ?? '', csr);
  throw new IsthmusError(
    'permission_denied',
    'only a datacenter or an agent that has a certificate of this authority can renew it: join with an invitation',
  );
}
