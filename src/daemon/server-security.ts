import type { RuntimeConfig } from '../config/types.ts';
import type { Clock } from '../lib/clock.ts';
import type { TransportSecurity } from '../rpc/transport/security.ts';
import { createTlsSecurity, type TlsPolicy } from '../rpc/transport/tls.ts';
import type { Certificates } from './certificates.ts';

export interface ServerSecurity {
  /** For the listener of the server ports, and for everyone who dials a server. */
  readonly security: TransportSecurity;
  /** What is protected now. */
  protection(): { readonly policy: TlsPolicy; readonly certificate: boolean };
}

/** TLS between servers, and between agents and servers, as the configuration asks for it. */
export function createServerSecurity(config: RuntimeConfig, certificates: Certificates, clock: Clock): ServerSecurity {
  const { verifyIncoming, verifyOutgoing, verifyServerHostname } = config.tls.rpc;
  const policy = { verifyIncoming, verifyOutgoing, verifyServerHostname };
  const material = () => certificates.material('internal_rpc');
  return {
    security: createTlsSecurity({
      material,
      policy: () => policy,
      domain: config.dns.domain,
      clock,
      handshakeMs: config.limits.rpcHandshakeTimeoutMs,
    }),
    protection: () => ({ policy, certificate: material()?.own !== undefined }),
  };
}
