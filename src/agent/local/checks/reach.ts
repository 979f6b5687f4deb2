import { type LookupAddress, type LookupOptions, lookup as lookupHost } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/** What checks may connect to beside the usual. */
export interface CheckReach {
  /** `check_allow_link_local` */
  readonly linkLocal: boolean;
  /** `check_allow_redirect_hosts` */
  readonly redirectHosts: boolean;
}

export const USUAL_REACH: CheckReach = { linkLocal: false, redirectHosts: false };

/**
 * Link-local addresses, and what clouds answer with a machine's credentials to whoever asks from it: 169.254.169.254
 * and fd00:ec2::254. A check's output is shown, so that who may register a check could read them.
 */
const LINK_LOCAL = new BlockList();
LINK_LOCAL.addSubnet('169.254.0.0', 16, 'ipv4');
LINK_LOCAL.addSubnet('fe80::', 10, 'ipv6');
LINK_LOCAL.addAddress('fd00:ec2::254', 'ipv6');

/** An IPv4 address written as IPv6 is the same one. */
export function isLinkLocal(address: string): boolean {
  const bare = address.replace(/%.*$/s, '');
  const family = isIP(bare);
  return family !== 0 && LINK_LOCAL.check(bare, family === 6 ? 'ipv6' : 'ipv4');
}

/**
 * Throws for an address that checks must not connect to. Names are looked at when they are resolved: {@link lookupFor}.
 */
export function requireReach(host: string, reach: CheckReach): void {
  if (!reach.linkLocal && isLinkLocal(host)) throw refused(host);
}

/** Resolves names, leaving out what checks must not connect to: it is this answer that is dialled, no later one. */
export function lookupFor(reach: CheckReach): LookupFunction | undefined {
  if (reach.linkLocal) return undefined;
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

/** The first address of a host that checks may connect to; throws when there is none. */
export async function resolveWithin(host: string, reach: CheckReach): Promise<LookupAddress> {
  requireReach(host, reach);
  const lookup = lookupFor(reach);
  return await new Promise((resolve, reject) => {
    const done = (error: Error | null, address: string | LookupAddress[], family = 0): void => {
      if (error !== null) reject(error);
      else resolve({ address: address as string, family });
    };
    if (lookup === undefined) lookupHost(host, {}, done);
    else lookup(host, {}, done);
  });
}

function refused(host: string): Error {
  return new Error(`${host} is a link-local address, which checks don't connect to: see check_allow_link_local`);
}
