import type { Clock } from '../../src/lib/clock.ts';
import { createTaskGroup } from '../../src/lib/task.ts';
import type { Leadership } from '../../src/store/leadership.ts';
import type { Store } from '../../src/store/store.ts';

/** The leadership of a datacenter that has one server for ever: nothing is written for it. */
export function soleLeader(
  store: Pick<Store, 'transact'>,
  clock: Clock,
): Pick<Leadership, 'leading' | 'leader' | 'fenced' | 'duty'> {
  return {
    leading: true,
    leader: () => undefined,
    fenced: store,
    duty(_name, run, onError = () => undefined) {
      const tasks = createTaskGroup({ clock, onError });
      run(tasks);
      return () => tasks.stop();
    },
  };
}
