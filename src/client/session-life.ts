import type { Clock } from '../lib/clock.ts';
import { hasCode } from '../lib/errors.ts';
import { sleep, throwIfAborted } from '../lib/signals.ts';
import type { NewSession, SessionsApi } from './sessions.ts';

/** As Consul's clients: a session of a lock lives this long beyond its holder, at least. */
const TTL_MS = 15_000;
const RETRY_MS = 1_000;

/** A session that is kept for as long as its holder lives. */
export interface KeptSession {
  readonly id: string;
  /** Resolves when the session is lost, or `stop` was called. */
  readonly lost: Promise<void>;
  /** Ends the renewing, and the session. */
  stop(): Promise<void>;
}

export async function keepSession(
  sessions: SessionsApi,
  wanted: NewSession,
  clock: Clock,
  signal: AbortSignal,
): Promise<KeptSession> {
  const id = await sessions.create({ ...wanted, TTL: `${TTL_MS / 1_000}s` }, { signal });
  const life = new AbortController();
  return {
    id,
    lost: renew(sessions, id, clock, life.signal),
    async stop() {
      life.abort();
      await sessions.destroy(id);
    },
  };
}

async function renew(sessions: SessionsApi, id: string, clock: Clock, signal: AbortSignal): Promise<void> {
  let wait = TTL_MS / 2;
  let renewed = clock.steady();
  try {
    for (;;) {
      await sleep(clock, wait, signal);
      try {
        if ((await sessions.renew(id, { signal })) === undefined) return;
        renewed = clock.steady();
        wait = TTL_MS / 2;
      } catch (error) {
        throwIfAborted(signal);
        // Whether it still lives no one says; once its time is up, others may hold the lock.
        if (hasCode(error, 'permission_denied') || clock.steady() - renewed > TTL_MS) return;
        wait = RETRY_MS;
      }
    }
  } catch {
    // stopped
  }
}
