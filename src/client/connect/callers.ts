import type { Clock } from '../../lib/clock.ts';
import { sleep } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import { serialOf } from '../../pki/certificate.ts';
import type { OpenConnections } from '../../sidecar/wire/open-connections.ts';
import type { Peer } from '../../sidecar/wire/peer.ts';
import type { Answer } from '../options.ts';
import type { Transport } from '../transport.ts';
import { follow } from './follow.ts';

export interface CallersDeps {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly tasks: TaskGroup;
  /** The service that is called. */
  readonly service: string;
  readonly open: OpenConnections;
  /** A change has ended an open connection. */
  readonly onEnded: (peer: Peer, reason: string) => void;
}

export interface CallerDecision {
  readonly allowed: boolean;
  /** The agent's words: which intention decided it. */
  readonly reason: string;
}

interface Known extends CallerDecision {
  readonly generation: number;
  readonly at: number;
}

/** Callers remembered at once. */
const MAX_KNOWN = 10_000;
/** A decision is asked for again after this: a default policy that changed is no change of intentions. */
const KEEP_MS = 60_000;
/** The same while intentions can't be followed. */
const KEEP_UNFOLLOWED_MS = 1_000;
/** How long answers may be older than the change that is followed, and the pause before they are asked for again. */
const CATCH_UP_MS = 2_000;
const CATCH_UP_PAUSE_MS = 25;

/**
 * Asks the agent about callers: each once for each change of the intentions. While the agent is away, what it said last
 * of a caller holds; one that is not known is refused.
 */
export class Callers {
  readonly #deps: CallersDeps;
  readonly #known = new Map<string, Known>();
  readonly #asking = new Map<string, Promise<Known>>();
  /** Counts changes of the intentions. */
  #generation = 0;
  /** Index of the newest one. */
  #changedAt = 0;
  #followed = false;

  constructor(deps: CallersDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { transport, tasks, service } = this.#deps;
    follow(tasks, 'intentions', {
      read: (call): Promise<Answer<unknown>> =>
        transport.json({
          method: 'GET',
          path: '/v1/connect/intentions/match',
          query: { by: 'destination', name: service },
          call,
        }),
      take: (_intentions, index) => {
        this.#followed = true;
        this.#generation += 1;
        this.#changedAt = index;
        this.#checkOpen();
      },
      failed: () => {
        this.#followed = false;
      },
    });
  }

  /** Throws what kept the agent from answering. */
  async decide(peer: Peer): Promise<CallerDecision> {
    for (;;) {
      const generation = this.#generation;
      const decision = await this.#decideNow(peer);
      if (generation === this.#generation) return decision;
    }
  }

  async #decideNow(peer: Peer): Promise<CallerDecision> {
    const key = keyOf(peer);
    const known = this.#known.get(key);
    const keep = this.#followed ? KEEP_MS : KEEP_UNFOLLOWED_MS;
    if (known?.generation === this.#generation && this.#deps.clock.steady() - known.at < keep) return known;
    let asking = this.#asking.get(key);
    if (asking === undefined) {
      asking = this.#ask(peer)
        .then(({ value }) => value)
        .finally(() => this.#asking.delete(key));
      this.#asking.set(key, asking);
    }
    try {
      return await asking;
    } catch (error) {
      if (known !== undefined) return known;
      throw error;
    }
  }

  async #ask(peer: Peer): Promise<Answer<Known>> {
    const { transport, service, clock } = this.#deps;
    const generation = this.#generation;
    const answer = await transport.json<{ readonly Authorized: boolean; readonly Reason: string }>({
      method: 'POST',
      path: '/v1/agent/connect/authorize',
      body: { Target: service, ClientCertURI: peer.uri, ClientCertSerial: serialOfPeer(peer) },
      call: { signal: this.#deps.tasks.signal },
    });
    const { Authorized, Reason } = answer.value;
    // What is older than the newest change is not kept for the next connection.
    const current = answer.index >= this.#changedAt ? generation : generation - 1;
    const known = { allowed: Authorized, reason: Reason, generation: current, at: clock.steady() };
    const key = keyOf(peer);
    this.#known.delete(key);
    const [oldest] = this.#known.size >= MAX_KNOWN ? this.#known.keys() : [];
    if (oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(key, known);
    return { value: known, index: answer.index };
  }

  /**
   * Ends what is no longer allowed. The agent follows the intentions for itself, so its answers may come a little
   * later.
   */
  #checkOpen(): void {
    const { tasks, clock } = this.#deps;
    const index = this.#changedAt;
    const generation = this.#generation;
    tasks.run('authorize open connections again', async (signal) => {
      const end = clock.steady() + CATCH_UP_MS;
      while (generation === this.#generation) {
        const indexes = await Promise.all(this.#openPeers().map((peer) => this.#check(peer)));
        if (indexes.every((one) => one >= index) || clock.steady() >= end) return;
        await sleep(clock, CATCH_UP_PAUSE_MS, signal);
      }
    });
  }

  /** One of those with the same certificate. */
  #openPeers(): readonly Peer[] {
    return [...new Map(this.#deps.open.peers().map((peer) => [keyOf(peer), peer])).values()];
  }

  async #check(peer: Peer): Promise<number> {
    const { value, index } = await this.#ask(peer);
    if (!value.allowed) {
      const key = keyOf(peer);
      const ended = this.#deps.open.abortWhere((other) => keyOf(other) === key);
      if (ended > 0) this.#deps.onEnded(peer, value.reason);
    }
    return index;
  }
}

function serialOfPeer({ chain }: Peer): string {
  return chain[0] === undefined ? '' : serialOf(chain[0]);
}

function keyOf(peer: Peer): string {
  return `${peer.uri} ${serialOfPeer(peer)}`;
}
