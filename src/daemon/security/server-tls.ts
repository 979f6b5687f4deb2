import type { RpcTls } from '../../config/types.ts';
import type { Clock } from '../../lib/clock.ts';
import type { TransportSecurity } from '../../rpc/transport/security.ts';
import { createTlsSecurity, type OtherProtocol, type TlsPolicy } from '../../rpc/transport/tls.ts';
import type { Certificates } from './certificates.ts';
import { fromFiles, STRICT } from './policy.ts';

export interface ServerTlsOptions {
  readonly rpc: RpcTls;
  readonly datacenter: string;
  /** Of the names of servers. */
  readonly domain: string;
  readonly handshakeMs: number;
}

export interface ServerTlsDeps {
  readonly certificates: Pick<Certificates, 'material'>;
  /** Whether this datacenter has an authority of its own, made or joined with. */
  readonly hasAuthority: () => boolean;
  readonly clock: Clock;
}

/** What is protected now. */
export interface Protection {
  readonly policy: TlsPolicy;
  /** Whether this server has a certificate of its own. */
  readonly certificate: boolean;
}

export interface ServerTls {
  /** For everyone who dials a server. */
  readonly dialling: TransportSecurity;
  /** For the listener of the server ports, on which those without a certificate may ask for one. */
  accepting(enrolment: OtherProtocol): TransportSecurity;
  protection(): Protection;
}

/** TLS between servers, and between agents and servers: with certificates from files, or from the datacenter's authority. */
export function createServerTls(options: ServerTlsOptions, deps: ServerTlsDeps): ServerTls {
  const { rpc, datacenter, domain, handshakeMs } = options;
  const { certificates, hasAuthority, clock } = deps;
  const files = rpc.managed || fromFiles(rpc);
  // A datacenter that joined by an invitation is protected whether its configuration still says so or not.
  const policy = (): TlsPolicy => (files || !hasAuthority() ? rpc : STRICT);
  const material = () => certificates.material('internal_rpc');
  const parts = { material, policy, domain, datacenter, clock, handshakeMs };
  return {
    dialling: createTlsSecurity(parts),
    accepting: (other) => createTlsSecurity({ ...parts, other }),
    protection: () => ({ policy: policy(), certificate: material()?.own !== undefined }),
  };
}
