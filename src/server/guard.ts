import { hasCode, IsthmusError } from '../lib/errors.ts';
import { aborted, abortReason, linkSignals } from '../lib/signals.ts';
import type { AclToken } from '../model/acl.ts';
import type { Caller, Callers, Grants, Rights } from '../model/rights.ts';
import type {
  CallOptions,
  ReadOptions,
  ReadResult,
  ServerContract,
  WatchUpdate,
  WriteResult,
} from '../rpc/contract/contract.ts';
import type { ReadRights, RightsOptions, StoredFacts } from '../rpc/contract/methods/method.ts';
import { READS, type ReadArgs, type ReadName, type ReadValue } from '../rpc/contract/reads.ts';
import { makeResult } from '../rpc/contract/result.ts';
import { WRITES, type WriteArgs, type WriteName, type WriteValue } from '../rpc/contract/writes.ts';
import { describeMissing } from './replication-rights.ts';

export interface TokenCaller extends Caller {
  /**
   * The token itself, when this datacenter's tables do not hold it, and how long ago the primary said so, milliseconds.
   */
  readonly token?: AclToken;
  readonly ageMs?: number;
}

/** Knows tokens. '' is a call without one. */
export interface TokenCallers extends Callers {
  peek(token: string): TokenCaller | undefined;
  resolve(token: string, signal: AbortSignal): Promise<TokenCaller>;
}

export interface GuardDeps {
  /** Answers whatever it is asked. */
  readonly inner: ServerContract;
  readonly callers: TokenCallers;
  /** What a caller's rights are made of. */
  readonly grants: (caller: Caller) => Grants;
  readonly facts: StoredFacts;
  readonly options: RightsOptions;
  /** Newest revision that is shown. */
  readonly revision: () => number;
  /** The datacenter that decides, when it is not this one: the call goes there with its token. */
  readonly readElsewhere: (name: ReadName, options: CallOptions) => boolean;
  readonly writeElsewhere: <N extends WriteName>(name: N, args: WriteArgs<N>, options: CallOptions) => boolean;
}

/** Consul's text. */
export function permissionDenied(): IsthmusError {
  return new IsthmusError('permission_denied', 'Permission denied');
}

/**
 * The contract as tokens see it: what a token may not do is refused, what it may not see is left out. Answers are made
 * once for all and filtered afterwards, once for each set of rights.
 */
export class GuardedContract implements ServerContract {
  readonly #deps: GuardDeps;
  /** What is left of a shared answer, by who sees it. Nothing else keeps either key for long. */
  readonly #shown = new WeakMap<ReadResult<unknown>, WeakMap<Rights, ReadResult<unknown>>>();
  readonly #watched = new WeakMap<object, WeakMap<Rights, unknown>>();

  constructor(deps: GuardDeps) {
    this.#deps = deps;
  }

  async read<N extends ReadName>(name: N, args: ReadArgs<N>, options: ReadOptions): Promise<ReadResult<ReadValue<N>>> {
    const { inner } = this.#deps;
    if (this.#deps.readElsewhere(name, options)) return inner.read(name, args, options);
    if (name === SELF) return this.#readSelf(options) as Promise<ReadResult<ReadValue<N>>>;
    if (name === MISSING)
      return this.#readMissing(args as ReadArgs<typeof MISSING>, options) as Promise<ReadResult<ReadValue<N>>>;
    const caller = this.#peek(options) ?? (await this.#caller(options));
    if (name === GRANTS) return this.#grants(caller) as ReadResult<ReadValue<N>>;
    const { rights } = caller;
    if (rights.everything) return inner.read(name, args, options);
    this.#allowRead(name, args, rights);
    const result = await inner.read(name, this.#narrowed(name, args, rights), options);
    // It may have waited long: what counts is what the caller may do now.
    const now = options.index === undefined ? rights : (await this.#caller(options)).rights;
    return this.#show(name, args, result, now);
  }

  async write<N extends WriteName>(
    name: N,
    args: WriteArgs<N>,
    options: CallOptions,
  ): Promise<WriteResult<WriteValue<N>>> {
    const { inner, facts } = this.#deps;
    if (this.#deps.writeElsewhere(name, args, options)) return inner.write(name, args, options);
    const { rights } = this.#peek(options) ?? (await this.#caller(options));
    if (rights.everything) return inner.write(name, args, options);
    const method = WRITES[name];
    if (!method.rights(rights, args, facts)) throw permissionDenied();
    const { value, revision } = await inner.write(name, method.narrow?.(rights, args, facts) ?? args, options);
    return { value: method.show?.(rights, value, args) ?? value, revision };
  }

  async *watch<N extends ReadName>(
    name: N,
    args: ReadArgs<N>,
    options: CallOptions,
  ): AsyncIterable<WatchUpdate<ReadValue<N>>> {
    const { inner, callers } = this.#deps;
    if (this.#deps.readElsewhere(name, options)) {
      yield* inner.watch(name, args, options);
      return;
    }
    for (;;) {
      const caller = await this.#caller(options);
      const { rights, accessor } = caller;
      const life = linkSignals(options.signal);
      const unhook = callers.onChange(() => {
        if (callers.peek(options.token ?? '')?.rights !== rights) life.abort(CHANGED);
      });
      try {
        if (name === SELF) {
          const own = inner.watch('acl.token', { accessor }, { ...options, signal: life.signal });
          yield* own as AsyncIterable<WatchUpdate<ReadValue<N>>>;
          return;
        }
        if (name === GRANTS) {
          const { index, value } = this.#grants(caller);
          yield { index, value } as WatchUpdate<ReadValue<N>>;
          await aborted(life.signal);
          if (options.signal.aborted) throw abortReason(options.signal);
          continue;
        }
        this.#allowRead(name, args, rights);
        for await (const { index, value } of inner.watch(name, args, { ...options, signal: life.signal })) {
          if (life.signal.aborted) break;
          yield { index, value: this.#showWatched(name, args, value, rights) };
        }
        if (!life.signal.aborted) return;
      } catch (error) {
        if (life.signal.reason !== CHANGED || options.signal.aborted) throw error;
      } finally {
        unhook();
        life.release();
      }
    }
  }

  async #readMissing({ kinds }: ReadArgs<typeof MISSING>, options: ReadOptions) {
    const { rights } = await this.#caller(options);
    return makeResult({ value: { Problem: describeMissing(rights, kinds) }, index: this.#deps.revision() });
  }

  /** Consul looks for the token itself here, so its refusal carries the index. */
  async #readSelf(options: ReadOptions): Promise<ReadResult<AclToken>> {
    const { inner, callers, revision } = this.#deps;
    try {
      const { accessor, token, ageMs = 0 } = await callers.resolve(options.token ?? '', options.signal);
      if (token !== undefined) return makeResult({ value: token, index: revision(), lastContactMs: ageMs });
      return await inner.read('acl.token', { accessor }, options);
    } catch (error) {
      if (!hasCode(error, 'permission_denied')) throw error;
      throw new IsthmusError(error.code, error.message, { cause: error, details: { index: revision() } });
    }
  }

  #grants(caller: Caller): ReadResult<Grants> {
    return makeResult({ value: this.#deps.grants(caller), index: this.#deps.revision() });
  }

  #allowRead<N extends ReadName>(name: N, args: ReadArgs<N>, rights: Rights): void {
    const rule = READS[name].rights;
    if (rule === 'caller' || rule.allow?.(rights, args, this.#deps.options) === false) throw permissionDenied();
  }

  #narrowed<N extends ReadName>(name: N, args: ReadArgs<N>, rights: Rights): ReadArgs<N> {
    return READS[name].narrow?.(rights, args, this.#deps.facts) ?? args;
  }

  #peek({ token = '' }: CallOptions): TokenCaller | undefined {
    return this.#deps.callers.peek(token);
  }

  #caller({ token = '', signal }: CallOptions): Promise<TokenCaller> {
    return this.#deps.callers.resolve(token, signal);
  }

  /** All who watch an answer with the same rights get the same object, so that its changes are computed once. */
  #showWatched<N extends ReadName>(name: N, args: ReadArgs<N>, value: ReadValue<N>, rights: Rights): ReadValue<N> {
    if (rights.everything || showOf(name) === undefined || typeof value !== 'object' || value === null)
      return showValue(name, args, value, rights);
    let known = this.#watched.get(value);
    if (known === undefined) {
      known = new WeakMap();
      this.#watched.set(value, known);
    }
    if (!known.has(rights)) known.set(rights, showValue(name, args, value, rights));
    return known.get(rights) as ReadValue<N>;
  }

  #show<N extends ReadName>(
    name: N,
    args: ReadArgs<N>,
    result: ReadResult<ReadValue<N>>,
    rights: Rights,
  ): ReadResult<ReadValue<N>> {
    if (rights.everything || showOf(name) === undefined) return result;
    let known = this.#shown.get(result);
    if (known === undefined) {
      known = new WeakMap();
      this.#shown.set(result, known);
    }
    let shown = known.get(rights);
    if (shown === undefined) {
      const value = showValue(name, args, result.value, rights);
      const { index, knownLeader, lastContactMs } = result;
      shown = value === result.value ? result : makeResult({ value, index, knownLeader, lastContactMs });
      known.set(rights, shown);
    }
    return shown as ReadResult<ReadValue<N>>;
  }
}

const SELF: ReadName = 'acl.tokenSelf';
const MISSING = 'acl.missingForReplication';
const GRANTS: ReadName = 'acl.grants';
const CHANGED = new IsthmusError('cancelled', 'the caller’s rights changed');

function showValue<N extends ReadName>(name: N, args: ReadArgs<N>, value: ReadValue<N>, rights: Rights): ReadValue<N> {
  const show = showOf(name);
  if (rights.everything || show === undefined) return value;
  const shown = show(rights, value, args);
  if (shown === undefined) throw permissionDenied();
  return shown;
}

function showOf<N extends ReadName>(name: N): ReadRights<ReadArgs<N>, ReadValue<N>>['show'] {
  const rule: ReadRights<ReadArgs<N>, ReadValue<N>> | 'caller' = READS[name].rights;
  return rule === 'caller' ? undefined : rule.show;
}
