import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { CaRoots } from '../../model/ca.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Logger } from '../../telemetry/types.ts';
import { type CachedAnswer, type CachedRead, Held } from './held.ts';

export interface RootsCacheDeps {
  readonly contract: Pick<ServerContract, 'watch'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** The agent's own ACL token, if it has one. */
  readonly token?: string;
}

/** What others need of the roots that the agent holds. */
export interface RootsSource {
  readonly held: Pick<Held<CaRoots>, 'current' | 'subscribe' | 'wait' | 'follow'>;
}

/** The trusted roots, followed from the servers and kept while these can't be reached. */
export class RootsCache implements Service, RootsSource {
  readonly name = 'roots cache';
  readonly held: Held<CaRoots>;
  readonly #deps: RootsCacheDeps;
  readonly #tasks;
  /** When the watch broke; undefined while it is open. */
  #lostAt: number | undefined;

  constructor(deps: RootsCacheDeps) {
    this.#deps = deps;
    this.held = new Held(deps.clock);
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (_name, error, retryInMs) =>
        deps.log.warn('following the roots failed', { error: error.message, retryInMs }),
    });
  }

  async start(): Promise<void> {
    const { contract, clock, token } = this.#deps;
    this.#tasks.loop('roots', { backoff: { baseMs: 100, maxMs: 10_000 } }, async (signal, progress) => {
      try {
        const updates = contract.watch('ca.roots', {}, token === undefined ? { signal } : { signal, token });
        for await (const { value, index } of updates) {
          this.#lostAt = undefined;
          progress();
          const known = this.held.current;
          // An epoch change may bring a lower index; the same one is the same answer.
          if (known === undefined || known.index !== index || !sameRoots(known.value, value))
            this.held.set(value, index);
        }
        throw new IsthmusError('unavailable', 'the watch on the roots ended');
      } finally {
        this.#lostAt ??= clock.steady();
      }
    });
  }

  async stop(): Promise<void> {
    await this.#tasks.stop();
  }

  /**
   * The roots at once if they are known, otherwise when they arrive. Throws `unavailable` when the wait is over first.
   */
  async get(options: CachedRead): Promise<CachedAnswer<CaRoots>> {
    const cacheHit = this.held.current !== undefined;
    const version = await this.held.wait(options);
    if (version === undefined)
      throw new IsthmusError(
        'unavailable',
        'CA is uninitialized and unable to sign certificates yet: no root certificate',
      );
    return { ...version, cacheHit, ageMs: this.#lostAt === undefined ? 0 : this.#deps.clock.steady() - this.#lostAt };
  }
}

function sameRoots(a: CaRoots, b: CaRoots): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
