import { isDeepStrictEqual } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { ChangeSignal } from '../lib/change-signal.ts';
import { IsthmusError } from '../lib/errors.ts';
import { PerKeyLimit } from '../lib/per-key-limit.ts';
import type { Service } from '../lib/service.ts';
import { linkSignals, withDeadline } from '../lib/signals.ts';
import { createTaskGroup } from '../lib/task.ts';
import type { Member } from '../model/member.ts';
import type { ChangeSource } from '../rpc/contract/changes.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import type { SnapshotContract } from '../rpc/contract/snapshots.ts';
import { type Hello, HelloSchema, type LinkMessageInit, type LinkStream } from '../rpc/transport/handlers.ts';
import type { PeerIdentity } from '../rpc/transport/security.ts';
import type { Metrics } from '../telemetry/types.ts';
import { AcceptedLink } from './accepted-link.ts';
import { formatAddress, parseWanAddress } from './address.ts';
import { Dialler } from './dialler.ts';
import { helloFault } from './hello.ts';
import { isUsable, type LinkRefusal } from './link-state.ts';
import { certificateRefusal, epochKey, refusalBetween } from './may-federate.ts';
import { listMembers } from './members.ts';
import { Nearest } from './nearest.ts';
import type { LinkCarrier, Teller } from './outgoing-link.ts';
import { ownHello } from './own-hello.ts';
import { Peers, peerKey } from './peers.ts';
import { RefusalLog } from './refusal-log.ts';
import { RemoteDatacenter } from './remote-datacenter.ts';
import { DEFAULT_TIMINGS, type FederationTimings } from './timings.ts';
import type { Federation, FederationDeps, LinkStatus } from './types.ts';

export type { Federation, FederationDeps, FederationIdentity, LinkStatus } from './types.ts';

/**
 * A link that was lost less than this long ago, or a primary that was not reached yet since the start, may be there in
 * a moment, milliseconds.
 */
const JUST_LOST_MS = 5_000;
/** Longest wait for the others to read a farewell, milliseconds. */
const HANG_UP_MS = 1_000;
/** Epochs left by restores that are remembered. */
const MAX_LEFT_EPOCHS = 100;

export function createFederation(deps: FederationDeps): Federation {
  return new FederationService(deps);
}

class FederationService implements Federation {
  readonly service: Service;
  readonly handlers: Federation['handlers'];
  readonly #deps: FederationDeps;
  readonly #timings: FederationTimings;
  readonly #tasks;
  readonly #peers: Peers;
  readonly #dialler: Dialler;
  readonly #accepted = new Set<AcceptedLink>();
  /** A server has one link on a connection, and the listener bounds connections. */
  readonly #connections = new PerKeyLimit({ perKey: 1 });
  readonly #refusals: RefusalLog;
  readonly #leftEpochs = new Set<string>();
  readonly #changes = new ChangeSignal();
  readonly #nearest = new Nearest();
  readonly #remotes = new Map<string, RemoteDatacenter>();
  #hello: Hello;
  #started = false;
  #startedAt = 0;
  #leaving = false;

  constructor(deps: FederationDeps) {
    this.#deps = deps;
    this.#timings = { ...DEFAULT_TIMINGS, ...deps.timings };
    this.#peers = new Peers(() => this.#changes.notify());
    this.#refusals = new RefusalLog(deps.log);
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
    this.#dialler = new Dialler({
      nodeId: deps.nodeId,
      datacenter: deps.datacenter,
      tasks: this.#tasks,
      peers: this.#peers,
      clock: deps.clock,
      monotonicMs: deps.monotonicMs ?? (() => deps.clock.now()),
      timings: this.#timings,
      log: deps.log,
      ...(deps.security === undefined ? {} : { security: deps.security }),
      ...(deps.limits === undefined ? {} : { limits: deps.limits }),
      hello: () => this.#helloMessage(),
      evaluate: (hello, peer, before) => this.#evaluateFirst(hello, peer, before),
      onHello: (hello, teller) => this.#learn(hello, teller),
      onEnd: (teller) => this.#dialler.forgetTeller(teller),
      onChange: () => this.#changes.notify(),
      onMeasured: () => {
        if (this.#measureOrder()) this.#changes.notify();
      },
    });
    this.#changes.subscribe(() => {
      for (const link of this.#dialler.links()) link.poke();
      if (this.#started) this.#announce();
    });
    this.#declareMetrics(deps.metrics);
  }

  contract(datacenter: string): ServerContract {
    return datacenter === this.#deps.datacenter ? this.#deps.local : this.#remote(datacenter);
  }

  changes(datacenter: string): ChangeSource {
    return this.#remote(datacenter);
  }

  snapshots(datacenter: string): SnapshotContract {
    return this.#remote(datacenter);
  }

  datacenters(): readonly string[] {
    this.#measureOrder();
    return [this.#deps.datacenter, ...this.#nearest.order];
  }

  connected(): readonly string[] {
    return [...this.#known()].filter((datacenter) => this.#dialler.pick(datacenter) !== undefined).sort();
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
    return listMembers(this.#ownHello(), this.#deps.siblings?.() ?? [], this.#peers.all());
  }

  links(): readonly LinkStatus[] {
    return this.#dialler.status();
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
    this.#leaving = true;
    this.#broadcast({ message: { case: 'leaving', value: {} } });
  }

  forceLeave(name: string): number {
    let count = 0;
    for (const peer of this.#peers.all()) {
      const { node, datacenter } = peer.hello;
      if (peer.links > 0 || (name !== node && name !== `${node}.${datacenter}`)) continue;
      this.#peers.markLeft(peer.key);
      count += 1;
    }
    return count;
  }

  onChange(listener: () => void): () => void {
    return this.#changes.subscribe(listener);
  }

  async whenConnected(datacenter: string, signal: AbortSignal): Promise<void> {
    if (datacenter !== this.#deps.datacenter) await this.#whenLinked(datacenter, signal);
  }

  /** @returns whether the order of the datacenters is another one now. */
  #measureOrder(): boolean {
    return this.#nearest.update([...this.#known()].sort(), (datacenter) => this.rtt(datacenter));
  }

  async #start(_signal: AbortSignal): Promise<void> {
    this.#started = true;
    this.#startedAt = this.#deps.clock.steady();
    this.#hello = this.#ownHello();
    for (const address of this.#deps.retryJoinWan) this.#dialler.dial(parseWanAddress(address));
    const { heartbeatMs } = this.#timings;
    this.#tasks.loop('heartbeat', { pauseMs: heartbeatMs }, async () => this.#beat());
  }

  async #stop(): Promise<void> {
    this.#started = false;
    if (this.#leaving) await this.#hangUp();
    await this.#tasks.stop(); // those who wait for a link learn that there will be none
  }

  /** Lets the others read that this server leaves; who does not answer is not waited for. */
  async #hangUp(): Promise<void> {
    const limit = withDeadline(this.#deps.clock, HANG_UP_MS, 'hanging up', this.#tasks.signal);
    for (const link of this.#dialler.links()) link.hangUp();
    try {
      while (!this.#dialler.reached().next().done) await this.#changes.next(limit.signal);
    } catch {
      // the deadline: they will find out by the silence
    } finally {
      limit.release();
    }
  }

  /** Sends heartbeats, evaluates silence, and notices what changed about this server itself. */
  #beat(): void {
    for (const link of this.#dialler.links()) link.beat();
    for (const link of this.#accepted) link.beat();
    const forgotten = this.#peers.forget(this.#deps.clock.steady() - this.#timings.forgetMs);
    for (const key of forgotten) this.#dialler.forget(key);
    for (const peer of this.#peers.all()) if (peer.left && peer.links === 0) this.#dialler.forget(peer.key);
    this.#announce();
  }

  /** Tells everyone when this server's Hello has changed, and evaluates the others again. */
  #announce(): void {
    const hello = this.#ownHello();
    if (isDeepStrictEqual(hello, this.#hello)) return;
    this.#noteEpochs(this.#hello, hello);
    this.#hello = hello;
    for (const link of this.#dialler.links()) {
      const refusal = link.hello === undefined || !isUsable(link.state) ? undefined : this.#evaluate(link.hello);
      if (refusal !== undefined) link.refuse(refusal);
    }
    for (const link of this.#accepted) {
      const refusal = link.hello === undefined ? undefined : this.#evaluate(link.hello);
      if (refusal !== undefined) link.refuse(refusal);
    }
    this.#broadcast({ message: { case: 'hello', value: hello } });
  }

  #broadcast(message: LinkMessageInit): void {
    for (const link of this.#dialler.links()) link.send(message);
    for (const link of this.#accepted) link.send(message);
  }

  async #accept(stream: LinkStream, signal: AbortSignal): Promise<void> {
    if (!this.#started) return; // the dialler tries again
    const slot = this.#connections.admit(stream.peer);
    if (slot === undefined) return;
    const link = new AcceptedLink({
      stream,
      peers: this.#peers,
      clock: this.#deps.clock,
      timings: this.#timings,
      log: this.#deps.log,
      hello: () => this.#helloMessage(),
      evaluate: (hello, peer, before) => this.#evaluateFirst(hello, peer, before),
      onHello: (hello, teller) => {
        this.#refusals.forget(hello);
        this.#learn(hello, teller);
      },
      onEnd: (teller) => this.#dialler.forgetTeller(teller),
      onRefused: (peer, hello, refusal) => this.#logRefusal(peer, hello, refusal),
    });
    this.#accepted.add(link);
    const linked = linkSignals(signal, this.#tasks.signal);
    try {
      await link.run(linked.signal);
    } finally {
      linked.release();
      slot.release();
      this.#accepted.delete(link);
    }
  }

  /** True when this server dials that one too, and logs refusals there. */
  #dialsItself(hello: Hello): boolean {
    const { wan } = hello;
    const address = wan === undefined ? undefined : formatAddress({ address: wan.host, port: wan.port });
    return [...this.#dialler.links()].some((link) => link.key === peerKey(hello) || link.address === address);
  }

  #logRefusal(peer: string, hello: Hello | undefined, refusal: LinkRefusal): void {
    if (refusal.code === 'self' || (hello !== undefined && this.#dialsItself(hello))) return;
    this.#refusals.note(peer, hello, refusal.reason);
  }

  #learn(hello: Hello, teller: Teller): void {
    this.#dialler.learn(teller, hello);
    this.#announce();
  }

  async #joinOne(address: string, signal: AbortSignal): Promise<string | undefined> {
    const link = this.#dialler.dial(address);
    const before = link.state;
    link.hurry();
    if (before.kind === 'down' || before.kind === 'refused')
      while (link.state === before) await this.#changes.next(signal);
    for (;;) {
      const { state } = link;
      if (isUsable(state) || (state.kind === 'idle' && link.hello !== undefined)) return undefined;
      if (state.kind === 'refused') return state.code === 'self' ? undefined : `${address}: ${state.reason}`;
      if (state.kind === 'down') return `${address}: ${state.reason}`;
      await this.#changes.next(signal);
    }
  }

  /** What arrives is looked at as what its sender proves, before anything is compared with it. */
  #evaluateFirst(hello: Hello, peer: PeerIdentity | undefined, before: Hello | undefined): LinkRefusal | undefined {
    return helloFault(hello, before) ?? certificateRefusal(hello, peer) ?? this.#evaluate(hello);
  }

  #evaluate(hello: Hello): LinkRefusal | undefined {
    this.#noteEpochs(this.#peers.get(peerKey(hello))?.hello, hello);
    const own = this.#ownHello();
    this.#noteEpochs(this.#hello, own);
    return refusalBetween(own, hello, this.#peers.aliveHellos(), this.#leftEpochs);
  }

  /** A server that says another epoch than before had its store restored; others of its datacenter may not know yet. */
  #noteEpochs(before: Hello | undefined, now: Hello): void {
    if (before === undefined || before.epoch === '' || before.epoch === now.epoch) return;
    if (this.#leftEpochs.size >= MAX_LEFT_EPOCHS) this.#leftEpochs.clear();
    this.#leftEpochs.add(epochKey(before));
  }

  #ownHello(): Hello {
    return ownHello(this.#deps, this.#dialler.reached());
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

  #backSoon(datacenter: string): boolean {
    const justStarted = this.#started && this.#startedAt > this.#deps.clock.steady() - JUST_LOST_MS;
    return (
      (justStarted && datacenter === this.#deps.primaryDatacenter) || this.#dialler.justLost(datacenter, JUST_LOST_MS)
    );
  }

  #remote(datacenter: string): RemoteDatacenter {
    let remote = this.#remotes.get(datacenter);
    if (remote === undefined) {
      remote = new RemoteDatacenter({
        datacenter,
        clock: this.#deps.clock,
        pick: (except) => this.#dialler.pick(datacenter, except),
        backSoon: () => this.#backSoon(datacenter),
        linked: (signal) => this.#whenLinked(datacenter, signal),
      });
      // names come from requests: keep real ones
      if (this.#known().has(datacenter)) this.#remotes.set(datacenter, remote);
    }
    return remote;
  }

  async #whenLinked(datacenter: string, signal: AbortSignal): Promise<LinkCarrier> {
    const linked = linkSignals(signal, this.#tasks.signal);
    try {
      for (;;) {
        const carrier = this.#dialler.pick(datacenter);
        if (carrier !== undefined) return carrier;
        await this.#changes.next(linked.signal);
      }
    } finally {
      linked.release();
    }
  }

  #declareMetrics(metrics: Metrics): void {
    const labels = ['datacenter'];
    metrics.gauge(
      { name: 'isthmus_federation_link_up', help: '1 while calls reach the datacenter, 0 while they do not.', labels },
      (set) => {
        for (const datacenter of this.#known())
          set(this.#dialler.pick(datacenter) === undefined ? 0 : 1, { datacenter });
      },
    );
    metrics.gauge(
      {
        name: 'isthmus_federation_round_trip_seconds',
        help: 'Smoothed round-trip time to the nearest server of the datacenter.',
        labels,
      },
      (set) => {
        for (const datacenter of this.#known()) {
          const rtt = this.rtt(datacenter);
          if (rtt !== undefined) set(rtt / 1_000, { datacenter });
        }
      },
    );
  }
}
