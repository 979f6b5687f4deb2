import type { Clock } from '../lib/clock.ts';
import type { Service } from '../lib/service.ts';
import type { Logger, Metrics } from '../telemetry/types.ts';

/** Logs and counts that the time of day jumped; whoever plans by it listens to the clock itself. */
export function createClockJumps(clock: Clock, log: Logger, metrics: Metrics): Service {
  const jumps = metrics.counter({
    name: 'isthmus_clock_jumps_total',
    help: 'Times that the time of day was set, or the machine slept, by direction (forward, back)',
    labels: ['direction'],
  });
  let end = (): void => undefined;
  return {
    name: 'clock jumps',
    async start() {
      end = clock.onJump((byMs) => {
        jumps.add(1, { direction: byMs > 0 ? 'forward' : 'back' });
        log.warn('the clock of this machine jumped: certificates are checked and their renewals planned anew', {
          bySeconds: Math.round(byMs / 1_000),
        });
      });
    },
    async stop() {
      end();
    },
  };
}
