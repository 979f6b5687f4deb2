import type { Autonomy, AutonomyLimit } from '../model/autonomy.ts';
import type { ReplicationStatus } from '../model/replication.ts';
import type { CaStatus } from '../model/requests.ts';

export interface AutonomyFacts {
  readonly now: number;
  readonly ca: CaStatus;
  readonly replication: ReplicationStatus;
  readonly access: {
    readonly enabled: boolean;
    readonly tokensReplicated: boolean;
    readonly downPolicy: 'allow' | 'deny' | 'extend-cache' | 'async-cache';
    readonly tokenTtlMs: number;
  };
}

/** How long a datacenter can run alone, from now on. */
export function autonomyOf(facts: AutonomyFacts): Autonomy {
  const { now, ca, replication } = facts;
  const limits = replication.Primary ? [ownRoot(ca)] : [intermediate(ca), root(ca), tokens(facts), rules(replication)];
  const [first] = limits
    .filter((limit): limit is AutonomyLimit & { Seconds: number } => limit.Seconds !== null)
    .sort((a, b) => a.Seconds - b.Seconds);
  return {
    Datacenter: replication.Datacenter,
    Primary: replication.Primary,
    Seconds: first?.Seconds ?? null,
    EndsAt: first === undefined ? '' : new Date(now + first.Seconds * 1_000).toISOString(),
    LimitedBy: first?.Name ?? '',
    Limits: limits,
  };
}

function ownRoot({ RootExpiresIn, RootRotatesIn }: CaStatus): AutonomyLimit {
  return RootRotatesIn === undefined
    ? {
        Name: 'root',
        Seconds: RootExpiresIn,
        About: 'the root was given by the operator and is not replaced by itself',
      }
    : { Name: 'root', Seconds: null, About: 'the primary replaces its own root long before it ends' };
}

/** Leaves are made and renewed here for as long as it lasts, and none outlives it. */
function intermediate({ IntermediateExpiresIn, State, Reason }: CaStatus): AutonomyLimit {
  if (State === 'uninitialized')
    return { Name: 'intermediate', Seconds: 0, About: `no certificate can be issued yet: ${Reason}` };
  return {
    Name: 'intermediate',
    Seconds: IntermediateExpiresIn,
    About:
      'no certificate can be issued any more, and those that were end with it; the primary renews it at half of its ' +
      'life',
  };
}

function root({ RootExpiresIn }: CaStatus): AutonomyLimit {
  return { Name: 'root', Seconds: RootExpiresIn, About: 'no certificate of the mesh verifies any more' };
}

function tokens({ access }: AutonomyFacts): AutonomyLimit {
  const limit = (Seconds: number | null, About: string): AutonomyLimit => ({ Name: 'tokens', Seconds, About });
  if (!access.enabled) return limit(null, 'access control is off');
  if (access.tokensReplicated) return limit(null, 'all tokens are here; they end only when they expire');
  if (access.downPolicy === 'deny')
    return limit(
      Math.floor(access.tokenTtlMs / 1_000),
      'tokens are the primary’s and forgotten after acl.token_ttl (acl.down_policy is "deny"): set ' +
        'acl.enable_token_replication',
    );
  return limit(
    null,
    `tokens that were used before stay known (acl.down_policy is "${access.downPolicy}"), others do not`,
  );
}

/** They hold for ever; what they lack is what was written elsewhere since. */
function rules({ Kinds }: ReplicationStatus): AutonomyLimit {
  const age = Math.max(0, ...Kinds.map(({ LagSeconds }) => LagSeconds));
  const state =
    age === 0 ? 'they are those of the primary now' : `they are those of the primary ${Math.round(age)} s ago`;
  return { Name: 'rules', Seconds: null, About: `intentions and entries stay in force as they are; ${state}` };
}
