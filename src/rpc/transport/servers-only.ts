import { IsthmusError } from '../../lib/errors.ts';
import { WRITES, type WriteName } from '../contract/writes.ts';
import type { PeerIdentity } from './security.ts';

/**
 * Refuses what only a server may ask, and what a server may ask for its own datacenter alone, where certificates say who
 * calls. Tokens are checked beside it.
 * @param caller looked up only when it matters; undefined where identities are not checked
 * @param own datacenter whose servers are believed: they have checked who asked them
 */
export function checkWriter(
  name: WriteName,
  args: unknown,
  caller: () => PeerIdentity | undefined,
  own: string | undefined,
): void {
  const { speaksFor } = WRITES[name];
  if (speaksFor === undefined) return;
  const peer = checkServer(name, caller);
  if (peer === undefined) return;
  const wanted = (args as Readonly<Record<string, unknown>>)[speaksFor];
  if (peer.serverOf.some((of) => of === wanted || of === own)) return;
  throw new IsthmusError(
    'permission_denied',
    `${name} for another datacenter than that of the caller's certificate (${peer.name})`,
  );
}

export function checkServer(what: string, caller: () => PeerIdentity | undefined): PeerIdentity | undefined {
  const peer = caller();
  if (peer !== undefined && peer.serverOf.length === 0)
    throw new IsthmusError('permission_denied', `${what} is for servers, and ${peer.name} is the certificate of none`);
  return peer;
}
