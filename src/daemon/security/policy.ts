import type { RpcTls } from '../../config/types.ts';
import type { TlsPolicy } from '../../rpc/transport/tls.ts';

/** Where certificates come from the datacenter's authority. */
export const STRICT: TlsPolicy = { verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true };

export function fromFiles({ caFile, caPath, certFile }: RpcTls): boolean {
  return caFile !== '' || caPath !== '' || certFile !== '';
}
