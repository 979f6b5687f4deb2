import { Agent, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { ChangeSignal } from '../../lib/change-signal.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { throwIfAborted, withDeadline } from '../../lib/signals.ts';
import { createTaskGroup, type TaskGroup } from '../../lib/task.ts';
import type { SidecarEndpoint } from '../../model/sidecar.ts';
import { DEFAULT_LIMITS } from '../../sidecar/limits.ts';
import { Balancer } from '../../sidecar/outbound/balancer.ts';
import { DialError, type Dialer } from '../../sidecar/outbound/dialer.ts';
import type { OpenConnections } from '../../sidecar/wire/open-connections.ts';
import type { Transport } from '../transport.ts';
import type { Callees } from './callees.ts';
import { isRefusal } from './follow.ts';
import { NativeInstance } from './instance.ts';
import { QueryTargets, ServiceTargets } from './targets.ts';
import type { Problem, Upstream, UpstreamOptions } from './types.ts';

export interface UpstreamDeps {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly dialer: Dialer;
  readonly callees: Callees;
  /** What is open to all upstreams. */
  readonly open: OpenConnections;
  readonly ownDatacenter: () => string;
  readonly onProblem: (problem: Problem) => void;
}

const DIAL_TIMEOUT_MS = 15_000;

/** Of an application that is linked natively: finds instances, picks one, dials it, and the next one when it fails. */
export class NativeUpstream implements Upstream {
  readonly agent: Agent;
  readonly #deps: UpstreamDeps;
  readonly #options: UpstreamOptions;
  readonly #name: string;
  readonly #tasks: TaskGroup;
  readonly #targets: { stop(): Promise<void> };
  readonly #balancer = new Balancer<NativeInstance>(Math.random);
  #instances = new Map<string, NativeInstance>();
  /** The targets have answered. */
  #known = false;
  readonly #changed = new ChangeSignal();
  #problem: IsthmusError | undefined;

  constructor(options: UpstreamOptions, deps: UpstreamDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#name = nameOf(options);
    const { clock } = deps;
    const onProblem = (error: IsthmusError, retryInMs?: number): void => {
      this.#problem = error;
      this.#changed.notify();
      deps.onProblem({ what: this.#name, error, ...(retryInMs === undefined ? {} : { retryInMs }) });
    };
    this.#tasks = createTaskGroup({ clock, onError: (_name, error, retryInMs) => onProblem(error, retryInMs) });
    this.agent = new MeshAgent(this);
    const { service, query, datacenter } = options;
    const followed = {
      ...deps,
      tasks: this.#tasks,
      what: this.#name,
      onProblem,
      onChange: (endpoints: readonly SidecarEndpoint[]) => this.#set(endpoints),
    };
    this.#targets =
      query === undefined ? new ServiceTargets(followed, service ?? '', datacenter) : new QueryTargets(followed, query);
  }

  get instances(): readonly string[] {
    return [...this.#instances.values()].map(({ address }) => address);
  }

  async dial({ signal }: { readonly signal?: AbortSignal } = {}): Promise<TLSSocket> {
    const { clock } = this.#deps;
    const { dialTimeoutMs = DIAL_TIMEOUT_MS } = this.#options;
    const limit = withDeadline(clock, dialTimeoutMs, `dialling ${this.#name}`, signal, this.#tasks.signal);
    try {
      while (!this.#known && this.#problem === undefined) await this.#changed.next(limit.signal);
      return await this.#reach(limit.signal, clock.steady() + dialTimeoutMs);
    } catch (error) {
      throw this.#failure(IsthmusError.from(error));
    } finally {
      limit.release();
    }
  }

  /** The own certificate changed. */
  refresh(): void {
    for (const instance of this.#instances.values()) instance.refresh();
  }

  async stop(): Promise<void> {
    this.agent.destroy();
    for (const instance of this.#instances.values()) instance.close();
    await Promise.all([this.#tasks.stop(), this.#targets.stop()]);
  }

  /** Tries instances until one is reached. */
  async #reach(signal: AbortSignal, end: number): Promise<TLSSocket> {
    const { clock } = this.#deps;
    const tried = new Set<NativeInstance>();
    let last: IsthmusError | undefined;
    for (;;) {
      throwIfAborted(signal);
      const maxTries = this.#balancer.maxTries(DEFAULT_LIMITS.maxAttempts);
      const candidate = tried.size < maxTries ? this.#balancer.pick(clock.steady(), tried) : undefined;
      if (candidate === undefined) {
        // The next answer of a query may be another datacenter's instances.
        if (this.#options.query === undefined || last === undefined) break;
        await this.#changed.next(signal);
        continue;
      }
      tried.add(candidate.instance);
      const own = this.#options.connectTimeoutMs ?? candidate.connectTimeoutMs ?? DEFAULT_LIMITS.connectTimeoutMs;
      try {
        return await candidate.instance.connect(Math.max(1, Math.min(own, end - clock.steady())));
      } catch (error) {
        if (!(error instanceof DialError)) throw error; // the own certificate, or an intention
        last = error;
      }
    }
    throw last ?? new DialError('no_instance', 'no healthy instance', { retry: false });
  }

  #set(endpoints: readonly SidecarEndpoint[]): void {
    const { clock, dialer, callees, open } = this.#deps;
    const { protocols = [] } = this.#options;
    const held = new Map<string, NativeInstance>();
    this.#balancer.set(endpoints, clock.steady(), (endpoint) => {
      const key = `${endpoint.datacenter}/${endpoint.service}/${endpoint.address}:${endpoint.port}`;
      const instance =
        held.get(key) ??
        this.#instances.get(key) ??
        new NativeInstance(endpoint, { clock, dialer, callees, open, protocols, tasks: this.#tasks });
      held.set(key, instance);
      return instance;
    });
    for (const [key, instance] of this.#instances) if (!held.has(key)) instance.close();
    this.#instances = held;
    this.#known = true;
    this.#problem = undefined;
    this.#changed.notify();
  }

  #failure(error: IsthmusError): IsthmusError {
    if (error.code === 'cancelled') return error;
    const problem = this.#problem === undefined ? '' : `; its instances can't be followed: ${this.#problem.message}`;
    const empty =
      this.#known && this.#instances.size === 0
        ? '; see /v1/health/connect: is it registered with a sidecar or as native, do its checks pass, may the ' +
          'token read it?'
        : '';
    const { code } = isRefusal(this.#problem) ? (this.#problem ?? error) : error;
    return new IsthmusError(code, `${this.#name}: ${error.message}${empty}${problem}`, {
      cause: error,
      details: error.details,
    });
  }
}

class MeshAgent extends Agent {
  readonly #upstream: Upstream;

  constructor(upstream: Upstream) {
    super({ keepAlive: true });
    this.#upstream = upstream;
  }

  override createConnection(
    _options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#upstream.dial().then(
      (socket) => callback?.(null, socket),
      (error: unknown) => (callback as ((error: Error) => void) | undefined)?.(IsthmusError.from(error)),
    );
  }
}

function nameOf({ service, query, datacenter }: UpstreamOptions): string {
  if (query !== undefined) return `query ${query}`;
  return datacenter === undefined ? `service ${service}` : `service ${service} in ${datacenter}`;
}
