/** API types of invitations and of the authority behind the certificates of the server ports. */

/** Who is invited: a new datacenter, or a client agent of the datacenter that invites. */
export type InvitationKind = 'datacenter' | 'agent';

export interface InviteArgs {
  readonly Kind?: InvitationKind;
  /** The only datacenter that may use it; '' any new one. */
  readonly JoiningDatacenter?: string;
  /** How long it is good, milliseconds. */
  readonly TTL?: number;
  /** Where the joiner dials, host:port; empty: the WAN addresses of this datacenter's servers. */
  readonly Addresses?: readonly string[];
}

/** What an operator hands to the joiner. Shown once: only a hash of its secret is kept. */
export interface MadeInvitation {
  readonly ID: string;
  readonly Invitation: string;
  readonly ExpiresAt: string;
}

export type InvitationState = 'open' | 'used' | 'expired';

/** An invitation in a list. */
export interface ListedInvitation {
  readonly ID: string;
  readonly Kind: InvitationKind;
  /** '' where any new datacenter may use it. */
  readonly JoiningDatacenter: string;
  readonly State: InvitationState;
  readonly CreatedAt: string;
  readonly ExpiresAt: string;
  /** '' before. */
  readonly UsedAt: string;
  /** `node.datacenter`; '' before. */
  readonly UsedBy: string;
}
