import type { RpcTls } from '../../config/types.ts';
import type { Clock } from '../../lib/clock.ts';
import type { TransportSecurity } from '../../rpc/transport/security.ts';
import { createTlsSecurity, type OtherProtocol, type TlsPolicy } from '../../rpc/transport/tls.ts';
import type { Certificates } from './certificates.ts';
import { policyFor } from './policy.ts';

export interface ServerTlsOptions {
  readonly rpc: RpcTls;
  readonly datacenter: string;
  /** Of the names of servers. */
  readonly domain: string;
  readonly handshakeMs: number;
}

export interface ServerTlsDeps {
  readonly certificates: Pick<Certificates, 'material'>;
  /** Whether this datacenter has joined its primary by an invitation. */
  readonly hasJoined: () => boolean;
  readonly clock: Clock;
}

/** What is protected now. */
export interface Protection {
  /** What is asked of this machine, and of others. */
  readonly here: TlsPolicy;
  readonly elsewhere: TlsPolicy;
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

/**
 * TLS between servers, and between agents and servers: with certificates from files, or from the datacenter's
 * authority.
 */
export function createServerTls(options: ServerTlsOptions, deps: ServerTlsDeps): ServerTls {
  const { rpc, datacenter, domain, handshakeMs } = options;
  const { certificates, hasJoined, clock } = deps;
  const policy = (elsewhere: boolean): TlsPolicy => policyFor(rpc, hasJoined(), elsewhere);
  const material = () => certificates.material('internal_rpc');
  const parts = { material, policy, domain, datacenter, clock, handshakeMs };
  return {
    dialling: createTlsSecurity(parts),
    accepting: (other) => createTlsSecurity({ ...parts, other }),
    protection: () => ({
      here: policy(false),
      elsewhere: policy(true),
      certificate: material()?.own !== undefined,
    }),
  };
}
