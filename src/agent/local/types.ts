import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import type { HealthCheck } from '../../model/catalog.ts';
import type { ScriptsAllowed } from '../../model/registration/check-rules.ts';
import type { CheckDefinition, ServiceDefinition } from '../../model/registration/definitions.ts';
import type { ServiceForm } from '../../model/service-form.ts';
import type { ExposedPath } from '../../model/sidecar.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { CheckReach } from './checks/reach.ts';
import type { AgentService, ServiceHealth } from './forms.ts';
import type { ChangeListener } from './registry.ts';

/** Meta that every node carries, as Consul's agents write it. */
export const OWN_META: Readonly<Record<string, string>> = { 'consul-network-segment': '' };

export interface LocalStateDeps {
  readonly contract: ServerContract;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Chance in [0, 1); default Math.random. */
  readonly random?: () => number;
  /** The agent's own token for the catalog. */
  readonly token?: () => string | undefined;
  /** Token for what files define without one, before {@link token}. */
  readonly fileToken?: () => string;
}

export interface LocalStateOptions {
  readonly node: string;
  readonly nodeId: string;
  readonly datacenter: string;
  readonly address: string;
  readonly taggedAddresses: Readonly<Record<string, string>>;
  /** From the configuration; the agent adds what every node has ({@link OWN_META}). */
  readonly nodeMeta?: Readonly<Record<string, string>>;
  /** Registrations are kept in it; absent or '' keeps nothing. */
  readonly dataDir?: string;
  /** Default 21000 to 21255; `min` 0 gives out none. */
  readonly sidecarPorts?: { readonly min: number; readonly max: number };
  /** Of paths of checks (`expose.checks`); default 21500 to 21755. */
  readonly exposePorts?: { readonly min: number; readonly max: number };
  /** Default 60 s, plus up to a quarter. */
  readonly fullSyncIntervalMs?: number;
  /** How long a changed output alone may wait; default 5 min. */
  readonly checkUpdateIntervalMs?: number;
  /** Bytes of output kept of a check; default 4,096. */
  readonly checkOutputMaxSize?: number;
  /** Keeps no output of checks at all. */
  readonly discardCheckOutput?: boolean;
  /** Default: neither link-local addresses nor redirects to another host. */
  readonly checkReach?: CheckReach;
  /** Whose commands checks run; default no one's. */
  readonly scripts?: ScriptsAllowed;
  /** Environment of the programs that checks run; default empty. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface RegisterOptions {
  readonly token?: string;
  readonly replaceExistingChecks?: boolean;
}

/** Once started, checks run and rows are synced. */
export interface LocalState extends Service {
  /** By ID, as /v1/agent/services shows them. */
  services(): readonly AgentService[];
  /** With its content hash; throws `not_found`. */
  service(id: string): AgentService;
  /** As it goes to the catalog: what a proxy's configuration is made of. */
  serviceForm(id: string): ServiceForm | undefined;
  /** The service once its content hash is not `hash`, or as it is when `waitMs` has passed; throws `not_found`. */
  waitService(id: string, hash: string, waitMs: number, signal: AbortSignal): Promise<AgentService>;
  /** By ID, as /v1/agent/checks shows them. */
  checks(): readonly HealthCheck[];
  healthById(id: string): ServiceHealth | undefined;
  healthByName(name: string): readonly ServiceHealth[];
  /** Throws `invalid_argument` with Consul's texts; resolves once the registration outlives a crash. */
  registerService(definition: ServiceDefinition, options?: RegisterOptions): Promise<void>;
  /** What is not registered is fine. */
  deregisterService(id: string): Promise<void>;
  /** Throws `not_found` when the service is not registered. */
  setServiceMaintenance(id: string, enable: boolean, reason: string, options?: RegisterOptions): Promise<void>;
  setNodeMaintenance(enable: boolean, reason: string, options?: RegisterOptions): Promise<void>;
  registerCheck(definition: CheckDefinition, options?: RegisterOptions): Promise<void>;
  deregisterCheck(id: string): Promise<void>;
  /** What somebody says of a TTL check; throws `rejected` when it is none. */
  updateTtl(id: string, status: string, output: string): void;
  /**
   * Replaces what the files defined before; throws `invalid_argument`, and changes nothing, when one makes no sense.
   */
  loadDefinitions(services: readonly unknown[], checks: readonly unknown[]): Promise<void>;
  /** Every change of a service or a check. */
  onChange(listener: ChangeListener): () => void;
  /** What a proxy with `expose.checks` serves for the checks of its service. */
  exposedPaths(proxyId: string): readonly ExposedPath[];
  /** The proxy serves them from now on; returns the function to call when it went. */
  servesExposed(proxyId: string): () => void;
  counts(): { readonly services: number; readonly checks: number; readonly ttls: number };
  /** Compares everything with the catalog soon: after the servers were away, for example. */
  requestSync(): void;
  /** Runs a service's checks at once: something is known to have changed. */
  runChecks(serviceId: string): void;
  /** True when the catalog has all that the agent knows. */
  readonly synced: boolean;
}
