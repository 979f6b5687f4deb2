import type { RuntimeConfig } from '../../config/types.ts';
import type { TransportAuthority } from '../../domain/enrolment/authority.ts';
import type { Federation } from '../../federation/federation.ts';
import type { Replicator } from '../../federation/replication/replicator.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { autonomyOf } from '../../server/autonomy.ts';
import {
  ASKED,
  type AskedReads,
  liveRead,
  type ReadDefinitions,
  type WriteDefinitions,
} from '../../server/definitions.ts';
import type { Resolver } from '../../server/resolve/resolver.ts';
import type { Leadership } from '../../store/leadership.ts';
import type { Store } from '../../store/store.ts';
import { aclReads } from '../access/access.ts';
import { forceLeave, removeServer } from '../server/force-leave.ts';
import type { Domains } from './domains.ts';
import type { createOperatorReads } from './operator-reads.ts';

/** Which domain answers each read of the contract. */
export function readDefinitions(
  domains: Domains,
  transport: TransportAuthority,
  operator: ReturnType<typeof createOperatorReads>,
  replicator: Replicator,
  config: RuntimeConfig,
  now: () => number,
): ReadDefinitions {
  return {
    ...operator,
    ...aclReads(domains.acl, config, replicator),
    ...domains.catalog.reads,
    ...domains.entries.reads,
    ...domains.intentions.reads,
    ...domains.ca.reads,
    ...replicator.reads,
    ...domains.queries.reads,
    ...transport.invitations.reads,
    ...domains.nodes.reads,
    ...domains.kv.reads,
    ...domains.events.reads,
    'federation.autonomy': liveRead(() =>
      autonomyOf({
        now: now(),
        ca: domains.ca.status(),
        replication: replicator.reads['replication.status'].produce({}),
        access: {
          enabled: config.acl.enabled,
          tokensReplicated: config.acl.enableTokenReplication,
          downPolicy: config.acl.downPolicy,
          tokenTtlMs: config.acl.tokenTtlMs,
        },
      }),
    ),
    'queries.execute': ASKED,
    'queries.forecast': ASKED,
    'replication.applied': ASKED,
    'upstreams.resolve': ASKED,
  };
}

/** Who answers the reads that take time. */
export function askedReads(resolver: Resolver, replicator: Replicator, store: Pick<Store, 'revision'>): AskedReads {
  return {
    'replication.applied': {
      async ask({ kind, revision }, { signal }) {
        await replicator.waitApplied(kind, revision, signal);
        return store.revision;
      },
    },
    'queries.execute': {
      ask: (args, options) => resolver.execute(args, options),
      follow: (args, options) => resolver.follow(args, options),
    },
    'queries.forecast': { ask: (args, options) => resolver.forecast(args, options) },
    'upstreams.resolve': { follow: (args, options) => resolver.upstream(args, options) },
  };
}

/** Which domain carries out each write of the contract. */
export function writeDefinitions(
  { acl, catalog, entries, intentions, ca, queries, nodes, kv, events }: Domains,
  transport: TransportAuthority,
  replicator: Pick<Replicator, 'writes'>,
  federation: Pick<Federation, 'forceLeave'>,
  leadership: Pick<Leadership, 'handOver'>,
): WriteDefinitions {
  return {
    ...acl.writes,
    ...catalog.writes,
    ...entries.writes,
    ...intentions.writes,
    ...ca.writes,
    ...queries.writes,
    ...kv.writes,
    ...events.writes,
    ...replicator.writes,
    ...transport.writes,
    ...transport.invitations.writes,
    async 'nodes.forceLeave'(args) {
      await forceLeave(nodes, federation, args);
      return null;
    },
    'operator.setAutopilot': (args) => nodes.autopilot.set(args),
    async 'operator.removeServer'(args) {
      await removeServer(nodes, args);
      return null;
    },
    async 'operator.transferLeader'() {
      if (nodes.servers().length < 2)
        throw new IsthmusError('rejected', 'cannot find peer: no other server of this datacenter lives');
      await leadership.handOver();
      return null;
    },
  };
}
