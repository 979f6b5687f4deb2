import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { abortable, linkSignals } from '../lib/signals.ts';
import type { Hello, LinkMessageInit, LinkStream } from '../rpc/transport/handlers.ts';
import type { PeerIdentity } from '../rpc/transport/security.ts';
import type { Logger } from '../telemetry/types.ts';
import { MAX_HELLOS, MAX_MESSAGES } from './hello.ts';
import { type LinkRefusal, TOO_MANY_SERVERS } from './link-state.ts';
import type { Teller } from './outgoing-link.ts';
import type { PeerLink, Peers } from './peers.ts';
import type { FederationTimings } from './timings.ts';

export interface AcceptedLinkDeps {
  readonly stream: LinkStream;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly timings: FederationTimings;
  readonly log: Logger;
  readonly hello: () => LinkMessageInit;
  /** @param before the first Hello of this link */
  readonly evaluate: (
    hello: Hello,
    peer: PeerIdentity | undefined,
    before: Hello | undefined,
  ) => LinkRefusal | undefined;
  readonly onHello: (hello: Hello, teller: Teller) => void;
  readonly onEnd: (teller: Teller) => void;
  /** One of the two sides will not federate; `hello` is the other side's, as far as it is known. */
  readonly onRefused: (peer: string, hello: Hello | undefined, refusal: LinkRefusal) => void;
}

/** The link that another server dialled to this one. It answers; the other side measures and sends calls over it. */
export class AcceptedLink {
  readonly #deps: AcceptedLinkDeps;
  readonly #ended = new AbortController();
  #hello: Hello | undefined;
  #silentBeats = 0;
  /** Since the last heartbeat. */
  #hellos = 0;
  #messages = 0;

  constructor(deps: AcceptedLinkDeps) {
    this.#deps = deps;
  }

  /** Who dialled; undefined until it said so. */
  get hello(): Hello | undefined {
    return this.#hello;
  }

  /** Holds the link until it ends. */
  async run(signal: AbortSignal): Promise<void> {
    const { stream, clock, timings } = this.#deps;
    const linked = linkSignals(signal, this.#ended.signal);
    const handshake = clock.after(timings.handshakeMs, () => this.#end('said no Hello in time'));
    let known: PeerLink | undefined;
    const messages = stream.messages[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await abortable(messages.next(), linked.signal);
        if (next.done === true) return;
        const { message } = next.value;
        this.#silentBeats = 0;
        this.#messages += 1;
        if (message.case === 'hello') this.#hellos += 1;
        if (this.#messages > MAX_MESSAGES || this.#hellos > MAX_HELLOS)
          throw new IsthmusError('rejected', 'the other side says too much');
        if (message.case === 'hello') {
          handshake.cancel();
          known = this.#onHello(message.value, known);
          if (known === undefined) return;
        } else if (message.case === 'ping') {
          stream.send({ message: { case: 'pong', value: message.value } });
        } else if (message.case === 'refusal') {
          const { reason: code, message: reason } = message.value;
          this.#deps.onRefused(stream.peer, this.#hello, { code, reason });
          return;
        } else if (message.case === 'leaving') known?.leaving();
      }
    } catch (thrown) {
      const error = IsthmusError.from(thrown);
      if (error.code !== 'cancelled' && error.code !== 'unavailable')
        this.#deps.log.warn('accepted link ended', { peer: stream.peer, reason: error.message });
    } finally {
      handshake.cancel();
      linked.release();
      stream.end();
      known?.end(clock.steady());
      this.#deps.onEnd(this);
    }
  }

  /** One heartbeat: a dialler that sends none any more is gone. */
  beat(): void {
    const { heartbeatMs, downMs } = this.#deps.timings;
    if (this.#silentBeats * heartbeatMs >= downMs) this.#end('sent no heartbeats any more');
    this.#silentBeats += 1;
    this.#hellos = 0;
    this.#messages = 0;
  }

  send(message: LinkMessageInit): void {
    if (this.#hello !== undefined) this.#deps.stream.send(message);
  }

  refuse(refusal: LinkRefusal): void {
    const { code, reason } = refusal;
    this.#deps.onRefused(this.#deps.stream.peer, this.#hello, refusal);
    this.#deps.stream.send({ message: { case: 'refusal', value: { reason: code, message: reason } } });
    this.#end('refused');
  }

  /** @returns undefined when it was refused */
  #onHello(hello: Hello, known: PeerLink | undefined): PeerLink | undefined {
    const { stream, peers, clock } = this.#deps;
    const refusal = this.#deps.evaluate(hello, stream.identity, known === undefined ? undefined : this.#hello);
    if (refusal !== undefined) {
      // Only what has the form of a name is shown in a log.
      if (refusal.code !== 'name') this.#hello = hello;
      this.refuse(refusal);
      known?.end(clock.steady());
      return undefined;
    }
    this.#hello = hello;
    if (known === undefined) {
      const link = peers.linked(hello, clock.steady(), false);
      if (link === undefined) {
        this.refuse(TOO_MANY_SERVERS);
        return undefined;
      }
      stream.send(this.#deps.hello());
      this.#deps.onHello(hello, this);
      return link;
    }
    known.update(hello);
    this.#deps.onHello(hello, this);
    return known;
  }

  #end(why: string): void {
    this.#ended.abort(new IsthmusError('unavailable', why));
  }
}
