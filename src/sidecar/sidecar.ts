import type { Clock } from '../lib/clock.ts';
import type { Service } from '../lib/service.ts';
import { abortable, withDeadline } from '../lib/signals.ts';
import { createTaskGroup } from '../lib/task.ts';
import type { SidecarSource } from '../model/sidecar.ts';
import type { Logger, Metrics } from '../telemetry/types.ts';
import { followSource } from './control/source-loop.ts';
import { SidecarState } from './control/state.ts';
import { DEFAULT_LIMITS, type SidecarLimits } from './limits.ts';
import type { SidecarAddresses, SidecarStats } from './stats.ts';

export interface SidecarDeps {
  readonly source: SidecarSource;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limits?: Partial<SidecarLimits>;
  /** Chance in [0, 1); default the real one. */
  readonly random?: () => number;
}

export interface Sidecar extends Service {
  addresses(): SidecarAddresses;
  stats(): SidecarStats;
}

/** A failing task is logged once in this time. */
const REPEAT_MS = 60_000;

/**
 * The built-in proxy. `start` resolves once the first update is in effect and all listeners are bound; from then on
 * it follows the source, and goes on with its last state while the source is away.
 */
export function createSidecar(deps: SidecarDeps): Sidecar {
  const { clock, log, metrics, source } = deps;
  const limits: SidecarLimits = { ...DEFAULT_LIMITS, ...deps.limits };
  const told = new Map<string, number>();
  const tasks = createTaskGroup({
    clock,
    onError: (task, error, retryInMs) => {
      // The agent may be away for hours; the same news again and again hides other lines.
      const now = clock.steady();
      if (now < (told.get(task) ?? 0)) return;
      told.set(task, now + REPEAT_MS);
      const retry = retryInMs === undefined ? {} : { retry_in_seconds: Math.round(retryInMs) / 1_000 };
      log.warn('background work failed', { task, error: error.message, ...retry });
    },
  });
  const state = new SidecarState({ clock, log, metrics, limits, tasks, random: deps.random ?? Math.random });

  const stop = async (): Promise<void> => {
    const stopped = state.stopAccepting();
    const limit = withDeadline(clock, limits.drainMs, 'draining connections');
    try {
      await abortable(state.drained(), limit.signal);
    } catch {
      log.info('connections cut on stop', { connections: state.openConnections });
    } finally {
      limit.release();
    }
    state.abort();
    await tasks.stop();
    await stopped;
  };

  return {
    name: 'sidecar',
    async start(signal) {
      const ready = followSource({ source, state, tasks, log, clock });
      try {
        await abortable(ready, signal);
      } catch (error) {
        await stop();
        throw error;
      }
    },
    stop,
    addresses: () => state.addresses(),
    stats: () => state.stats(),
  };
}
