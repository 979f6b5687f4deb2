import { type LookupAddress, type LookupOptions, lookup as lookupHost } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/**
 * Link-local addresses, and what clouds answer with a machine's credentials to whoever asks from it: 169.254.169.254,
 * fd00:ec2::254 (AWS), fd20:ce::254 (Google), 100.100.100.200 (Alibaba), and IPv4's by way of NAT64.
 */
const LINK_LOCAL = new BlockList();
LINK_LOCAL.addSubnet('169.254.0.0', 16, 'ipv4');
LINK_LOCAL.addAddress('100.100.100.200', 'ipv4');
LINK_LOCAL.addSubnet('fe80::', 10, 'ipv6');
LINK_LOCAL.addAddress('fd00:ec2::254', 'ipv6');
LINK_LOCAL.addAddress('fd20:ce::254', 'ipv6');
LINK_LOCAL.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6');
LINK_LOCAL.addAddress('64:ff9b::6464:64c8', 'ipv6');

/** An IPv4 address written as IPv6 is the same one. */
export function isLinkLocal(address: string): boolean {
  const bare = address.replace(/%.*$/s, '');
  const family = isIP(bare);
  return family !== 0 && LINK_LOCAL.check(bare, family === 6 ? 'ipv6' : 'ipv4');
}

/**
 * Resolves names, leaving out link-local addresses: it is this answer that is dialled, no later one. Node does not look
 * up what is an address already: see {@link isLinkLocal}.
 * @param refused the error for a name that has no other address
 */
export function lookupOutside(refused: (host: string) => Error): LookupFunction {
  return (host, options: LookupOptions, done) => {
    lookupHost(host, { ...options, all: true }, (error, found) => {
      if (error !== null) {
        done(error, '', 0);
        return;
      }
      const kept = found.filter(({ address }) => !isLinkLocal(address));
      const [first] = kept;
      if (first === undefined) done(refused(host), '', 0);
      else if (options.all === true) (done as (error: null, all: LookupAddress[]) => void)(null, kept);
      else done(null, first.address, first.family);
    });
  };
}
