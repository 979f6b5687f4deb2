import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { type Caller, type Callers, type Grants, NO_RIGHTS, type Rights } from '../model/rights.ts';
import type { Followed, WatchPool } from '../rpc/subscribe/watch-pool.ts';
import { FollowedQuestion, FollowedQuestions } from './cache/followed-questions.ts';

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

class Entry extends FollowedQuestion<Grants> {
  caller: Caller | undefined;
}

/** Longest wait for a server's word on a token, milliseconds. */
const ASK_MS = 3_000;

const ANY: Grants = { AccessorID: '', Everything: false, Replication: false, DefaultAllow: true, Rules: [] };

/**
 * What tokens may do at this agent's own endpoints, followed from the servers: a change is known at once. That a token does
 * not exist is never kept.
 */
export class CallerRights implements Callers {
  readonly #deps: CallerRightsDeps;
  readonly #entries: FollowedQuestions<Entry>;
  readonly #listeners = new Set<() => void>();

  constructor(deps: CallerRightsDeps) {
    this.#deps = deps;
    this.#entries = new FollowedQuestions(deps.clock);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  peek(secret: string): Caller | undefined {
    const own = this.#deps.own(secret);
    if (own !== undefined) return { accessor: '', rights: own };
    const entry = this.#entries.get(secret);
    return entry === undefined ? undefined : this.#judge(entry);
  }

  async resolve(secret: string, signal: AbortSignal): Promise<Caller> {
    const known = this.peek(secret);
    if (known !== undefined) return known;
    const entry = this.#entries.get(secret) ?? this.#begin(secret);
    await entry.first(this.#deps.clock, ASK_MS, signal);
    if (isUnknown(entry.state)) throw new IsthmusError('permission_denied', 'ACL not found');
    return this.#judge(entry) ?? { accessor: '', rights: this.#whileDown() };
  }

  close(): void {
    this.#entries.close();
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
    const { pool, compile } = this.#deps;
    const entry = new Entry();
    let told: Grants | undefined;
    this.#entries.add(secret, entry);
    entry.begin(
      (onState) => pool.follow('acl.grants', {}, secret === '' ? {} : { token: secret }, onState),
      () => {
        const { state } = entry;
        const gone = isUnknown(state);
        if (gone) this.#entries.end(secret, entry);
        if (state?.value === told && !gone) return;
        told = state?.value;
        if (told !== undefined) entry.caller = { accessor: told.AccessorID, rights: compile(told) };
        for (const listener of [...this.#listeners]) listener();
      },
    );
    return entry;
  }
}

/** The servers know no such token. */
function isUnknown(state: Followed<Grants> | undefined): boolean {
  return state?.code === 'permission_denied' || state?.code === 'unauthenticated';
}
