import { expect, it } from 'vitest';
import type { KindReplication } from '../model/replication.ts';
import type { CaStatus } from '../model/requests.ts';
import { type AutonomyFacts, autonomyOf } from './autonomy.ts';

const CA: CaStatus = {
  Datacenter: 'dc2',
  Provider: 'consul',
  State: 'ready',
  Reason: '',
  TrustDomain: 't.consul',
  ActiveRootID: 'r',
  RootExpiresIn: 86_400_000,
  IntermediateExpiresIn: 31_000_000,
  IntermediateRenewsIn: 15_000_000,
  LastRenewalError: '',
};

function facts(more: {
  ca?: Partial<CaStatus>;
  access?: Partial<AutonomyFacts['access']>;
  primary?: boolean;
  lag?: number;
}): AutonomyFacts {
  return {
    now: Date.UTC(2026, 0, 1),
    ca: { ...CA, ...more.ca },
    replication: {
      Datacenter: 'dc2',
      PrimaryDatacenter: 'dc1',
      Primary: more.primary ?? false,
      TokenProblem: '',
      Kinds: [{ Kind: 'config-entries', LagSeconds: more.lag ?? 0 } as KindReplication],
    },
    access: { enabled: false, tokensReplicated: false, downPolicy: 'extend-cache', tokenTtlMs: 30_000, ...more.access },
  };
}

it('is the shortest of what a secondary has from the primary', () => {
  expect(autonomyOf(facts({}))).toMatchObject({
    Datacenter: 'dc2',
    Seconds: 31_000_000,
    EndsAt: new Date(Date.UTC(2026, 0, 1) + 31_000_000_000).toISOString(),
    LimitedBy: 'intermediate',
  });
  expect(autonomyOf(facts({ ca: { RootExpiresIn: 5 } }))).toMatchObject({ Seconds: 5, LimitedBy: 'root' });
  const denying = { enabled: true, downPolicy: 'deny' } as const;
  expect(autonomyOf(facts({ access: denying }))).toMatchObject({ Seconds: 30, LimitedBy: 'tokens' });
  expect(autonomyOf(facts({ access: { ...denying, tokensReplicated: true } }))).toMatchObject({
    LimitedBy: 'intermediate',
  });
});

it('is nothing before the first intermediate has come, and says why', () => {
  const ca = { State: 'uninitialized', Reason: 'waiting for dc1' } as const;
  const autonomy = autonomyOf(facts({ ca }));
  expect(autonomy).toMatchObject({ Seconds: 0, LimitedBy: 'intermediate' });
  expect(autonomy.Limits[0]?.About).toContain('waiting for dc1');
});

it('does not end in a primary that replaces its own root', () => {
  expect(autonomyOf(facts({ primary: true, ca: { RootRotatesIn: 1_000 } }))).toMatchObject({
    Seconds: null,
    EndsAt: '',
    LimitedBy: '',
  });
  expect(autonomyOf(facts({ primary: true }))).toMatchObject({ Seconds: 86_400_000, LimitedBy: 'root' });
});

it('tells how old the rules are', () => {
  const about = (lag: number) => autonomyOf(facts({ lag })).Limits.find(({ Name }) => Name === 'rules')?.About;
  expect(about(0)).toContain('those of the primary now');
  expect(about(90.4)).toContain('90 s ago');
});
