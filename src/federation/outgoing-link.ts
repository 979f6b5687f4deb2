import { Backoff } from '../lib/backoff.ts';
import { type Clock, type Moment, momentOf, type Timer } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { linkSignals, sleep } from '../lib/signals.ts';
import type { ChangeSource } from '../rpc/contract/changes.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import type { SnapshotContract } from '../rpc/contract/snapshots.ts';
import { createChannel, type RpcChannel } from '../rpc/transport/channel.ts';
import type { Hello, LinkMessage, LinkMessageInit, LinkStream, TransportLimits } from '../rpc/transport/handlers.ts';
import { Heartbeat } from '../rpc/transport/heartbeat.ts';
import { createRemoteChanges, createRemoteContract } from '../rpc/transport/remote-contract.ts';
import type { PeerIdentity, TransportSecurity } from '../rpc/transport/security.ts';
import { createRemoteSnapshots } from '../rpc/transport/snapshots-wire.ts';
import type { Logger } from '../telemetry/types.ts';
import { MAX_HELLOS, MAX_MESSAGES } from './hello.ts';
import { isUsable, type LinkRefusal, type LinkState, TOO_MANY_SERVERS } from './link-state.ts';
import { type Peer, type PeerLink, type Peers, peerKey } from './peers.ts';
import type { FederationTimings } from './timings.ts';

/** A link whose Hellos name servers; what it named is forgotten with it. */
export type Teller = object;

export interface OutgoingLinkDeps {
  readonly address: string;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly monotonicMs: () => number;
  readonly timings: FederationTimings;
  readonly log: Logger;
  readonly security?: TransportSecurity;
  readonly limits?: TransportLimits;
  /** This server's Hello as it is now. */
  readonly hello: () => LinkMessageInit;
  /** @param before the first Hello of this connection */
  readonly evaluate: (
    hello: Hello,
    peer: PeerIdentity | undefined,
    before: Hello | undefined,
  ) => LinkRefusal | undefined;
  /** Learns the servers that the other side names. */
  readonly onHello: (hello: Hello, teller: Teller) => void;
  /** The link ended, and with it what it named. */
  readonly onEnd: (teller: Teller) => void;
  /** True while another link reaches the server: this one is not needed. @param key as of peers */
  readonly servedElsewhere: (key: string) => boolean;
  /** A server answered here. */
  readonly onAnswer: () => void;
  /** True when somebody else named the address. */
  readonly hearsay: () => boolean;
  readonly onChange: () => void;
  /** A round-trip time was measured. */
  readonly onMeasured: () => void;
}

/**
 * Pauses between two tries grow this much longer where an address was only named by others, and never answered.
 */
const HEARSAY_PAUSES = 10;

/** What calls go over, while the link is up. */
export interface LinkCarrier {
  readonly contract: ServerContract;
  readonly changes: ChangeSource;
  readonly snapshots: SnapshotContract;
}

/** The link that this server dials to one address, for as long as the address is of interest. */
export class OutgoingLink {
  readonly address: string;
  /** What the server that answered there last said of itself. */
  hello: Hello | undefined;
  readonly #expected: string | undefined;
  readonly #deps: OutgoingLinkDeps;
  readonly #backoff: Backoff;
  #state: LinkState;
  #carrier: LinkCarrier | undefined;
  #channel: RpcChannel | undefined;
  #stream: LinkStream | undefined;
  #heartbeat: Heartbeat | undefined;
  #wake: (() => void) | undefined;
  #refusal: LinkRefusal | undefined;
  #farewell: Timer | undefined;
  /** Since the last heartbeat. */
  #messages = 0;
  #hellos = 0;
  #lastRefusal = '';
  /** Since when it could not be reached, over all attempts; logged once. */
  #downSince: Moment | undefined;

  /** @param expected key of the server that is said to be there */
  constructor(deps: OutgoingLinkDeps, expected?: string) {
    this.#deps = deps;
    this.address = deps.address;
    this.#expected = expected;
    this.#state = { kind: 'idle', since: deps.clock.now() };
    this.#backoff = new Backoff({ baseMs: 100, maxMs: deps.timings.reconnectMs });
  }

  /** Of the server that answered there last, else of the one that is said to be there; as of peers. */
  get key(): string | undefined {
    return this.hello === undefined ? this.#expected : peerKey(this.hello);
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Present while calls may go over the link. */
  get carrier(): LinkCarrier | undefined {
    return isUsable(this.#state) ? this.#carrier : undefined;
  }

  /** Since when it could not be reached; undefined while it is, and before the first attempt has failed. */
  get downSince(): number | undefined {
    return this.#downSince?.steady;
  }

  get rttMs(): number | undefined {
    return this.#heartbeat?.rttMs;
  }

  /** Dials, and dials again, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { key } = this;
      if (key !== undefined && this.#deps.servedElsewhere(key)) {
        if (this.#state.kind !== 'idle') this.#become({ kind: 'idle', since: this.#deps.clock.now() });
        await this.#changed(signal);
        continue;
      }
      const pause = await this.#session(signal);
      if (!signal.aborted && pause > 0) await this.#pause(pause, signal);
    }
  }

  /** Something changed that may make an idle link needed again. */
  poke(): void {
    if (this.#state.kind === 'idle') this.#wake?.();
  }

  /** Dials at once instead of waiting for the end of a pause. */
  hurry(): void {
    if (this.#state.kind === 'down' || this.#state.kind === 'refused') this.#wake?.();
  }

  /** One heartbeat: asks whether the other side is there, and evaluates its silence. */
  beat(): void {
    const heartbeat = this.#heartbeat;
    if (heartbeat === undefined || this.#stream === undefined || !isUsable(this.#state)) return;
    const { heartbeatMs, suspectMs, downMs } = this.#deps.timings;
    this.#messages = 0;
    this.#hellos = 0;
    const silentMs = heartbeat.beat() * heartbeatMs;
    if (silentMs >= downMs) {
      this.#channel?.close(new IsthmusError('unavailable', `nothing heard from ${this.address} for ${downMs} ms`));
      return;
    }
    if (silentMs >= suspectMs && this.#state.kind === 'up')
      this.#become({ kind: 'suspect', since: this.#deps.clock.now() });
    this.#ping();
  }

  /** Says something to the other side, if it listens. */
  send(message: LinkMessageInit): void {
    if (isUsable(this.#state)) this.#stream?.send(message);
  }

  /** Ends this side of the link after all that was sent has been read. */
  hangUp(): void {
    this.#stream?.end();
  }

  /** Ends the link because the sides turned out not to belong together. */
  refuse(refusal: LinkRefusal): void {
    const channel = this.#channel;
    if (channel === undefined || this.#refusal !== undefined) return;
    this.#refusal = refusal;
    this.#carrier = undefined;
    // The other side ends the stream when it has read why; it is not waited for longer than for an answer.
    this.#stream?.send({ message: { case: 'refusal', value: { reason: refusal.code, message: refusal.reason } } });
    this.#stream?.end();
    this.#farewell = this.#deps.clock.after(this.#deps.timings.handshakeMs, () => channel.close());
  }

  /** One connection, from dialling to its end; returns the pause until the next, milliseconds. */
  async #session(signal: AbortSignal): Promise<number> {
    const { clock, timings } = this.#deps;
    const session = linkSignals(signal);
    let identity: PeerIdentity | undefined;
    const channel = createChannel({
      address: this.address,
      ...(this.#deps.security === undefined ? {} : { security: this.#deps.security }),
      ...(this.#deps.limits === undefined ? {} : { limits: this.#deps.limits }),
      onConnect: (peer) => {
        identity = peer;
        if (this.#state.kind === 'dialing') this.#become({ kind: 'handshaking', since: clock.now() });
      },
    });
    this.#channel = channel;
    this.#become({ kind: 'dialing', since: clock.now() });
    const handshake = clock.after(timings.handshakeMs, () =>
      channel.close(new IsthmusError('deadline', `${this.address} did not answer within ${timings.handshakeMs} ms`)),
    );
    let known: PeerLink | undefined;
    let said: Hello | undefined;
    let reason = new IsthmusError('unavailable', 'the other side ended the link');
    try {
      const stream = channel.link(session.signal);
      this.#stream = stream;
      stream.send(this.#deps.hello());
      for await (const message of stream.messages) {
        if (this.#refusal !== undefined) continue;
        this.#heartbeat?.heard();
        this.#messages += 1;
        if (message.message.case === 'hello') this.#hellos += 1;
        if (this.#messages > MAX_MESSAGES || this.#hellos > MAX_HELLOS)
          throw new IsthmusError('rejected', `${this.address} says too much`);
        if (this.#state.kind === 'suspect') this.#become({ kind: 'up', since: clock.now() });
        if (message.message.case === 'hello') {
          const hello = message.message.value;
          const refusal = this.#deps.evaluate(hello, identity, said);
          if (refusal !== undefined) {
            this.refuse(refusal);
            continue;
          }
          said ??= hello;
          this.hello = hello;
          this.#deps.onAnswer();
          if (known === undefined) {
            if (this.#deps.servedElsewhere(peerKey(hello))) return 0;
            known = this.#deps.peers.linked(hello, clock.steady(), true);
            if (known === undefined) {
              this.refuse(TOO_MANY_SERVERS);
              continue;
            }
            handshake.cancel();
            this.#up(channel, hello);
          } else known.update(hello);
          this.#deps.onHello(hello, this);
        } else this.#onMessage(message, known);
      }
    } catch (thrown) {
      reason = IsthmusError.from(thrown);
    } finally {
      handshake.cancel();
      this.#farewell?.cancel();
      session.release();
      const wasUp = isUsable(this.#state);
      this.#carrier = undefined;
      this.#stream = undefined;
      this.#heartbeat = undefined;
      this.#channel = undefined;
      channel.close(new IsthmusError('unavailable', `the link to ${this.address} was lost`));
      if (!signal.aborted && this.#refusal === undefined) this.#tellFailure(wasUp, reason.message);
    }
    this.#deps.onEnd(this);
    return this.#ended(signal, reason, known);
  }

  /** One line for each outage, however many attempts it takes. */
  #tellFailure(wasUp: boolean, reason: string): void {
    if (this.#downSince !== undefined) return;
    const peer = this.#peer();
    const fields = { peer: this.address, ...(peer !== undefined && { server: peer.hello.node }), reason };
    if (peer?.left) this.#deps.log.info('server left', fields);
    else this.#deps.log.warn(wasUp ? 'link down' : 'server not reached', fields);
  }

  #ended(signal: AbortSignal, reason: IsthmusError, known: PeerLink | undefined): number {
    const { clock, timings, log } = this.#deps;
    const now = clock.now();
    if (signal.aborted) {
      this.#state = { kind: 'idle', since: now };
      known?.end(clock.steady());
      return 0;
    }
    if (this.#refusal !== undefined) {
      const { code, reason: text } = this.#refusal;
      this.#refusal = undefined;
      const pause = timings.refusedMs;
      this.#state = { kind: 'refused', since: now, code, reason: text, retryAt: now + pause };
      if (this.#lastRefusal !== text) {
        this.#lastRefusal = text;
        if (code === 'self') log.debug('address leads back to this server', { peer: this.address });
        else log.error('refused to federate', { peer: this.address, reason: text });
      }
      known?.end(clock.steady());
      this.#deps.onChange();
      return pause;
    }
    const pause = this.#backoff.next() * (this.hello === undefined && this.#deps.hearsay() ? HEARSAY_PAUSES : 1);
    this.#downSince ??= momentOf(clock);
    this.#state = { kind: 'down', since: this.#downSince.at, reason: reason.message, retryAt: now + pause };
    known?.end(clock.steady());
    this.#deps.onChange();
    return pause;
  }

  #up(channel: RpcChannel, hello: Hello): void {
    const { clock, log, monotonicMs } = this.#deps;
    this.#backoff.reset();
    this.#lastRefusal = '';
    this.#downSince = undefined;
    this.#heartbeat = new Heartbeat(monotonicMs);
    this.#carrier = {
      contract: createRemoteContract({ channel, clock }),
      changes: createRemoteChanges(channel),
      snapshots: createRemoteSnapshots(channel),
    };
    log.info('link up', { peer: this.address, server: hello.node, datacenter: hello.datacenter });
    this.#become({ kind: 'up', since: clock.now() });
    this.#ping();
  }

  #peer(): Peer | undefined {
    return this.hello === undefined ? undefined : this.#deps.peers.get(peerKey(this.hello));
  }

  #onMessage({ message }: LinkMessage, known: PeerLink | undefined): void {
    switch (message.case) {
      case 'ping':
        this.#stream?.send({ message: { case: 'pong', value: message.value } });
        return;
      case 'pong': {
        this.#heartbeat?.pong(message.value.number);
        const peer = known?.peer;
        if (peer !== undefined && this.rttMs !== undefined) {
          peer.rttMs = this.rttMs;
          this.#deps.onMeasured();
        }
        return;
      }
      case 'refusal':
        this.#refusal = { code: message.value.reason, reason: message.value.message };
        this.#carrier = undefined;
        this.#stream?.end();
        return;
      case 'leaving':
        known?.leaving();
        return;
      default: // a message of a later version
    }
  }

  #ping(): void {
    const number = this.#heartbeat?.ping();
    if (number !== undefined) this.#stream?.send({ message: { case: 'ping', value: { number } } });
  }

  #become(state: LinkState): void {
    this.#state = state;
    this.#deps.onChange();
  }

  /** Waits for the end of the pause, or until hurried. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const linked = linkSignals(signal);
    this.#wake = () => linked.abort();
    // hurried, or the caller looks at its signal
    await sleep(this.#deps.clock, ms, linked.signal).catch(() => undefined);
    this.#wake = undefined;
    linked.release();
  }

  async #changed(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      if (signal.aborted) {
        resolve();
        return;
      }
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#wake = undefined;
        resolve();
      };
      this.#wake = done;
      signal.addEventListener('abort', done, { once: true });
    });
  }
}
