import type { Clock } from '../../lib/clock.ts';
import { parseDuration } from '../../lib/duration.ts';
import type { IsthmusError } from '../../lib/errors.ts';
import { createTaskGroup, type TaskGroup } from '../../lib/task.ts';
import { reachedAt } from '../../model/address.ts';
import type { ServiceInstance } from '../../model/catalog.ts';
import type { ChainTarget, DiscoveryChain } from '../../model/discovery-chain.ts';
import type { QueryExecution, QueryInstance } from '../../model/prepared-query.ts';
import type { SidecarEndpoint } from '../../model/sidecar.ts';
import type { Transport } from '../transport.ts';
import { BACKOFF, follow } from './follow.ts';

export interface TargetsDeps {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly tasks: TaskGroup;
  /** For problems. */
  readonly what: string;
  readonly onProblem: (error: IsthmusError, retryInMs?: number) => void;
  readonly ownDatacenter: () => string;
  /** Called with every change, the preferred target first; those that can't be reached last. */
  readonly onChange: (endpoints: readonly SidecarEndpoint[]) => void;
}

/** Targets that are followed for one service at most: what fails over to more is a mistake. */
const MAX_TARGETS = 32;
/** A query can't be blocked on. */
const QUERY_EVERY_MS = 1_000;

interface FollowedTarget {
  readonly target: ChainTarget;
  readonly tasks: TaskGroup;
  instances: readonly ServiceInstance[] | undefined;
  /** False: its datacenter can't be reached, or does not answer. */
  reached: boolean;
}

/** Follows where connections to a service go: its resolver, then the instances of each target. */
export class ServiceTargets {
  readonly #deps: TargetsDeps;
  #order: readonly string[] = [];
  readonly #targets = new Map<string, FollowedTarget>();
  #connectTimeoutMs: number | undefined;

  constructor(deps: TargetsDeps, service: string, datacenter: string | undefined) {
    this.#deps = deps;
    const { tasks, transport, what } = deps;
    follow<{ readonly Chain: DiscoveryChain }>(tasks, what, {
      // As a connection without requests sees it: routers and splitters are left out.
      read: (call) =>
        transport.json({
          method: 'POST',
          path: `/v1/discovery-chain/${encodeURIComponent(service)}`,
          query: { 'compile-dc': datacenter },
          body: { OverrideProtocol: 'tcp' },
          call,
        }),
      take: ({ Chain }) => this.#set(Chain),
    });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#targets.values()].map(({ tasks }) => tasks.stop()));
  }

  #set({ StartNode, Nodes, Targets }: DiscoveryChain): void {
    const node = Nodes[StartNode];
    if (node?.Type !== 'resolver') return;
    const { Resolver } = node;
    this.#connectTimeoutMs = parseDuration(Resolver.ConnectTimeout);
    this.#order = [...new Set([Resolver.Target, ...(Resolver.Failover?.Targets ?? [])])].slice(0, MAX_TARGETS);
    for (const [id, { tasks }] of this.#targets)
      if (!this.#order.includes(id)) {
        tasks.cancel();
        this.#targets.delete(id);
      }
    for (const id of this.#order) {
      const target = Targets[id];
      if (target !== undefined && !this.#targets.has(id)) this.#targets.set(id, this.#follow(target));
    }
    this.#changed();
  }

  #follow(target: ChainTarget): FollowedTarget {
    const { transport, clock, onProblem } = this.#deps;
    const tasks = createTaskGroup({ clock, onError: (_name, error, retryInMs) => onProblem(error, retryInMs) });
    const followed: FollowedTarget = { target, tasks, instances: undefined, reached: true };
    const { Filter, OnlyPassing } = target.Subset;
    follow<readonly ServiceInstance[]>(tasks, target.ID, {
      read: (call) =>
        transport.json({
          method: 'GET',
          path: `/v1/health/connect/${encodeURIComponent(target.Service)}`,
          query: { dc: target.Datacenter, passing: OnlyPassing, filter: Filter },
          call,
        }),
      take: (instances) => {
        followed.instances = instances.filter(({ Checks }) => Checks.every(({ Status }) => Status !== 'critical'));
        followed.reached = true;
        this.#changed();
      },
      failed: () => {
        followed.reached = false;
        this.#changed();
      },
    });
    return followed;
  }

  /** Says nothing as long as a target that comes before the first healthy one has not answered. */
  #changed(): void {
    const found: SidecarEndpoint[] = [];
    const unreached: SidecarEndpoint[] = [];
    const timeout = this.#connectTimeoutMs === undefined ? {} : { connectTimeoutMs: this.#connectTimeoutMs };
    for (const id of this.#order) {
      const followed = this.#targets.get(id);
      if (followed === undefined) continue;
      const { target, instances, reached } = followed;
      if (instances === undefined && reached) {
        if (found.length === 0) return;
        continue;
      }
      const common = { ...timeout, target: id };
      for (const instance of instances ?? []) {
        const endpoint = { ...this.#endpoint(instance, target), ...common };
        if (reached) found.push(endpoint);
        else unreached.push({ ...endpoint, lastResort: true });
      }
    }
    this.#deps.onChange([...found, ...unreached]);
  }

  #endpoint(instance: ServiceInstance, { Service, Datacenter }: ChainTarget): SidecarEndpoint {
    return endpointOf(instance, { service: Service, datacenter: Datacenter }, this.#deps.ownDatacenter());
  }
}

/** Follows a prepared query, which fails over by itself: its answer is of one datacenter. */
export class QueryTargets {
  constructor(deps: TargetsDeps, query: string) {
    const { tasks, transport, what, ownDatacenter, onChange } = deps;
    let before = '';
    tasks.loop(what, { backoff: BACKOFF, pauseMs: QUERY_EVERY_MS }, async (signal) => {
      const { value } = await transport.json<QueryExecution>({
        method: 'GET',
        path: `/v1/query/${encodeURIComponent(query)}/execute`,
        query: { connect: 'true' },
        call: { signal },
      });
      const { Service: service, Datacenter: datacenter, Nodes } = value;
      const endpoints = Nodes.map((instance) => ({
        ...endpointOf(instance, { service, datacenter }, ownDatacenter()),
        target: datacenter,
      }));
      const now = JSON.stringify(endpoints);
      if (now === before) return;
      before = now;
      onChange(endpoints);
    });
  }

  async stop(): Promise<void> {}
}

/** Weighted as its worst check says; one in another datacenter is dialled at its WAN address. */
function endpointOf(
  { Node, Service, Checks }: ServiceInstance | QueryInstance,
  target: { readonly service: string; readonly datacenter: string },
  ownDatacenter: string,
): SidecarEndpoint {
  const datacenter = Node.Datacenter || target.datacenter;
  const { address, port } = reachedAt(Node, Service, datacenter !== ownDatacenter);
  const warning = Checks?.some(({ Status }) => Status === 'warning') === true;
  return {
    id: `${datacenter}/${Node.Node}/${Service.ID}`,
    address,
    port,
    service:
      Service.Proxy.DestinationServiceName || (Service.Connect.Native === true ? Service.Service : target.service),
    datacenter,
    weight: warning ? Service.Weights.Warning : Service.Weights.Passing,
  };
}
