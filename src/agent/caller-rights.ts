import type { Clock, Timer } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { abortReason } from '../lib/signals.ts';
import { type Caller, type Callers, type Grants, NO_RIGHTS, type Rights } from '../model/rights.ts';
import type { Followed, WatchPool } from './cache/watch-pool.ts';

export interface CallerRightsDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly clock: Clock;
  /** How long what was known counts while no server is reached, milliseconds; then `downPolicy` does. */
  readonly ttlMs: number;
  readonly downPolicy: 'allow' | 'deny' | 'extend-cache' | 'async-cache';
  /** Rights of a secret that this agent knows by itself. */
  readonly own: (secret: string) => Rights | undefined;
  readonly compile: (grants: Grants) => Rights;
}

interface Entry {
  state: Followed<Grants> | undefined;
  caller: Caller | undefined;
  usedAt: number;
  readonly waiters: Set<() => void>;
  end: () => void;
}

/** Tokens followed at most; the one not used for longest goes first. */
const MAX_TOKENS = 4_096;
/** A token that nobody uses for this long is no longer followed, milliseconds. */
const IDLE_MS = 600_000;
const SWEEP_MS = 60_000;
/** Longest wait for a server's word on a token, milliseconds. */
const ASK_MS = 3_000;

const ANY: Grants = { AccessorID: '', Everything: false, Replication: false, DefaultAllow: true, Rules: [] };

/**
 * What tokens may do at this agent's own endpoints, followed from the servers: a change is known at once. That a token does
 * not exist is never kept.
 */
export class CallerRights implements Callers {
  readonly #deps: CallerRightsDeps;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<() => void>();
  #sweeper: Timer | undefined;

  constructor(deps: CallerRightsDeps) {
    this.#deps = deps;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  peek(secret: string): Caller | undefined {
    const own = this.#deps.own(secret);
    if (own !== undefined) return { accessor: '', rights: own };
    const entry = this.#entries.get(secret);
    if (entry === undefined) return undefined;
    entry.usedAt = this.#deps.clock.now();
    return this.#judge(entry);
  }

  async resolve(secret: string, signal: AbortSignal): Promise<Caller> {
    const known = this.peek(secret);
    if (known !== undefined) return known;
    const entry = this.#entries.get(secret) ?? this.#begin(secret);
    entry.usedAt = this.#deps.clock.now();
    if (entry.state === undefined) await this.#first(entry, signal);
    if (isUnknown(entry.state)) throw new IsthmusError('permission_denied', 'ACL not found');
    return this.#judge(entry) ?? { accessor: '', rights: this.#whileDown() };
  }

  close(): void {
    this.#sweeper?.cancel();
    for (const [secret, entry] of this.#entries) this.#end(secret, entry);
  }

  /** Undefined while nothing was told of the token. */
  #judge({ caller, state }: Entry): Caller | undefined {
    const lostAt = state?.lostAt;
    const { clock, ttlMs, downPolicy } = this.#deps;
    if (caller === undefined || lostAt === undefined || clock.now() - lostAt < ttlMs) return caller;
    if (downPolicy === 'extend-cache' || downPolicy === 'async-cache') return caller;
    return { accessor: caller.accessor, rights: this.#whileDown() };
  }

  #whileDown(): Rights {
    return this.#deps.downPolicy === 'allow' ? this.#deps.compile(ANY) : NO_RIGHTS;
  }

  #begin(secret: string): Entry {
    const { clock, pool, compile } = this.#deps;
    const entry: Entry = {
      state: undefined,
      caller: undefined,
      usedAt: 0,
      waiters: new Set(),
      end: () => undefined,
    };
    this.#entries.set(secret, entry);
    entry.end = pool.follow('acl.grants', {}, secret === '' ? {} : { token: secret }, (state) => {
      const changed = state.value !== entry.state?.value;
      entry.state = state;
      if (state.value !== undefined && changed)
        entry.caller = { accessor: state.value.AccessorID, rights: compile(state.value) };
      if (isUnknown(state)) this.#end(secret, entry);
      for (const waiter of [...entry.waiters]) waiter();
      if (changed || isUnknown(state)) for (const listener of [...this.#listeners]) listener();
    });
    if (this.#entries.get(secret) !== entry) entry.end(); // it turned out at once that there is no such token
    if (this.#entries.size > MAX_TOKENS) this.#end(...(this.#entries.entries().next().value as [string, Entry]));
    this.#sweeper ??= clock.after(SWEEP_MS, () => this.#sweep());
    return entry;
  }

  #first(entry: Entry, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        timer.cancel();
        entry.waiters.delete(finish);
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = (): void => {
        finish();
        reject(abortReason(signal));
      };
      const timer = this.#deps.clock.after(ASK_MS, finish);
      entry.waiters.add(finish);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
  }

  #sweep(): void {
    this.#sweeper = undefined;
    const before = this.#deps.clock.now() - IDLE_MS;
    for (const [secret, entry] of this.#entries) if (entry.usedAt < before) this.#end(secret, entry);
    if (this.#entries.size > 0) this.#sweeper = this.#deps.clock.after(SWEEP_MS, () => this.#sweep());
  }

  #end(secret: string, entry: Entry): void {
    if (this.#entries.get(secret) === entry) this.#entries.delete(secret);
    entry.end();
  }
}

/** The servers know no such token. */
function isUnknown(state: Followed<Grants> | undefined): boolean {
  return state?.code === 'permission_denied' || state?.code === 'unauthenticated';
}
