import type { Clock } from '../lib/clock.ts';
import { hasCode, IsthmusError } from '../lib/errors.ts';
import { abortable, throwIfAborted, withDeadline } from '../lib/signals.ts';
import type { ReadOptions, ReadResult } from '../rpc/contract/contract.ts';
import { makeResult } from '../rpc/contract/result.ts';
import type { Store } from '../store/store.ts';

/** How long a view is waited for that another server was ahead of, milliseconds. */
const CATCH_UP_MS = 5_000;

/**
 * A client that has seen `index` on another server may ask here before this server's view shows it. The view is waited
 * for then, so that the client does not see the past; an index that no server has reached yet is not. A server that
 * can't find out answers only who asked for a stale answer.
 */
export async function catchUp(
  store: Store,
  clock: Clock,
  { index = 0, consistency, signal }: Pick<ReadOptions, 'index' | 'consistency' | 'signal'>,
): Promise<void> {
  if (!store.shared || index <= store.revision) return;
  const limit = withDeadline(clock, CATCH_UP_MS, 'catching up with the other servers', signal);
  try {
    await abortable(store.sync(limit.signal), limit.signal);
  } catch (cause) {
    throwIfAborted(signal);
    if (consistency === 'stale') return;
    throw new IsthmusError(
      'unavailable',
      `this server is at revision ${store.revision}, behind index ${index}: ask another, or with ?stale`,
      { cause },
    );
  } finally {
    limit.release();
  }
}

/**
 * The answer with what is particular to the one who asked: how old the view may be, and an index that does not go back.
 * Servers may have different indexes for the same unchanged data: each at most the revision from which it knows it.
 */
export function asSeenBy<T>(
  store: Store,
  result: ReadResult<T>,
  { index = 0, consistency }: Pick<ReadOptions, 'index' | 'consistency'>,
): ReadResult<T> {
  if (!store.shared) return result;
  const { connected, lastMs } = store.contact();
  const shown = indexFor(store, result.index, index);
  const lastContactMs = connected && consistency !== 'stale' ? 0 : lastMs;
  if (connected && lastContactMs === 0 && shown === result.index) return result;
  return makeResult({ index: shown, knownLeader: connected, lastContactMs, json: result.json });
}

/** The same for what is not there: its absence has an index too, in the error's details. */
export function absentAsSeenBy(store: Store, error: unknown, { index = 0 }: Pick<ReadOptions, 'index'>): unknown {
  if (!store.shared || !hasCode(error, 'not_found') || typeof error.details.index !== 'number') return error;
  const shown = indexFor(store, error.details.index, index);
  return new IsthmusError(error.code, error.message, { cause: error, details: { ...error.details, index: shown } });
}

function indexFor(store: Store, known: number, seen: number): number {
  return seen > known && seen <= store.revision ? seen : known;
}
