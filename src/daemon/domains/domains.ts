import type { RuntimeConfig } from '../../config/types.ts';
import { type Acl, createAcl } from '../../domain/acl/acl.ts';
import type { PrimaryTokens } from '../../domain/acl/token-resolver.ts';
import { type Ca, createCa, type PrimaryCa } from '../../domain/ca/ca.ts';
import { CaProviders } from '../../domain/ca/providers/providers.ts';
import { type Catalog, createCatalog } from '../../domain/catalog/catalog.ts';
import { createEntries, type Entries } from '../../domain/entries/entries.ts';
import { createEvents, type Events } from '../../domain/events/events.ts';
import { createIntentions, type Intentions } from '../../domain/intentions/intentions.ts';
import { createKv, type Kv } from '../../domain/kv/kv.ts';
import { createNodes, type Nodes } from '../../domain/nodes/nodes.ts';
import { createQueries, type Queries } from '../../domain/queries/queries.ts';
import type { Clock } from '../../lib/clock.ts';
import type { OwnCsrs } from '../../pki/csr.ts';
import type { Leadership } from '../../store/leadership.ts';
import type { Store } from '../../store/store.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { aclOptions, resetFile } from '../access/access.ts';
import type { AgentTokens } from '../access/agent-tokens.ts';
import { readKeyFile } from '../security/key-file.ts';
import { kvCatalog } from './kv-catalog.ts';
import { nodeCatalog } from './node-catalog.ts';

export interface Domains {
  readonly acl: Acl;
  readonly catalog: Catalog;
  readonly entries: Entries;
  readonly intentions: Intentions;
  readonly ca: Ca;
  readonly queries: Queries;
  readonly nodes: Nodes;
  readonly kv: Kv;
  readonly events: Events;
}

export interface DomainDeps {
  readonly config: RuntimeConfig;
  readonly store: Store;
  readonly leadership: Leadership;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Datacenters that are federated now, this one included. */
  readonly knownDatacenters: () => readonly string[];
  /** Absent in the primary. */
  readonly primaryCa?: PrimaryCa;
  /** Absent in the primary. */
  readonly primaryTokens?: PrimaryTokens;
  readonly agentTokens: AgentTokens;
  /** Signing requests that the agent in this process has made. */
  readonly ownCsrs: OwnCsrs;
}

/** Everything that owns tables; each is handed what it needs of the others. */
export function createDomains(deps: DomainDeps): Domains {
  const { config, store, leadership, clock, log, metrics } = deps;
  const { datacenter } = config;
  const acl = createAcl(
    {
      store,
      leadership,
      clock,
      log: log.child({ component: 'acl' }),
      datacenter,
      primaryDatacenter: config.primaryDatacenter,
      node: config.nodeName,
      resetFile: resetFile(config.dataDir),
      ...(deps.primaryTokens === undefined ? {} : { primary: deps.primaryTokens }),
    },
    aclOptions(config, deps.agentTokens),
  );
  const catalog = createCatalog({ store, datacenter });
  const keyEncryptionKey = readKeyFile(config.connect.caKeyEncryptionFile);
  const { cluster_id: clusterId, ...caConfig } = config.connect.caConfig as Record<string, unknown>;
  const ca = createCa(
    {
      store,
      leadership,
      clock,
      log,
      metrics,
      providers: new CaProviders({ clock, log: log.child({ component: 'ca-provider' }), http: fetch }),
      datacenter,
      primaryDatacenter: config.primaryDatacenter,
      initialConfig: {
        provider: config.connect.caProvider,
        config: caConfig,
        ...(typeof clusterId === 'string' ? { clusterId } : {}),
      },
      knownDatacenters: deps.knownDatacenters,
      ownCsrs: deps.ownCsrs,
      ...(keyEncryptionKey === undefined ? {} : { keyEncryptionKey }),
      ...(deps.primaryCa === undefined ? {} : { primary: deps.primaryCa }),
    },
    { distributeBoundMs: config.connect.rotationHoldMs },
  );
  const entries = createEntries({ store, datacenter, trustDomain: () => ca.trustDomain() ?? '' });
  const intentions = createIntentions({
    store,
    entries: entries.intentionEntries,
    datacenter,
    defaultPolicy: config.defaultIntentionPolicy,
    clock,
  });
  const health = catalog.reads['health.service'];
  const queries = createQueries({
    store,
    instances: {
      topics: (args) => health.topics(args),
      produce: (args) => health.produce({ ...args, asStored: true }),
    },
  });
  const nodes = createNodes({ store, catalog: nodeCatalog(catalog), server: config.nodeName, clock });
  const kv = createKv({
    store,
    catalog: kvCatalog(catalog),
    minTtlMs: config.limits.sessionTtlMinMs,
    clock,
    log: log.child({ component: 'sessions' }),
  });
  return { acl, catalog, entries, intentions, ca, queries, nodes, kv, events: createEvents(store) };
}
