import { formatAddress, isLoopback } from '../../lib/address.ts';
import type { BoundAddress } from '../../rpc/transport/listener.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { Protection } from './server-tls.ts';

export interface PortProtection extends Protection {
  /** Where the server ports are bound. */
  readonly addresses: Readonly<Record<string, BoundAddress>>;
}

const OPEN =
  'allow_plaintext lets other machines in without a certificate, and anyone who reaches these ports may read and ' +
  'change ' +
  'all that no token guards: invite them (isthmus federation invite), then remove it';
const CLOSED =
  'this server has no certificate, so no other machine is let in: start it with -join-invite FILE ("isthmus ' +
  'federation ' +
  'invite" in the primary makes one), with ca_file, cert_file and key_file, or with allow_plaintext = true if the ' +
  'network ' +
  'is trusted';
const GUARDED =
  'plain text is for this machine alone; other machines need an invitation ("isthmus federation invite" makes one) ' +
  'or a ' +
  'certificate, or allow_plaintext = true here and there if the network is trusted';

/**
 * Says in one line what is open about the server ports; nothing when TLS alone is spoken, or when only this machine
 * reaches them.
 */
export function warnOfOpenPorts({ addresses, here, elsewhere, certificate }: PortProtection, log: Logger): void {
  const reachable = Object.values(addresses).filter(({ address }) => !isLoopback(address));
  if (reachable.length === 0) return;
  const shown = { addresses: reachable.map(({ address, port }) => formatAddress({ address, port })) };
  if (!elsewhere.verifyIncoming) log.warn(OPEN, shown);
  else if (!certificate) log.warn(CLOSED, shown);
  else if (!here.verifyIncoming) log.warn(GUARDED, shown);
  if (certificate && !elsewhere.verifyServerHostname)
    log.warn('a certificate that names no agent passes as that of a server: set verify_server_hostname', shown);
}
