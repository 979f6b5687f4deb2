import { isDeepStrictEqual } from 'node:util';
import type { Ask } from '../edge/http/ask.ts';
import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import type { Service } from '../lib/service.ts';
import { createTaskGroup, type TaskGroup } from '../lib/task.ts';
import type { Logger } from '../telemetry/types.ts';
import { followWatch } from '../watch/follow.ts';
import { watchHandler } from '../watch/handlers.ts';
import { type WatchParams, watchPlan } from '../watch/plan.ts';

export interface WatchesDeps {
  /** Asks this agent's own API. */
  readonly ask: Ask;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Watches extends Service {
  /** Starts those that are new, and ends those that are no longer there with what they run. */
  configure(wanted: readonly WatchParams[]): Promise<void>;
}

interface Running {
  readonly params: WatchParams;
  readonly tasks: TaskGroup;
}

/** Carries out `watches` of the configuration. */
export function createWatches(deps: WatchesDeps, wanted: readonly WatchParams[]): Watches {
  let running: Running[] = [];
  const end = async (all: readonly Running[]): Promise<void> => {
    await Promise.all(all.map(({ tasks }) => tasks.stop()));
  };
  const configure = async (now: readonly WatchParams[]): Promise<void> => {
    const left = [...running];
    const kept: Running[] = [];
    const fresh: WatchParams[] = [];
    for (const params of now) {
      const at = left.findIndex((each) => isDeepStrictEqual(each.params, params));
      if (at < 0) fresh.push(params);
      else kept.push(...left.splice(at, 1));
    }
    running = kept;
    await end(left);
    for (const params of fresh) running.push({ params, tasks: start(deps, params) });
  };
  return {
    name: 'watches',
    start: () => configure(wanted),
    stop: () => end(running),
    configure,
  };
}

function start({ ask, env, clock, log }: WatchesDeps, params: WatchParams): TaskGroup {
  const plan = watchPlan(params);
  const own = log.child({ component: 'watch', type: plan.type });
  const run = watchHandler(params, { clock, env, onOutput: (output) => own.debug('a handler wrote', { output }) });
  const token = typeof params.token === 'string' ? params.token : '';
  const tasks = createTaskGroup({
    clock,
    onError: (task, error) => own.error('watching ended', { task, error: error.message }),
  });
  tasks.run('watch', (signal) =>
    followWatch(
      plan,
      {
        ask: (path, query, asked) => ask(path, query, token, asked),
        clock,
        onError: (error, retryInMs) =>
          own.warn('asking for what is watched failed', { error: error.message, retryInMs: Math.round(retryInMs) }),
      },
      async (index, data) => {
        try {
          await run(index, data, signal);
        } catch (error) {
          if (!signal.aborted) own.warn('the handler of a watch failed', { error: IsthmusError.from(error).message });
        }
        return true;
      },
      signal,
    ),
  );
  return tasks;
}
