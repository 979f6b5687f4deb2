import { formatAddress } from '../../federation/address.ts';
import type { BoundAddress } from '../../rpc/transport/listener.ts';
import type { TlsPolicy } from '../../rpc/transport/tls.ts';
import type { Logger } from '../../telemetry/types.ts';

export interface PortProtection {
  /** Where the server ports are bound. */
  readonly addresses: Readonly<Record<string, BoundAddress>>;
  readonly policy: TlsPolicy;
  /** Whether this server has a certificate of its own. */
  readonly certificate: boolean;
}

/** Says what is open about the server ports; nothing when they are protected, or when only this machine reaches them. */
export function warnOfOpenPorts({ addresses, policy, certificate }: PortProtection, log: Logger): void {
  const reachable = Object.values(addresses).filter(({ address }) => !isLoopback(address));
  if (reachable.length === 0) return;
  const shown = { addresses: reachable.map(({ address, port }) => formatAddress({ address, port })) };
  if (!certificate && !policy.verifyOutgoing) {
    log.warn('the server ports are not protected by TLS: let only servers reach them', shown);
    return;
  }
  const open = [
    ...(policy.verifyIncoming ? [] : ['plain text and callers without a certificate are let in: set verify_incoming']),
    ...(policy.verifyOutgoing ? [] : ['other servers are dialled in plain text: set verify_outgoing']),
    ...(policy.verifyServerHostname
      ? []
      : ['a certificate that names no agent passes as that of a server: set verify_server_hostname']),
  ];
  if (open.length > 0) log.warn('the server ports are only partly protected by TLS', { ...shown, open });
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}
