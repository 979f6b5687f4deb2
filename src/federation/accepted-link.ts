import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { abortable, linkSignals } from '../lib/signals.ts';
import type { Hello, LinkMessageInit, LinkStream } from '../rpc/transport/handlers.ts';
import type { PeerIdentity } from '../rpc/transport/security.ts';
import type { Logger } from '../telemetry/types.ts';
import type { LinkRefusal } from './link-state.ts';
import type { Peers } from './peers.ts';
import type { FederationTimings } from './timings.ts';

export interface AcceptedLinkDeps {
  readonly stream: LinkStream;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly timings: FederationTimings;
  readonly log: Logger;
  readonly hello: () => LinkMessageInit;
  readonly judge: (hello: Hello, peer: PeerIdentity | undefined) => LinkRefusal | undefined;
  readonly onHello: (hello: Hello) => void;
  /** One of the two sides will not federate; `hello` is the other side's, as far as it is known. */
  readonly onRefused: (peer: string, hello: Hello | undefined, refusal: LinkRefusal) => void;
}

/** The link that another server dialled to this one. It answers; the other side measures and sends calls over it. */
export class AcceptedLink {
  readonly #deps: AcceptedLinkDeps;
  readonly #ended = new AbortController();
  #hello: Hello | undefined;
  #silentBeats = 0;

  constructor(deps: AcceptedLinkDeps) {
    this.#deps = deps;
  }

  /** Who dialled; undefined until it told. */
  get hello(): Hello | undefined {
    return this.#hello;
  }

  /** Holds the link until it ends. */
  async run(signal: AbortSignal): Promise<void> {
    const { stream, peers, clock, timings } = this.#deps;
    const linked = linkSignals(signal, this.#ended.signal);
    const handshake = clock.after(timings.handshakeMs, () => this.#end('said no Hello in time'));
    let unlink: ((at: number) => void) | undefined;
    const messages = stream.messages[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await abortable(messages.next(), linked.signal);
        if (next.done === true) return;
        const { message } = next.value;
        this.#silentBeats = 0;
        if (message.case === 'hello') {
          const hello = message.value;
          const refusal = this.#deps.judge(hello, stream.identity);
          if (refusal !== undefined) {
            this.#hello = hello;
            this.refuse(refusal);
            return;
          }
          handshake.cancel();
          const first = unlink === undefined;
          this.#hello = hello;
          if (unlink === undefined) unlink = peers.linked(hello, clock.now());
          else peers.update(hello, clock.now());
          if (first) stream.send(this.#deps.hello());
          this.#deps.onHello(hello);
        } else if (message.case === 'ping') {
          stream.send({ message: { case: 'pong', value: message.value } });
        } else if (message.case === 'refusal') {
          const { reason: code, message: reason } = message.value;
          this.#deps.onRefused(stream.peer, this.#hello, { code, reason });
          return;
        } else if (message.case === 'leaving' && this.#hello !== undefined) {
          peers.markLeft(this.#hello.nodeId);
        }
      }
    } catch (thrown) {
      const error = IsthmusError.from(thrown);
      if (error.code !== 'cancelled' && error.code !== 'unavailable')
        this.#deps.log.warn('accepted link ended', { peer: stream.peer, reason: error.message });
    } finally {
      handshake.cancel();
      linked.release();
      stream.end();
      unlink?.(clock.now());
    }
  }

  /** One heartbeat: a dialler that sends none any more is gone. */
  beat(): void {
    const { heartbeatMs, downMs } = this.#deps.timings;
    if (this.#silentBeats * heartbeatMs >= downMs) this.#end('sent no heartbeats any more');
    this.#silentBeats += 1;
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

  #end(why: string): void {
    this.#ended.abort(new IsthmusError('unavailable', why));
  }
}
