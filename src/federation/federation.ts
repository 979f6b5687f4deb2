import { create } from '@bufbuild/protobuf';
import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import type { Service } from '../lib/service.ts';
import { abortReason, linkSignals } from '../lib/signals.ts';
import { createTaskGroup } from '../lib/task.ts';
import type { Member } from '../model/member.ts';
import type { ChangeSource } from '../rpc/contract/changes.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import {
  type Hello,
  HelloSchema,
  type LinkMessageInit,
  type RpcHandlers,
  type TransportLimits,
} from '../rpc/transport/handlers.ts';
import type { TransportSecurity } from '../rpc/transport/security.ts';
import type { Logger, Metrics } from '../telemetry/types.ts';
import { AcceptedLink } from './accepted-link.ts';
import { formatAddress, isDialable, parseWanAddress, type WanAddress } from './address.ts';
import { judge, PROTOCOL } from './judge.ts';
import { isUsable, type LinkState } from './link-state.ts';
import { listMembers } from './members.ts';
import { type LinkCarrier, OutgoingLink } from './outgoing-link.ts';
import { Peers } from './peers.ts';
import { RemoteDatacenter } from './remote-datacenter.ts';
import { DEFAULT_TIMINGS, type FederationTimings } from './timings.ts';

/** What this server says about itself that may change while it runs. */
export interface FederationIdentity {
  /** Absent until the datacenter has learned it. */
  readonly trustDomain?: string;
  /** Identity of the store's history. */
  readonly epoch: string;
  readonly isPrimary: boolean;
}

export interface FederationDeps {
  readonly datacenter: string;
  readonly node: string;
  readonly nodeId: string;
  readonly primaryDatacenter: string;
  /** Version of this program, for members. */
  readonly build: string;
  /** Where other datacenters reach this server. Asked after the listeners have started, so that port 0 works. */
  readonly advertiseWan: () => WanAddress;
  /** Port of the `server` listener, for members. */
  readonly serverPort: () => number;
  /** Addresses of servers in other datacenters: host or host:port. Dialled for ever. */
  readonly retryJoinWan: readonly string[];
  /** The contract of this datacenter. */
  readonly local: ServerContract;
  readonly identity: () => FederationIdentity;
  readonly clock: Clock;
  /** Never goes back, milliseconds with fractions: measures round-trip times. Default the clock. */
  readonly monotonicMs?: () => number;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly security?: TransportSecurity;
  readonly limits?: TransportLimits;
  readonly timings?: Partial<FederationTimings>;
}

/** One link as an API shows it. */
export interface LinkStatus {
  readonly address: string;
  /** Who answered there last; empty before. */
  readonly nodeId: string;
  readonly node: string;
  readonly datacenter: string;
  readonly rttMs: number | undefined;
  readonly state: LinkState;
}

export interface Federation {
  readonly service: Service;
  /** For the listener: holds the links that others dial. */
  readonly handlers: Required<Pick<RpcHandlers, 'link'>>;
  /** A datacenter by name; the own one is `local`. Never throws; its calls fail with `no_path` when nothing leads there. */
  contract(datacenter: string): ServerContract;
  /** The tables of another datacenter, for replication. Waits for a link. */
  changes(datacenter: string): ChangeSource;
  /** The own datacenter and all others that are known, nearest first. */
  datacenters(): readonly string[];
  /** Other datacenters that calls reach now. */
  connected(): readonly string[];
  /** Smoothed round-trip time of the nearest server, milliseconds; 0 for the own datacenter. */
  rtt(datacenter: string): number | undefined;
  members(): readonly Member[];
  links(): readonly LinkStatus[];
  /** Dials more addresses; resolves with how many answered. Throws when none did, with the reasons. */
  join(addresses: readonly string[], signal: AbortSignal): Promise<number>;
  /** Tells the others that this server leaves for good: they list it as left, not as failed. */
  leave(): void;
  /** Forgets servers that are away, by node name (with or without `.datacenter`); returns how many. */
  forceLeave(name: string): number;
  /** Calls `listener` after every change of links or members; returns the function that ends it. */
  onChange(listener: () => void): () => void;
  /** Resolves once calls reach the datacenter. */
  whenConnected(datacenter: string, signal: AbortSignal): Promise<void>;
}

export function createFederation(deps: FederationDeps): Federation {
  return new FederationService(deps);
}

class FederationService implements Federation {
  readonly service: Service;
  readonly handlers: Required<Pick<RpcHandlers, 'link'>>;
  readonly #deps: FederationDeps;
  readonly #timings: FederationTimings;
  readonly #tasks;
  readonly #peers: Peers;
  readonly #links = new Map<string, { link: OutgoingLink; seed: boolean; stop: () => void }>();
  readonly #accepted = new Set<AcceptedLink>();
  readonly #listeners = new Set<() => void>();
  readonly #remotes = new Map<string, RemoteDatacenter>();
  #hello: Hello;
  #started = false;
  #changing = false;

  constructor(deps: FederationDeps) {
    this.#deps = deps;
    this.#timings = { ...DEFAULT_TIMINGS, ...deps.timings };
    this.#peers = new Peers(() => this.#changed());
    this.#hello = create(HelloSchema);
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (task, error) => deps.log.error('federation task failed', { task, error: error.message }),
    });
    this.service = {
      name: 'federation',
      start: (signal) => this.#start(signal),
      stop: () => this.#stop(),
    };
    this.handlers = { link: (stream, signal) => this.#accept(stream, signal) };
    deps.metrics.gauge(
      {
        name: 'isthmus_federation_link_up',
        help: '1 while calls reach the datacenter, 0 while they do not.',
        labels: ['datacenter'],
      },
      (set) => {
        for (const datacenter of this.#known()) set(this.#pick(datacenter) === undefined ? 0 : 1, { datacenter });
      },
    );
    deps.metrics.gauge(
      {
        name: 'isthmus_federation_round_trip_seconds',
        help: 'Smoothed round-trip time to the nearest server of the datacenter.',
        labels: ['datacenter'],
      },
      (set) => {
        for (const datacenter of this.#known()) {
          const rtt = this.rtt(datacenter);
          if (rtt !== undefined) set(rtt / 1_000, { datacenter });
        }
      },
    );
  }

  contract(datacenter: string): ServerContract {
    return datacenter === this.#deps.datacenter ? this.#deps.local : this.#remote(datacenter);
  }

  changes(datacenter: string): ChangeSource {
    return this.#remote(datacenter);
  }

  datacenters(): readonly string[] {
    const far = (datacenter: string): number => this.rtt(datacenter) ?? Number.POSITIVE_INFINITY;
    const others = [...this.#known()].sort((a, b) => far(a) - far(b) || (a < b ? -1 : 1));
    return [this.#deps.datacenter, ...others];
  }

  connected(): readonly string[] {
    return [...this.#known()].filter((datacenter) => this.#pick(datacenter) !== undefined).sort();
  }

  rtt(datacenter: string): number | undefined {
    if (datacenter === this.#deps.datacenter) return 0;
    let best: number | undefined;
    for (const peer of this.#peers.all()) {
      if (peer.hello.datacenter !== datacenter || peer.rttMs === undefined) continue;
      if (best === undefined || peer.rttMs < best) best = peer.rttMs;
    }
    return best;
  }

  members(): readonly Member[] {
    return listMembers(this.#ownHello(), this.#peers.all());
  }

  links(): readonly LinkStatus[] {
    return [...this.#links.values()].map(({ link }) => {
      const hello = link.nodeId === undefined ? undefined : this.#peers.get(link.nodeId)?.hello;
      return {
        address: link.address,
        nodeId: link.nodeId ?? '',
        node: hello?.node ?? '',
        datacenter: hello?.datacenter ?? '',
        rttMs: link.rttMs,
        state: link.state,
      };
    });
  }

  async join(addresses: readonly string[], signal: AbortSignal): Promise<number> {
    const targets = addresses.map(parseWanAddress);
    const results = await Promise.all(targets.map((address) => this.#joinOne(address, signal)));
    const failures = results.filter((result) => result !== undefined);
    if (failures.length === results.length && failures.length > 0)
      throw new IsthmusError('unavailable', `no server could be joined: ${failures.join('; ')}`);
    return results.length - failures.length;
  }

  leave(): void {
    this.#broadcast({ message: { case: 'leaving', value: {} } });
  }

  forceLeave(name: string): number {
    let count = 0;
    for (const peer of this.#peers.all()) {
      const { node, datacenter } = peer.hello;
      if (peer.links > 0 || (name !== node && name !== `${node}.${datacenter}`)) continue;
      this.#peers.markLeft(peer.nodeId);
      count += 1;
    }
    return count;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async whenConnected(datacenter: string, signal: AbortSignal): Promise<void> {
    if (datacenter !== this.#deps.datacenter) await this.#whenLinked(datacenter, signal);
  }

  async #start(_signal: AbortSignal): Promise<void> {
    this.#started = true;
    this.#hello = this.#ownHello();
    for (const address of this.#deps.retryJoinWan) this.#dial(parseWanAddress(address), true);
    const { heartbeatMs } = this.#timings;
    this.#tasks.loop('heartbeat', { pauseMs: heartbeatMs }, async () => this.#beat());
  }

  async #stop(): Promise<void> {
    this.#started = false;
    for (const { stop } of this.#links.values()) stop();
    await this.#tasks.stop();
    this.#links.clear();
    this.#changed(); // those who wait for a link learn that there will be none
  }

  /** Sends heartbeats, judges silence, and notices what changed about this server itself. */
  #beat(): void {
    for (const { link } of this.#links.values()) link.beat();
    for (const link of this.#accepted) link.beat();
    for (const nodeId of this.#peers.forget(this.#deps.clock.now() - this.#timings.forgetMs)) {
      for (const { link, seed, stop } of this.#links.values()) if (!seed && link.nodeId === nodeId) stop();
    }
    this.#announce();
  }

  /** Tells everyone when this server's Hello has changed, and judges the others again. */
  #announce(): void {
    const hello = this.#ownHello();
    if (sameHello(hello, this.#hello)) return;
    this.#hello = hello;
    for (const { link } of this.#links.values()) {
      const other = link.nodeId === undefined ? undefined : this.#peers.get(link.nodeId)?.hello;
      const refusal = other === undefined || !isUsable(link.state) ? undefined : this.#judge(other);
      if (refusal !== undefined) link.refuse(refusal);
    }
    for (const link of this.#accepted) {
      const refusal = link.hello === undefined ? undefined : this.#judge(link.hello);
      if (refusal !== undefined) link.refuse(refusal);
    }
    this.#broadcast({ message: { case: 'hello', value: hello } });
  }

  #broadcast(message: LinkMessageInit): void {
    for (const { link } of this.#links.values()) link.send(message);
    for (const link of this.#accepted) link.send(message);
  }

  async #accept(stream: Parameters<FederationService['handlers']['link']>[0], signal: AbortSignal): Promise<void> {
    if (!this.#started) return; // the dialler tries again
    const link = new AcceptedLink({
      stream,
      peers: this.#peers,
      clock: this.#deps.clock,
      timings: this.#timings,
      log: this.#deps.log,
      hello: () => this.#helloMessage(),
      judge: (hello) => this.#judge(hello),
      onHello: (hello) => this.#learn(hello),
    });
    this.#accepted.add(link);
    const linked = linkSignals(signal, this.#tasks.signal);
    try {
      await link.run(linked.signal);
    } finally {
      linked.release();
      this.#accepted.delete(link);
    }
  }

  /** Dials the server that said Hello and those that it knows. */
  #learn(hello: Hello): void {
    this.#dialServer(hello.nodeId, hello.datacenter, hello.wan);
    for (const { nodeId, datacenter, wan } of hello.servers) this.#dialServer(nodeId, datacenter, wan);
    this.#announce();
  }

  #dialServer(
    nodeId: string,
    datacenter: string,
    wan: { readonly host: string; readonly port: number } | undefined,
  ): void {
    if (nodeId === this.#deps.nodeId || datacenter === this.#deps.datacenter || wan === undefined) return;
    const where = { address: wan.host, port: wan.port };
    if (!isDialable(where)) return;
    const address = formatAddress(where);
    for (const { link, seed, stop } of this.#links.values()) {
      if (!seed && link.nodeId === nodeId && link.address !== address && !isUsable(link.state)) stop(); // it has moved
    }
    this.#dial(address, false, nodeId);
  }

  #dial(address: string, seed: boolean, nodeId?: string): OutgoingLink {
    const known = this.#links.get(address);
    if (known !== undefined) {
      known.seed ||= seed;
      return known.link;
    }
    const link = new OutgoingLink(
      {
        address,
        peers: this.#peers,
        clock: this.#deps.clock,
        monotonicMs: this.#deps.monotonicMs ?? (() => this.#deps.clock.now()),
        timings: this.#timings,
        log: this.#deps.log,
        ...(this.#deps.security === undefined ? {} : { security: this.#deps.security }),
        ...(this.#deps.limits === undefined ? {} : { limits: this.#deps.limits }),
        hello: () => this.#helloMessage(),
        judge: (hello) => this.#judge(hello),
        onHello: (hello) => this.#learn(hello),
        servedElsewhere: (id) => this.#servedElsewhere(id, address),
        onChange: () => this.#changed(),
      },
      nodeId,
    );
    const life = linkSignals(this.#tasks.signal);
    const stop = (): void => {
      this.#links.delete(address);
      life.abort();
    };
    this.#links.set(address, { link, seed, stop });
    this.#tasks.run(`link to ${address}`, async () => {
      try {
        await link.run(life.signal);
      } finally {
        life.release();
      }
    });
    return link;
  }

  async #joinOne(address: string, signal: AbortSignal): Promise<string | undefined> {
    const link = this.#dial(address, true);
    const before = link.state;
    link.hurry();
    if (before.kind === 'down' || before.kind === 'refused')
      while (link.state === before) await this.#nextChange(signal);
    for (;;) {
      const { state } = link;
      if (isUsable(state) || (state.kind === 'idle' && link.nodeId !== undefined)) return undefined;
      if (state.kind === 'refused') return state.code === 'self' ? undefined : `${address}: ${state.reason}`;
      if (state.kind === 'down') return `${address}: ${state.reason}`;
      await this.#nextChange(signal);
    }
  }

  #servedElsewhere(nodeId: string, address: string): boolean {
    for (const { link } of this.#links.values())
      if (link.address !== address && link.nodeId === nodeId && isUsable(link.state)) return true;
    return false;
  }

  #judge(hello: Hello) {
    return judge(this.#ownHello(), hello, this.#peers.aliveHellos());
  }

  #ownHello(): Hello {
    const { datacenter, node, nodeId, primaryDatacenter, build } = this.#deps;
    const { trustDomain, epoch, isPrimary } = this.#deps.identity();
    const { address, port } = this.#deps.advertiseWan();
    const servers = [];
    for (const { link } of this.#links.values()) {
      const hello = isUsable(link.state) && link.nodeId !== undefined ? this.#peers.get(link.nodeId)?.hello : undefined;
      if (hello?.wan !== undefined)
        servers.push({ datacenter: hello.datacenter, node: hello.node, nodeId: hello.nodeId, wan: hello.wan });
    }
    servers.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
    return create(HelloSchema, {
      protocol: PROTOCOL,
      datacenter,
      node,
      nodeId,
      wan: { host: address, port },
      primaryDatacenter,
      isPrimary,
      trustDomain: trustDomain ?? '',
      epoch,
      build,
      servers,
      serverPort: this.#deps.serverPort(),
    });
  }

  #helloMessage(): LinkMessageInit {
    return { message: { case: 'hello', value: this.#ownHello() } };
  }

  #known(): Set<string> {
    const known = new Set<string>();
    for (const { hello, left } of this.#peers.all())
      if (!left && hello.datacenter !== this.#deps.datacenter) known.add(hello.datacenter);
    return known;
  }

  /** The best link to a datacenter: up before suspect, then the nearest. */
  #pick(datacenter: string): LinkCarrier | undefined {
    let best: { carrier: LinkCarrier; cost: number } | undefined;
    for (const { link } of this.#links.values()) {
      const { carrier } = link;
      if (carrier === undefined || link.nodeId === undefined) continue;
      if (this.#peers.get(link.nodeId)?.hello.datacenter !== datacenter) continue;
      const cost = (link.rttMs ?? 1_000) + (link.state.kind === 'suspect' ? 1e9 : 0);
      if (best === undefined || cost < best.cost) best = { carrier, cost };
    }
    return best?.carrier;
  }

  #remote(datacenter: string): RemoteDatacenter {
    let remote = this.#remotes.get(datacenter);
    if (remote === undefined) {
      remote = new RemoteDatacenter({
        datacenter,
        clock: this.#deps.clock,
        pick: () => this.#pick(datacenter),
        linked: (signal) => this.#whenLinked(datacenter, signal),
      });
      if (this.#known().has(datacenter)) this.#remotes.set(datacenter, remote); // names come from requests: keep real ones
    }
    return remote;
  }

  async #whenLinked(datacenter: string, signal: AbortSignal): Promise<LinkCarrier> {
    const linked = linkSignals(signal, this.#tasks.signal);
    try {
      for (;;) {
        const carrier = this.#pick(datacenter);
        if (carrier !== undefined) return carrier;
        await this.#nextChange(linked.signal);
      }
    } finally {
      linked.release();
    }
  }

  #nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      const finish = (): void => {
        end();
        signal.removeEventListener('abort', onAbort);
      };
      const end = this.onChange(() => {
        finish();
        resolve();
      });
      const onAbort = (): void => {
        finish();
        reject(abortReason(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Tells the listeners once for all changes of one turn. */
  #changed(): void {
    if (this.#changing) return;
    this.#changing = true;
    queueMicrotask(() => {
      this.#changing = false;
      for (const { link } of this.#links.values()) link.poke();
      if (this.#started) this.#announce();
      for (const listener of this.#listeners) listener();
    });
  }
}

function sameHello(a: Hello, b: Hello): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
