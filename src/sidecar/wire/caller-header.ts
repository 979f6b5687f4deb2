import { createHash } from 'node:crypto';
import { type HeaderLine, isReadAs } from '../../model/layer7/request.ts';
import type { Peer } from './peer.ts';

/** Who calls, for the application: the header and the words that Envoy uses. */
const CALLER = 'x-forwarded-client-cert';

const HASHES = new WeakMap<Peer, string>();

/** The header in place of any that came: only what the certificate proves is passed on. */
export function withCaller(headers: readonly HeaderLine[], own: string, peer: Peer): readonly HeaderLine[] {
  return [...withoutCaller(headers), [CALLER, `By=${own};Hash=${hashOf(peer)};URI=${peer.uri}`]];
}

export function withoutCaller(headers: readonly HeaderLine[]): readonly HeaderLine[] {
  return headers.filter(([name]) => !isReadAs(name, CALLER));
}

function hashOf(peer: Peer): string {
  let hash = HASHES.get(peer);
  if (hash === undefined) {
    hash = createHash('sha256')
      .update(peer.chain[0]?.der ?? '')
      .digest('hex');
    HASHES.set(peer, hash);
  }
  return hash;
}
