import { type LookupAddress, lookup as lookupHost } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isLinkLocal, lookupOutside } from '../../../lib/link-local.ts';

/** What checks may connect to beside the usual. A check's output is shown to others than who may ask the machine. */
export interface CheckReach {
  /** `check_allow_link_local` */
  readonly linkLocal: boolean;
  /** `check_allow_redirect_hosts` */
  readonly redirectHosts: boolean;
}

export const USUAL_REACH: CheckReach = { linkLocal: false, redirectHosts: false };

/**
 * Throws for an address that checks must not connect to. Names are looked at when they are resolved: {@link lookupFor}.
 */
export function requireReach(host: string, reach: CheckReach): void {
  if (!reach.linkLocal && isLinkLocal(host)) throw refused(host);
}

/** Resolves names, leaving out what checks must not connect to: it is this answer that is dialled, no later one. */
export function lookupFor(reach: CheckReach): LookupFunction | undefined {
  if (reach.linkLocal) return undefined;
  return lookupOutside(refused);
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
