import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { type Caller, type Callers, type Grants, NO_RIGHTS, type Rights } from '../../model/rights.ts';
import type { CacheEntry } from '../../rpc/subscribe/cache-entry.ts';
import type { Question } from '../../rpc/subscribe/question.ts';
import { SubscriptionCache } from '../../rpc/subscribe/subscription-cache.ts';
import type { Followed, WatchPool } from '../../rpc/subscribe/watch-pool.ts';

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

/** Tokens whose rights are followed at most. */
const MAX_TOKENS = 4_096;
/** Longest wait for what servers say of a token, milliseconds. */
const ASK_MS = 3_000;

const ANY: Grants = { AccessorID: '', Everything: false, Replication: false, DefaultAllow: true, Rules: [] };

/**
 * What tokens may do at this agent's own endpoints, followed from the servers: a change is known at once. That a token
 * does not exist is never kept.
 */
export class CallerRights implements Callers {
  readonly #deps: CallerRightsDeps;
  readonly #cache: SubscriptionCache;
  readonly #listeners = new Set<() => void>();

  constructor(deps: CallerRightsDeps) {
    this.#deps = deps;
    this.#cache = new SubscriptionCache(deps, { max: MAX_TOKENS });
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  peek(secret: string): Caller | undefined {
    const own = this.#deps.own(secret);
    if (own !== undefined) return { accessor: '', rights: own };
    const entry = this.#cache.get(questionOf(secret));
    return entry === undefined ? undefined : this.#known(entry);
  }

  async resolve(secret: string, signal: AbortSignal): Promise<Caller> {
    const known = this.peek(secret);
    if (known !== undefined) return known;
    const entry = this.#cache.ask(questionOf(secret), (begun) => this.#follow(begun));
    await entry.first(ASK_MS, signal);
    if (isUnknown(entry.state)) throw new IsthmusError('permission_denied', 'ACL not found');
    return this.#known(entry) ?? { accessor: '', rights: this.#whileDown() };
  }

  close(): void {
    this.#cache.close();
  }

  /** Undefined before servers have said what the token may do. */
  #known(entry: CacheEntry<Grants>): Caller | undefined {
    const { value, state } = entry;
    if (value === undefined) return undefined;
    const { clock, ttlMs, downPolicy, compile } = this.#deps;
    let caller = entry.derived<Caller>(CALLER);
    if (caller === undefined) {
      caller = { accessor: value.AccessorID, rights: compile(value) };
      entry.keep(CALLER, caller);
    }
    const lostAt = state?.lostAt;
    if (lostAt === undefined || clock.steady() - lostAt < ttlMs) return caller;
    if (downPolicy === 'extend-cache' || downPolicy === 'async-cache') return caller;
    return { accessor: caller.accessor, rights: this.#whileDown() };
  }

  #whileDown(): Rights {
    return this.#deps.downPolicy === 'allow' ? this.#deps.compile(ANY) : NO_RIGHTS;
  }

  /** Those who listen hear of new rights, and of a token that is gone. */
  #follow(entry: CacheEntry<Grants>): void {
    let last: Grants | undefined;
    entry.onChange(() => {
      if (!entry.open) return;
      const gone = isUnknown(entry.state);
      if (gone) this.#cache.drop(entry);
      if (entry.value === last && !gone) return;
      last = entry.value;
      for (const listener of [...this.#listeners]) listener();
    });
  }
}

/** The name under which an entry keeps what its answer compiles to. */
const CALLER = 'caller';

function questionOf(secret: string): Question<'acl.grants'> {
  return { name: 'acl.grants', args: {}, ...(secret === '' ? {} : { token: secret }) };
}

/** The servers know no such token. */
function isUnknown(state: Followed<Grants> | undefined): boolean {
  return state?.code === 'permission_denied' || state?.code === 'unauthenticated';
}
