/**
 * A link from this server to another one, as a state machine:
 *
 *     idle ──▶ dialing ──▶ handshaking ──▶ up ◀──▶ suspect
 *      ▲          │             │           │         │
 *      │          └──────┬──────┴───────────┴─────────┘
 *      │                 ▼
 *      └────── down (backoff) · refused (a longer pause) ──▶ dialing
 *
 * Each side dials the other, so between two servers there are two links, one in each direction; calls go over the link
 * of the side that makes them.
 */
export type LinkState =
  /** Not needed now: another link reaches the same server. */
  | { readonly kind: 'idle'; readonly since: number }
  /** Connecting. */
  | { readonly kind: 'dialing'; readonly since: number }
  /** Connected; the sides tell each other who they are. */
  | { readonly kind: 'handshaking'; readonly since: number }
  /** Heartbeats are answered; calls go over it. */
  | { readonly kind: 'up'; readonly since: number }
  /** Heartbeats stay unanswered; calls still go over it when there is no better one. */
  | { readonly kind: 'suspect'; readonly since: number }
  /** Broken or silent; dialled again at `retryAt`, for ever. */
  | { readonly kind: 'down'; readonly since: number; readonly reason: string; readonly retryAt: number }
  /** One side will not federate with the other until an operator changes something; tried again at `retryAt`. */
  | {
      readonly kind: 'refused';
      readonly since: number;
      readonly code: RefusalCode;
      readonly reason: string;
      readonly retryAt: number;
    };

/** Why two servers don't federate. A later version may send other words: they are shown as they come. */
export type RefusalCode =
  | 'protocol'
  | 'self'
  | 'primary'
  | 'trust_domain'
  | 'datacenter'
  | 'certificate'
  | 'name'
  | (string & {});

export interface LinkRefusal {
  readonly code: RefusalCode;
  readonly reason: string;
}

/** More than a datacenter has: whoever makes up servers fills its own datacenter's share. */
export const TOO_MANY_SERVERS: LinkRefusal = {
  code: 'datacenter',
  reason: 'as many servers of this datacenter are linked as one datacenter may have (64)',
};

/** True when calls may go over the link. */
export function isUsable(state: LinkState): boolean {
  return state.kind === 'up' || state.kind === 'suspect';
}
