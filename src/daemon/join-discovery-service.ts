import type { JoinSource } from '../config/join-sources.ts';
import type { Clock } from '../lib/clock.ts';
import type { Service } from '../lib/service.ts';
import { withDeadline } from '../lib/signals.ts';
import { createTaskGroup } from '../lib/task.ts';
import type { Logger } from '../telemetry/types.ts';
import { discover, nameOf } from './join-discovery.ts';

export interface JoinDiscoveryDeps {
  readonly sources: readonly JoinSource[];
  readonly defaultPort: number;
  /** Takes what a source names now, in place of what it named before. */
  readonly use: (source: JoinSource, addresses: readonly string[], signal: AbortSignal) => Promise<void>;
  /** Are addresses looked for at all? */
  readonly needed: () => boolean;
  /** How long the start waits for the first addresses, milliseconds. */
  readonly startMs: number;
  readonly retryIntervalMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Finds servers by programs and names of `retry_join`, again and again for as long as none is known to be there. */
export function createJoinDiscovery(deps: JoinDiscoveryDeps): Service {
  const { sources, clock, log } = deps;
  const tasks = createTaskGroup({
    clock,
    onError: (task, error, retryInMs) => log.warn('finding servers failed', { task, error: error.message, retryInMs }),
  });
  const look = async (source: JoinSource, signal: AbortSignal): Promise<void> => {
    if (!deps.needed()) return;
    const addresses = await discover(source, deps.defaultPort, signal);
    log.info('servers were found', { source: nameOf(source), addresses });
    await deps.use(source, addresses, signal);
  };
  return {
    name: 'finding servers to join',
    async start(signal) {
      const options = { pauseMs: deps.retryIntervalMs, backoff: { maxMs: deps.retryIntervalMs } };
      const first = sources.map(
        (source) =>
          new Promise<void>((resolve) => {
            tasks.loop(nameOf(source), options, async (stopping) => {
              try {
                await look(source, stopping);
              } finally {
                resolve();
              }
            });
          }),
      );
      if (deps.startMs === 0) return;
      const limit = withDeadline(clock, deps.startMs, 'the first search for servers', signal);
      try {
        await Promise.race([
          Promise.all(first),
          new Promise((resolve) => limit.signal.addEventListener('abort', resolve)),
        ]);
      } finally {
        limit.release();
      }
    },
    stop: () => tasks.stop(),
  };
}
