import type { Clock } from '../lib/clock.ts';
import { hasCode } from '../lib/errors.ts';
import type { TaskGroup } from '../lib/task.ts';
import { Trigger } from '../lib/trigger.ts';
import { turn } from '../lib/turn.ts';
import type { Callers } from '../model/rights.ts';
import { type SessionRefusal, tokenFault, unknownToken } from './session-entry.ts';

/** A session, as far as its token is concerned. */
export interface TokenHolder {
  readonly node: string;
  readonly token: string;
  /** Ends the session. */
  refuse(refusal: SessionRefusal): void;
}

/** Sessions that are looked at without a pause for others, and that wait for their primary's answer at once. */
const AT_ONCE = 64;

/**
 * Ends sessions whose token has lost its right, has expired or is gone. Looked at when somebody's rights have changed,
 * and now and then, since a token may be one that only the primary knows. While the primary is away, a session stays
 * what it is.
 */
export class SessionTokens {
  readonly #callers: Callers;
  readonly #holders = new Set<TokenHolder>();
  readonly #due = new Trigger();

  constructor(callers: Callers) {
    this.#callers = callers;
  }

  /** Follows the tokens until the tasks are stopped. @param everyMs longest time between two looks */
  start(tasks: TaskGroup, clock: Clock, everyMs: number): void {
    const unhook = this.#callers.onChange(() => this.#due.fire());
    tasks.signal.addEventListener('abort', unhook, { once: true });
    tasks.loop('tokens of sessions', {}, async (signal) => {
      await this.#due.wait(clock, everyMs, signal);
      await this.#checkAll(signal);
    });
  }

  /** @returns the function that ends it */
  follow(holder: TokenHolder): () => void {
    this.#holders.add(holder);
    this.#due.fire(); // what has changed while the session began
    return () => this.#holders.delete(holder);
  }

  async #checkAll(signal: AbortSignal): Promise<void> {
    const all = [...this.#holders];
    for (let at = 0; at < all.length && !signal.aborted; at += AT_ONCE) {
      await Promise.all(all.slice(at, at + AT_ONCE).map((holder) => this.#check(holder, signal)));
      await turn();
    }
  }

  async #check(holder: TokenHolder, signal: AbortSignal): Promise<void> {
    const { node, token } = holder;
    try {
      const caller = this.#callers.peek(token) ?? (await this.#callers.resolve(token, signal));
      const fault = caller.undecided === true ? undefined : tokenFault([node], caller.rights);
      if (fault !== undefined) holder.refuse(fault);
    } catch (thrown) {
      if (hasCode(thrown, 'permission_denied')) holder.refuse(unknownToken(thrown.message));
      else if (!hasCode(thrown, 'cancelled', 'unavailable', 'deadline')) throw thrown;
    }
  }
}
