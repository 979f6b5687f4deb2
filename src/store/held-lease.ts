import type { Clock, Timer } from '../lib/clock.ts';
import { hasCode, IsthmusError } from '../lib/errors.ts';
import { linkSignals, sleep } from '../lib/signals.ts';
import type { TaskGroup } from '../lib/task.ts';
import type { Engine } from './engine.ts';

/** A lease of the engine that is kept until it is released or lost. */
export interface HeldLease {
  readonly id: string;
  /** Aborts when the lease has ended or can't be known to live: what is attached to it may be gone. */
  readonly lost: AbortSignal;
  /** Stops keeping it and ends it at once, as far as the engine can be reached. */
  release(): Promise<void>;
}

export interface HoldLeaseDeps {
  readonly leases: Pick<Engine, 'grantLease' | 'keepLease' | 'revokeLease'>;
  readonly clock: Clock;
  readonly tasks: TaskGroup;
}

/** A lease is kept this often within its time to live; after a failure three times as often. */
const KEEPS_PER_TTL = 3;

/**
 * Takes a lease and keeps it. Its end is reckoned from before each request was sent, by a timer: a process that was
 * paused past it finds out as soon as it runs again, and a jump of the wall clock means nothing.
 */
export async function holdLease(deps: HoldLeaseDeps, ttlMs: number): Promise<HeldLease> {
  const { leases, clock, tasks } = deps;
  const lost = new AbortController();
  const lose = (why: string): void => lost.abort(new IsthmusError('unavailable', why));
  const expire = (): Timer => clock.after(ttlMs, () => lose(`the lease was not kept for ${ttlMs} ms`));
  let expiry = expire();
  let id: string;
  try {
    id = (await leases.grantLease(ttlMs)).id;
  } catch (error) {
    expiry.cancel();
    throw error;
  }
  const life = linkSignals(tasks.signal, lost.signal);

  tasks.run('keep lease', async () => {
    let pause = ttlMs / KEEPS_PER_TTL;
    while (!life.signal.aborted) {
      await sleep(clock, pause, life.signal).catch(() => undefined); // the loop looks at the signal
      if (life.signal.aborted) return;
      const next = expire();
      try {
        await leases.keepLease(id);
        expiry.cancel();
        expiry = next;
        if (life.signal.aborted) expiry.cancel();
        pause = ttlMs / KEEPS_PER_TTL;
      } catch (error) {
        next.cancel();
        if (hasCode(error, 'not_found')) lose('the lease has ended');
        pause = ttlMs / KEEPS_PER_TTL / 3;
      }
    }
  });

  return {
    id,
    lost: lost.signal,
    async release() {
      life.abort();
      life.release();
      expiry.cancel();
      await leases.revokeLease(id).catch(() => undefined); // it then ends by itself
    },
  };
}
