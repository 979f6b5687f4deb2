import type { Clock } from '../../lib/clock.ts';
import { hasCode, IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { linkSignals, sleep } from '../../lib/signals.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Logger } from '../../telemetry/types.ts';

export interface PreflightDeps {
  readonly primaryDatacenter: string;
  /** The primary; throws `no_path` while there is no way to it. */
  readonly primary: () => ServerContract;
  /** The agent's own tokens. */
  readonly tokens: { get(kind: 'replication'): string; onChange(listener: () => void): () => void };
  /** Everything that the token is needed for. */
  readonly kinds: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Preflight {
  readonly service: Service;
  /** What is wrong with the replication token; '' when it suffices or was not looked at yet. */
  readonly problem: string;
}

/** Between two looks while the token does not suffice, or the primary can't be asked, milliseconds. */
const RETRY_MS = 5_000;

/**
 * Asks the primary at the start, and when the token changes, what the replication token lacks, and says it once, all of
 * it.
 */
export function createPreflight(deps: PreflightDeps): Preflight {
  const { primaryDatacenter, tokens, kinds, clock, log } = deps;
  const tasks = createTaskGroup({
    clock,
    onError: (task, error) => log.warn('background task failed', { task, error: error.message }),
  });
  let problem = '';

  const look = async (signal: AbortSignal): Promise<string> => {
    try {
      const token = tokens.get('replication');
      const { value } = await deps.primary().read('acl.missingForReplication', { kinds }, { signal, token });
      return value.Problem;
    } catch (error) {
      if (hasCode(error, 'permission_denied'))
        return (
          `the replication token is not known in datacenter "${primaryDatacenter}": correct acl.tokens.replication, ` +
          'or use "isthmus acl set-agent-token replication"'
        );
      throw error;
    }
  };

  /** True when there is nothing more to find out until the token changes. */
  const check = async (signal: AbortSignal): Promise<boolean> => {
    try {
      const found = await look(signal);
      if (found !== problem && found !== '') log.error('replication cannot work', { reason: found });
      if (found === '' && problem !== '') log.info('the replication token has all rights now');
      problem = found;
      return found === '';
    } catch (thrown) {
      const error = IsthmusError.from(thrown);
      log.debug('the replication token could not be checked yet', { error: error.message });
      // A primary of an older version does not know the question.
      return !hasCode(error, 'no_path', 'unavailable', 'deadline', 'cancelled');
    }
  };

  return {
    get problem() {
      return problem;
    },
    service: {
      name: 'check of the replication token',
      async start() {
        tasks.run('check of the replication token', async (signal) => {
          for (;;) {
            const changed = linkSignals(signal);
            const unhook = tokens.onChange(() => changed.abort());
            try {
              const settled = await check(signal);
              await sleep(clock, settled ? Number.MAX_SAFE_INTEGER : RETRY_MS, changed.signal);
            } catch (error) {
              if (signal.aborted) throw error;
            } finally {
              unhook();
              changed.release();
            }
          }
        });
      },
      stop: () => tasks.stop(),
    },
  };
}
