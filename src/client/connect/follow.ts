import { hasCode, IsthmusError } from '../../lib/errors.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { Answer, CallOptions } from '../options.ts';
import { watch } from '../watch.ts';

/** Pauses after failures: an agent that was restarted is found again soon. */
export const BACKOFF = { baseMs: 100, maxMs: 5_000 };
/** Answers of the agent that trying again does not change. */
const REFUSALS = ['invalid_argument', 'not_found', 'permission_denied', 'unauthenticated'] as const;

export interface Following<T> {
  readonly read: (call: CallOptions) => Promise<Answer<T>>;
  /** Gets the first answer, then each newer one. */
  readonly take: (value: T, index: number) => void;
  /** The answers can't be followed at present; those before stay. The group's `onError` is called as well. */
  readonly failed?: (error: IsthmusError) => void;
}

/** Follows a blocking query until the tasks end. */
export function follow<T>(tasks: TaskGroup, what: string, { read, take, failed }: Following<T>): void {
  tasks.loop(what, { backoff: BACKOFF }, async (signal, progress) => {
    let index = 0;
    const indexed = async (call: CallOptions): Promise<Answer<T>> => {
      const answer = await read(call);
      index = answer.index;
      return answer;
    };
    try {
      for await (const value of watch(indexed, signal, '1m')) {
        progress();
        take(value, index);
      }
    } catch (error) {
      failed?.(IsthmusError.from(error));
      throw error;
    }
  });
}

export function isRefusal(error: IsthmusError | undefined): boolean {
  return hasCode(error, ...REFUSALS);
}
