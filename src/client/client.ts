import { type AclApi, createAclApi } from './acl.ts';
import { type AgentApi, createAgentApi } from './agent.ts';
import { type CaApi, createCaApi } from './ca.ts';
import { type CatalogApi, createCatalogApi, createHealthApi, type HealthApi } from './catalog.ts';
import { type ConfigEntriesApi, createConfigEntriesApi } from './config-entries.ts';
import { type CoordinatesApi, createCoordinatesApi } from './coordinates.ts';
import { createIntentionsApi, type IntentionsApi } from './intentions.ts';
import { createKvApi, type KvApi } from './kv.ts';
import { createOperatorApi, type OperatorApi } from './operator.ts';
import type { ClientOptions } from './options.ts';
import { createQueriesApi, type QueriesApi } from './queries.ts';
import { createSessionsApi, type SessionsApi } from './sessions.ts';
import { createSnapshotsApi, type SnapshotsApi } from './snapshots.ts';
import { createTransport, type Transport } from './transport.ts';

/** Typed client of an agent's HTTP API. Every method rejects with an IsthmusError. */
export interface Client {
  readonly catalog: CatalogApi;
  readonly health: HealthApi;
  readonly agent: AgentApi;
  readonly intentions: IntentionsApi;
  readonly ca: CaApi;
  readonly config: ConfigEntriesApi;
  readonly operator: OperatorApi;
  readonly queries: QueriesApi;
  readonly coordinates: CoordinatesApi;
  readonly acl: AclApi;
  readonly snapshots: SnapshotsApi;
  readonly kv: KvApi;
  readonly sessions: SessionsApi;
  /** For endpoints without a method of their own. */
  readonly transport: Transport;
  /** Drops idle connections; calls under way fail. */
  close(): void;
}

export function createClient(options: ClientOptions): Client {
  const transport = createTransport(options);
  return {
    catalog: createCatalogApi(transport),
    health: createHealthApi(transport),
    agent: createAgentApi(transport),
    intentions: createIntentionsApi(transport),
    ca: createCaApi(transport),
    config: createConfigEntriesApi(transport),
    operator: createOperatorApi(transport),
    queries: createQueriesApi(transport),
    coordinates: createCoordinatesApi(transport),
    acl: createAclApi(transport),
    snapshots: createSnapshotsApi(transport),
    kv: createKvApi(transport),
    sessions: createSessionsApi(transport),
    transport,
    close: transport.close,
  };
}
