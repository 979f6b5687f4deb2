import { IsthmusError } from '../lib/errors.ts';
import type { TaskGroup } from '../lib/task.ts';
import type { SidecarSource } from '../model/sidecar.ts';
import type { Logger } from '../telemetry/types.ts';
import type { SidecarState } from './sidecar-state.ts';

export interface SourceLoopDeps {
  readonly source: SidecarSource;
  readonly state: SidecarState;
  readonly tasks: TaskGroup;
  readonly log: Logger;
}

/**
 * Puts every update of the source into effect, for ever, and acknowledges the newest one. Resolves once the first is
 * in effect; rejects when the first can't be.
 */
export function followSource({ source, state, tasks, log }: SourceLoopDeps): Promise<void> {
  return new Promise((resolve, reject) => {
    let acknowledged = 0;
    let acknowledging = false;

    const acknowledge = (): void => {
      if (acknowledging) return;
      acknowledging = true;
      tasks.run('acknowledge', async (signal) => {
        try {
          while (acknowledged !== state.version) {
            const { version } = state;
            await source.acknowledge(version, signal);
            acknowledged = version;
          }
        } finally {
          acknowledging = false;
        }
      });
    };

    let started = false;
    tasks.loop('follow updates', { backoff: { baseMs: 100, maxMs: 5_000 } }, async (signal, progress) => {
      for await (const update of source.updates(signal)) {
        progress();
        try {
          await state.apply(update);
        } catch (thrown) {
          const error = IsthmusError.from(thrown);
          if (!started) {
            reject(error);
            throw error;
          }
          log.error('update not in effect, the state before it is kept', {
            version: update.version,
            error: error.message,
          });
          continue;
        }
        acknowledge();
        if (state.ready && !started) {
          started = true;
          resolve();
        }
      }
      if (!signal.aborted) throw new IsthmusError('unavailable', 'the source of updates ended');
    });
  });
}
