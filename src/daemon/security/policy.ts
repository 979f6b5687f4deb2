import type { RpcTls, RuntimeConfig } from '../../config/types.ts';
import { isLoopback } from '../../lib/address.ts';
import type { TlsPolicy } from '../../rpc/transport/tls.ts';

/** Where certificates come from the datacenter's authority. */
const STRICT: TlsPolicy = { verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true };

/**
 * What is asked of the other side. Plain text is for this machine, unless the configuration allows it to others.
 * @param joined whether certificates came with an invitation: then TLS is spoken whether the configuration says so or
 * not
 */
export function policyFor(rpc: RpcTls, joined: boolean, elsewhere: boolean): TlsPolicy {
  if (fromFiles(rpc)) return elsewhere ? rpc.elsewhere : rpc;
  if (joined && !rpc.managed) return { ...STRICT, verifyIncoming: !rpc.allowPlaintext };
  const { verifyIncoming, verifyOutgoing, verifyServerHostname } = elsewhere ? rpc.elsewhere : rpc;
  // Where nothing is configured, all certificates that there are name their agent.
  const names = verifyServerHostname || !rpc.managed;
  return { verifyIncoming, verifyOutgoing, verifyServerHostname: names, preferTls: true };
}

/**
 * True for a server that other machines reach and whose configuration says nothing of TLS: it has managed certificates.
 */
export function isManagedByDefault({ listeners, tls: { rpc } }: RuntimeConfig): boolean {
  const addresses = [...listeners.server, ...listeners.serfLan, ...listeners.serfWan];
  const reachable = addresses.some((address) => address.kind === 'tcp' && !isLoopback(address.host));
  return reachable && !rpc.managed && !rpc.allowPlaintext && !fromFiles(rpc);
}

export function fromFiles({ caFile, caPath, certFile }: RpcTls): boolean {
  return caFile !== '' || caPath !== '' || certFile !== '';
}
