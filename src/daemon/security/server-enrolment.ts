import type { PeerCertificate } from 'node:tls';
import type { Granted, TransportAuthority } from '../../domain/enrolment/authority.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { agentName } from '../../pki/agent-certs.ts';
import { EnrolServer } from '../../rpc/transport/enrol-server.ts';
import type { EnrolReply, EnrolRequest } from '../../rpc/transport/enrol-wire.ts';
import { clientNode, hasName, type OtherProtocol, serverDatacenters } from '../../rpc/transport/tls.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { Certificates } from './certificates.ts';
import { ManagedCertificates } from './managed-certificates.ts';
import type { SecurityOptions } from './options.ts';

export interface ServerEnrolmentDeps {
  readonly options: SecurityOptions;
  readonly authority: TransportAuthority;
  /** Takes the certificate that the authority made for this server. */
  readonly certificates: Pick<Certificates, 'useManaged'>;
  /** host:port of the primary's servers that are reached now. */
  readonly primaryServers: () => readonly string[];
  /**
   * A token with which a datacenter replicates; '' where access control is off. Asked again with the same accessor, it
   * is the same one.
   */
  readonly replicationToken: (accessor: string, datacenter: string) => Promise<string>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface ServerEnrolment {
  /** Answers those who ask for a certificate, on the server ports. */
  readonly protocol: OtherProtocol;
  readonly managed: ManagedCertificates;
  /** To start right after the store, in this order. */
  readonly services: readonly Service[];
}

/** How this server gets its certificate from the datacenter's authority, and how others get theirs. */
export function createServerEnrolment(deps: ServerEnrolmentDeps): ServerEnrolment {
  const { options, authority, clock, metrics } = deps;
  const log = deps.log.child({ component: 'tls' });
  const managed = new ManagedCertificates({
    options,
    authority,
    primaryServers: deps.primaryServers,
    onIssued: (material) => deps.certificates.useManaged(material),
    clock,
    log,
  });
  const protocol = new EnrolServer({
    datacenter: options.datacenter,
    answer: (request, certificate) => answer(authority, deps, request, certificate),
    clock,
    log,
    metrics,
    limitMs: options.handshakeMs,
  });
  return { protocol, managed, services: [managed, protocol] };
}

async function answer(
  authority: TransportAuthority,
  { options, replicationToken }: ServerEnrolmentDeps,
  request: EnrolRequest,
  certificate: PeerCertificate | undefined,
): Promise<EnrolReply> {
  if (request.op === 'join') {
    const { chain, root, row, use } = await authority.join(request);
    const token = row.kind === 'datacenter' ? await replicationToken(use.accessor, use.datacenter) : '';
    return { chain, root, token };
  }
  const { chain, root } = await renew(authority, options, request, certificate);
  return { chain, root, token: '' };
}

/** A certificate is renewed for the name that the present one has. */
async function renew(
  authority: TransportAuthority,
  { datacenter, domain }: SecurityOptions,
  { csr, proof }: Extract<EnrolRequest, { op: 'renew' }>,
  certificate: PeerCertificate | undefined,
): Promise<Granted> {
  const [server, ...more] = serverDatacenters(certificate, domain);
  if (server !== undefined && more.length === 0 && server !== datacenter)
    return authority.renewDatacenter(server, csr, proof);
  if (server === undefined && hasName(certificate, agentName('client', datacenter, domain)))
    return authority.renewAgent(clientNode(certificate, datacenter, domain) ?? '', csr);
  throw new IsthmusError(
    'permission_denied',
    'only a datacenter or an agent that has a certificate of this authority can renew it: join with an invitation',
  );
}
