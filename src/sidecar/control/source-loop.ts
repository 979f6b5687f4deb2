import type { Clock } from '../../lib/clock.ts';
import { hasCode, IsthmusError } from '../../lib/errors.ts';
import { sleep } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { SidecarSource } from '../../model/sidecar.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { SidecarState } from './state.ts';

export interface SourceLoopDeps {
  readonly source: SidecarSource;
  readonly state: SidecarState;
  readonly tasks: TaskGroup;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Pause before an acknowledgement that failed is sent again. */
const ACK_RETRY_MS = 1_000;
/** Answers of the agent that trying again does not change. */
const FINAL = ['invalid_argument', 'rejected', 'not_found', 'permission_denied', 'unauthenticated'] as const;

/**
 * Puts every update of the source into effect, for ever, and acknowledges the newest one. Resolves once the first is
 * in effect; rejects when the first can't be, or when the agent says that there will never be one.
 */
export function followSource({ source, state, tasks, log, clock }: SourceLoopDeps): Promise<void> {
  return new Promise((resolve, reject) => {
    /** Not yet acknowledged; of the current stream only, as each counts versions from its own start. */
    let newest: number | undefined;
    let acknowledging = false;
    let started = false;

    const acknowledge = (version: number): void => {
      newest = version;
      if (acknowledging) return;
      acknowledging = true;
      tasks.run('acknowledge', async (signal) => {
        try {
          while (newest !== undefined && !signal.aborted) {
            const sent = newest;
            try {
              await source.acknowledge(sent, signal);
              if (newest === sent) newest = undefined;
            } catch {
              await sleep(clock, ACK_RETRY_MS, signal); // a stream that broke has set `newest` back
            }
          }
        } finally {
          acknowledging = false;
        }
      });
    };

    const follow = async (signal: AbortSignal, progress: () => void): Promise<void> => {
      newest = undefined;
      for await (const update of source.updates(signal)) {
        progress();
        try {
          await state.apply(update);
        } catch (thrown) {
          const error = IsthmusError.from(thrown);
          if (!started) reject(error);
          log.error('update not in effect, the state before it is kept', {
            version: update.version,
            error: error.message,
          });
          continue;
        }
        acknowledge(update.version);
        if (state.ready && !started) {
          started = true;
          resolve();
        }
      }
      if (!signal.aborted) throw new IsthmusError('unavailable', 'the source of updates ended');
    };

    tasks.loop('follow updates', { backoff: { baseMs: 100, maxMs: 5_000 } }, async (signal, progress) => {
      try {
        await follow(signal, progress);
      } catch (error) {
        if (!started && hasCode(error, ...FINAL)) reject(error);
        throw error;
      }
    });
  });
}
