import type { Clock } from '../../lib/clock.ts';
import { IsthmusError, invariant } from '../../lib/errors.ts';
import { sleep } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { MeshSettings } from '../../model/layer7/mesh-settings.ts';
import type { RateLimits } from '../../model/layer7/rate-limits.ts';
import { isRequestProtocol } from '../../model/layer7/route-table.ts';
import { localOptions } from '../../model/proxy-options.ts';
import type {
  SidecarConfig,
  SidecarEndpoint,
  SidecarLeaf,
  SidecarRequests,
  SidecarRoots,
  SidecarUpdate,
  SidecarUpstream,
} from '../../model/sidecar.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { BodyBudget } from '../http/request-body.ts';
import { Authorizer } from '../inbound/authorizer.ts';
import type { InboundProtocol, LocalApp } from '../inbound/deps.ts';
import { Inbound } from '../inbound/inbound.ts';
import { RateLimiter } from '../inbound/rate-limiter.ts';
import type { SidecarLimits } from '../limits.ts';
import { createMeters, type SidecarMeters } from '../meters.ts';
import { Dialer } from '../outbound/dialer.ts';
import { Instances } from '../outbound/instances.ts';
import { Upstream } from '../outbound/upstream.ts';
import { Refusals } from '../refusals.ts';
import type { SidecarAddresses, SidecarStats } from '../stats.ts';
import { OpenConnections } from '../wire/open-connections.ts';
import { isTrusted, type Peer, PeerReader } from '../wire/peer.ts';
import { createTrust, losesRoots, type Trust } from '../wire/trust.ts';
import { stateGauges } from './gauges.ts';
import { sameUpstream } from './same-upstream.ts';

export interface StateDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limits: SidecarLimits;
  readonly tasks: TaskGroup;
  /** Chance in [0, 1). */
  readonly random: () => number;
}

/** Pause before a listener whose address was taken is tried again. */
const REBIND_MS = 2_000;

/** All that a sidecar has in effect, and how an update changes it. */
export class SidecarState {
  readonly #deps: StateDeps;
  readonly #meters: SidecarMeters;
  readonly #refusals: Refusals;
  readonly #authorizer = new Authorizer();
  readonly #peers = new PeerReader();
  readonly #inboundOpen = new OpenConnections();
  readonly #inboundTunnels = new OpenConnections();
  readonly #outboundOpen = new OpenConnections();
  readonly #instances: Instances;
  readonly #upstreams = new Map<string, Upstream>();
  readonly #endpoints = new Map<string, readonly SidecarEndpoint[]>();
  readonly #requests = new Map<string, SidecarRequests>();
  #inboundRequests: InboundProtocol | undefined;
  #mesh: MeshSettings | undefined;
  /** Listeners that close while their connections go on. */
  readonly #closing = new Set<Promise<void>>();
  readonly #closingUpstreams = new Set<Upstream>();
  readonly #closingInbounds = new Set<Inbound>();
  #config: SidecarConfig | undefined;
  /** What upstreams lead to and this service may not connect to. */
  #refused: ReadonlySet<string> = new Set();
  #roots: SidecarRoots | undefined;
  #leaf: SidecarLeaf | undefined;
  #trust: Trust | undefined;
  #local: LocalApp | undefined;
  #inbound: Inbound | undefined;
  #inboundAt = '';
  #rebinding = false;
  /** One at a time. */
  #binding: Promise<void> = Promise.resolve();
  #stopping = false;
  readonly #budget: BodyBudget;
  #closedByChange = 0;
  #version = 0;

  constructor(deps: StateDeps) {
    this.#deps = deps;
    const { clock, log, limits, metrics, tasks } = deps;
    this.#meters = createMeters(
      metrics,
      stateGauges(clock, {
        inboundOpen: this.#inboundOpen,
        outboundOpen: this.#outboundOpen,
        inboundTunnels: this.#inboundTunnels,
        instances: () => this.#instances,
        trust: () => this.#trust,
      }),
    );
    this.#budget = { left: limits.retryBytesInAll };
    this.#refusals = new Refusals({ clock, log, meters: this.#meters });
    const trust = (): Trust => this.#currentTrust();
    const dialer = new Dialer({ clock, meters: this.#meters, peers: this.#peers, trust });
    this.#instances = new Instances({ clock, log, limits, meters: this.#meters, dialer, tasks, trust });
  }

  get version(): number {
    return this.#version;
  }

  /** A first update is in effect. */
  get ready(): boolean {
    return this.#trust !== undefined && this.#config !== undefined;
  }

  get openConnections(): number {
    return this.#inboundOpen.size + this.#outboundOpen.size;
  }

  /** Resolves once the update is in effect for all that begins from here on, and has ended what it forbids. */
  async apply(update: SidecarUpdate): Promise<void> {
    const first = !this.ready;
    try {
      if (update.inbound !== undefined) {
        const { protocol, mesh, limits } = update.inbound;
        this.#mesh = mesh;
        const limiter = this.#limiterFor(limits);
        this.#inboundRequests = isRequestProtocol(protocol) ? { protocol, mesh, limiter } : undefined;
        this.#authorizer.setByRequest(this.#inboundRequests !== undefined);
      }
      if (update.verdicts !== undefined) this.#authorizer.set(update.verdicts);
      if (update.verdicts !== undefined || update.inbound !== undefined) this.#endForbidden();
      if (update.refused !== undefined) {
        this.#refused = new Set(update.refused);
        this.#countClosed(this.#outboundOpen.abortWhere(this.#isRefused), 'denied');
      }
      const before = this.#trust;
      this.#applyTrust(update);
      if (before !== undefined && before !== this.#trust) this.#renew(before);
      if (update.config !== undefined) this.#applyConfig(update.config);
      if (this.#config !== undefined && this.#trust !== undefined) await this.#bind(first);
      for (const [key, requests] of Object.entries(update.requests ?? {})) {
        if (requests === null) this.#requests.delete(key);
        else this.#requests.set(key, requests);
        this.#upstreams.get(key)?.setRequests(requests);
      }
      for (const [key, endpoints] of Object.entries(update.endpoints ?? {})) {
        this.#endpoints.set(key, endpoints);
        this.#upstreams.get(key)?.setEndpoints(endpoints);
      }
    } catch (error) {
      this.#meters.updates.add(1, { result: 'failed' });
      throw error;
    }
    this.#meters.updates.add(1, { result: 'applied' });
    this.#version = update.version;
  }

  addresses(): SidecarAddresses {
    const upstreams = Object.fromEntries([...this.#upstreams].map(([key, upstream]) => [key, upstream.address]));
    return this.#inbound === undefined ? { upstreams } : { listen: this.#inbound.address, upstreams };
  }

  stats(): SidecarStats {
    return {
      inbound: { connections: this.#inboundOpen.size, tunnels: this.#inboundTunnels.size },
      outbound: { connections: this.#outboundOpen.size, tunnels: this.#instances.tunnels },
      refused: this.#refusals.counts(),
      closedByChange: this.#closedByChange,
      version: this.#version,
    };
  }

  /** Closes all listeners; resolves once their connections are gone. */
  async stopAccepting(): Promise<void> {
    this.#stopping = true;
    this.#dropInbound();
    for (const key of [...this.#upstreams.keys()]) this.#dropUpstream(key);
    await Promise.all(this.#closing);
  }

  async drained(): Promise<void> {
    await Promise.all([this.#inboundOpen.empty(), this.#outboundOpen.empty()]);
  }

  /** Ends all that is still open. */
  abort(): void {
    const all = (): boolean => true;
    this.#inboundOpen.abortWhere(all);
    this.#outboundOpen.abortWhere(all);
    this.#inboundTunnels.abortWhere(all);
    for (const inbound of this.#closingInbounds) inbound.abort();
    for (const upstream of this.#closingUpstreams) upstream.abort();
    this.#instances.abort();
  }

  #currentTrust(): Trust {
    invariant(this.#trust !== undefined, 'the sidecar has no certificate yet');
    return this.#trust;
  }

  #applyTrust(update: SidecarUpdate): void {
    if (update.roots === undefined && update.leaf === undefined && update.inbound === undefined) return;
    const roots = update.roots ?? this.#roots;
    const leaf = update.leaf ?? this.#leaf;
    if (roots !== undefined && leaf !== undefined) this.#trust = createTrust(roots, leaf, this.#mesh);
    this.#roots = roots;
    this.#leaf = leaf;
  }

  /** The same one while nothing changed: what was taken counts on. */
  #limiterFor(limits: RateLimits | undefined): RateLimiter | undefined {
    if (limits === undefined) return undefined;
    const before = this.#inboundRequests?.limiter;
    if (before !== undefined && JSON.stringify(before.limits) === JSON.stringify(limits)) return before;
    return new RateLimiter(limits, this.#deps.clock);
  }

  #renew(before: Trust): void {
    const now = this.#currentTrust();
    const leafChanged = before.leafPem !== now.leafPem;
    this.#inbound?.renew(leafChanged);
    if (losesRoots(before, now)) {
      const { roots } = now;
      this.#inbound?.retireTunnels((peer) => !isTrusted(peer, roots, this.#deps.clock.now()));
      this.#deps.tasks.run('close untrusted connections', (signal) => this.#closeUntrusted(signal));
    }
    this.#instances.refresh();
    if (leafChanged) this.#deps.log.info('certificate replaced', { expires: new Date(now.leafNotAfter).toISOString() });
  }

  async #closeUntrusted(signal: AbortSignal): Promise<void> {
    const { clock, limits } = this.#deps;
    await sleep(clock, limits.rootGraceMs, signal);
    const { roots } = this.#currentTrust();
    const untrusted = (peer: Peer): boolean => !this.#peers.isTrusted(peer, roots, clock.now());
    const count = this.#inboundOpen.abortWhere(untrusted) + this.#outboundOpen.abortWhere(untrusted);
    this.#inboundTunnels.abortWhere(untrusted);
    this.#countClosed(count, 'roots');
  }

  /**
   * The other side refuses it too: unless it is an Envoy, which never ends what is open, or has not heard of it yet.
   */
  readonly #isRefused = ({ identity }: Peer): boolean =>
    this.#refused.has(`${identity.service} in ${identity.datacenter}`);

  #endForbidden(): void {
    const forbidden = ({ identity }: Peer): boolean =>
      !this.#authorizer.decide(identity.service, identity.datacenter).allowed;
    const count = this.#inboundOpen.abortWhere(forbidden);
    this.#inbound?.retireTunnels(forbidden);
    this.#countClosed(count, 'denied');
  }

  #countClosed(count: number, reason: 'denied' | 'roots'): void {
    if (count === 0) return;
    this.#closedByChange += count;
    this.#meters.closedByChange.add(count, { reason });
    this.#deps.log.info('open connections closed', { connections: count, reason, revision: this.#authorizer.revision });
  }

  #applyConfig(config: SidecarConfig): void {
    const { limits } = this.#deps;
    const options = localOptions(config.config);
    this.#config = config;
    this.#local =
      config.local === undefined
        ? undefined
        : {
            ...config.local,
            connectTimeoutMs: options.connectTimeoutMs ?? limits.localConnectTimeoutMs,
            maxConnections: options.maxConnections ?? limits.maxInboundConnections,
            requestTimeoutMs: options.requestTimeoutMs ?? limits.localRequestMs,
          };
  }

  /** Makes the listeners those of the configuration. One that can't be had is an error at first, later tried again. */
  #bind(first: boolean): Promise<void> {
    const binding = this.#binding.then(() => this.#bindNow(first));
    this.#binding = binding.catch(() => undefined); // told to who asked
    return binding;
  }

  async #bindNow(first: boolean): Promise<void> {
    const { config, listen, upstreams } = this.#wanted();
    if (this.#stopping) return;
    const failures: IsthmusError[] = [];
    const attempt = async (start: () => Promise<void>): Promise<boolean> => {
      try {
        await start();
        return true;
      } catch (error) {
        failures.push(IsthmusError.from(error));
        return false;
      }
    };

    const at = listen === undefined ? '' : `${listen.address} ${listen.port}`;
    if (at !== this.#inboundAt) this.#dropInbound();
    if (listen !== undefined && this.#inbound === undefined) {
      const inbound = this.#createInbound(listen);
      if (await attempt(() => inbound.start())) {
        this.#inbound = inbound;
        this.#inboundAt = at;
      }
    }
    const keep = new Set(upstreams.map((upstream) => upstream.key));
    for (const key of [...this.#upstreams.keys()]) if (!keep.has(key)) this.#dropUpstream(key);
    for (const key of this.#endpoints.keys()) if (!keep.has(key)) this.#endpoints.delete(key);
    for (const key of this.#requests.keys()) if (!keep.has(key)) this.#requests.delete(key);
    for (const wanted of upstreams) {
      const existing = this.#upstreams.get(wanted.key);
      if (existing !== undefined && sameUpstream(existing.config, wanted)) continue;
      this.#dropUpstream(wanted.key);
      const upstream = this.#createUpstream(wanted);
      if (!(await attempt(() => upstream.start()))) continue;
      this.#upstreams.set(wanted.key, upstream);
      upstream.setEndpoints(this.#endpoints.get(wanted.key) ?? []);
      upstream.setRequests(this.#requests.get(wanted.key) ?? null);
    }

    const [failure] = failures;
    if (failure === undefined) return;
    if (first) throw failure;
    this.#deps.log.error('listener not opened', { proxy: config.proxyId, error: failure.message });
    this.#bindLater();
  }

  #wanted(): Pick<SidecarConfig, 'upstreams'> & { config: SidecarConfig; listen: SidecarConfig['listen'] } {
    const config = this.#config;
    invariant(config !== undefined, 'the sidecar has no configuration yet');
    const listen = config.local === undefined ? undefined : config.listen;
    return { config, listen, upstreams: config.upstreams };
  }

  #bindLater(): void {
    if (this.#rebinding || this.#stopping) return;
    this.#rebinding = true;
    const { clock, tasks } = this.#deps;
    tasks.run('open listeners', async (signal) => {
      await sleep(clock, REBIND_MS, signal).finally(() => {
        this.#rebinding = false;
      });
      await this.#bind(false);
    });
  }

  #createInbound(at: { readonly address: string; readonly port: number }): Inbound {
    const { clock, log, limits } = this.#deps;
    const local = (): LocalApp => {
      invariant(this.#local !== undefined, 'there is no application behind the sidecar');
      return this.#local;
    };
    return new Inbound(
      {
        clock,
        log,
        limits,
        meters: this.#meters,
        refusals: this.#refusals,
        peers: this.#peers,
        authorizer: this.#authorizer,
        open: this.#inboundOpen,
        tunnels: this.#inboundTunnels,
        tasks: this.#deps.tasks,
        budget: this.#budget,
        trust: () => this.#currentTrust(),
        local,
        requests: () => this.#inboundRequests,
      },
      at,
    );
  }

  #createUpstream(upstream: SidecarUpstream): Upstream {
    const { clock, log, limits, tasks, random } = this.#deps;
    return new Upstream(upstream, {
      clock,
      log,
      limits,
      tasks,
      random,
      meters: this.#meters,
      refusals: this.#refusals,
      instances: this.#instances,
      open: this.#outboundOpen,
      isRefused: this.#isRefused,
      trust: () => this.#currentTrust(),
      budget: this.#budget,
    });
  }

  #dropInbound(): void {
    const inbound = this.#inbound;
    if (inbound !== undefined) {
      this.#closingInbounds.add(inbound);
      this.#track(inbound.stopAccepting().finally(() => this.#closingInbounds.delete(inbound)));
    }
    this.#inbound = undefined;
    this.#inboundAt = '';
  }

  #dropUpstream(key: string): void {
    const upstream = this.#upstreams.get(key);
    if (upstream === undefined) return;
    this.#upstreams.delete(key);
    this.#closingUpstreams.add(upstream);
    this.#track(upstream.stopAccepting().finally(() => this.#closingUpstreams.delete(upstream)));
  }

  #track(closing: Promise<void>): void {
    const tracked = closing.finally(() => this.#closing.delete(tracked));
    this.#closing.add(tracked);
  }
}
