import { isDeepStrictEqual } from 'node:util';
import { Backoff } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { sleep } from '../lib/signals.ts';
import type { WatchPlan, WatchQuery } from './plan.ts';

/** An answer of the HTTP API. */
export interface WatchAnswer {
  readonly status: number;
  /** The header X-Consul-Index; '' when there is none. */
  readonly index: string;
  /** Undefined unless the status is 200. */
  readonly json: unknown;
  /** What an answer with another status says. */
  readonly text: string;
}

export interface WatchDeps {
  /** Asks the HTTP API. @param path encoded */
  readonly ask: (path: string, query: WatchQuery, signal: AbortSignal) => Promise<WatchAnswer>;
  readonly clock: Clock;
  /** Gets what failed; absent: the first failure ends the watch, and rejects. */
  readonly onError?: (error: IsthmusError, retryInMs: number) => void;
}

/** After a failure, milliseconds; as Consul's watches. */
const RETRY = { baseMs: 5_000, maxMs: 180_000 };

/** An index may move without a new answer, and an endpoint may not wait at all, milliseconds. */
const UNCHANGED_PAUSE_MS = 250;

/**
 * Follows a question: calls `handle` with the first answer and then with each that is another one, one call after the
 * other, until it returns false or `signal` aborts. While a call lasts the answers go on; the next call gets the
 * newest.
 */
export async function followWatch(
  plan: WatchPlan,
  { ask, clock, onError }: WatchDeps,
  handle: (index: string, data: unknown) => Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  const backoff = new Backoff(RETRY);
  let known = '';
  let before: { readonly json: unknown } | undefined;
  while (!signal.aborted) {
    try {
      const answer = await ask(plan.path, queryOf(plan, known), signal);
      const json = answerOf(plan, answer);
      backoff.reset();
      known = nextOf(plan, known, plan.waitBy === 'hash' ? hashOf(json) : answer.index);
      if (before !== undefined && isDeepStrictEqual(before.json, json)) {
        await sleep(clock, UNCHANGED_PAUSE_MS, signal).catch(() => undefined); // only an abort rejects it
        continue;
      }
      const data = plan.data(json, before?.json);
      before = { json };
      if (!(await handle(answer.index || '0', data))) return;
    } catch (thrown) {
      if (signal.aborted) return;
      const error = IsthmusError.from(thrown);
      if (onError === undefined) throw error;
      const wait = backoff.next();
      onError(error, wait);
      known = '';
      await sleep(clock, wait, signal).catch(() => undefined); // only an abort rejects it
    }
  }
}

function queryOf({ query, waitBy }: WatchPlan, known: string): WatchQuery {
  return known === '' ? query : { ...query, [waitBy]: known, wait: '5m' };
}

function answerOf({ absent }: WatchPlan, { status, json, text }: WatchAnswer): unknown {
  if (status === 200) return json;
  if (status === 404 && absent !== undefined) return absent;
  throw new IsthmusError('rejected', `Unexpected response code: ${status} (${text})`);
}

function hashOf(json: unknown): string {
  const { ContentHash } = (json ?? {}) as { readonly ContentHash?: unknown };
  return typeof ContentHash === 'string' ? ContentHash : '';
}

/** An index that went back is that of another store: following begins anew. */
function nextOf({ grows, waitBy }: WatchPlan, known: string, next: string): string {
  if (waitBy === 'hash' || !grows || known === '' || !/^\d+$/.test(next)) return next;
  return BigInt(next) < BigInt(known) ? '' : next;
}
