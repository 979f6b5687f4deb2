import type { Kv } from '../../domain/kv/kv.ts';
import type { Service } from '../../lib/service.ts';
import type { Leadership } from '../../store/leadership.ts';
import type { Logger } from '../../telemetry/types.ts';

export interface SessionKeeperParts {
  readonly leadership: Pick<Leadership, 'duty' | 'fenced'>;
  readonly kv: Pick<Kv, 'lead'>;
  readonly log: Logger;
}

/** Ends sessions and lock delays, while this server leads. */
export function sessionKeeper({ leadership, kv, log }: SessionKeeperParts): Service {
  const own = log.child({ component: 'sessions' });
  let end: () => Promise<void> = async () => undefined;
  return {
    name: 'session keeper',
    async start() {
      end = leadership.duty(
        'sessions',
        (tasks) => kv.lead(leadership.fenced, tasks),
        (task, error) => own.warn('keeping sessions failed', { task, error: error.message }),
      );
    },
    stop: () => end(),
  };
}
