import type { Clock } from '../lib/clock.ts';
import { hasCode } from '../lib/errors.ts';
import { withDeadline } from '../lib/signals.ts';
import type { Topics } from '../store/topics.ts';

/** As in Consul: default and longest wait of a blocking query, and the share of jitter added to it. */
const DEFAULT_WAIT_MS = 300_000;
const MAX_WAIT_MS = 600_000;
const JITTER_SHARE = 16;

export interface BlockingDeps {
  readonly topics: Topics;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Waits until one of `topics` is newer than `index` or the time is up; jitter keeps watchers from moving in step. */
export async function blockUntilNewer(
  deps: BlockingDeps,
  topics: readonly string[],
  index: number,
  waitMs: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (deps.topics.index(topics) > index) return;
  const wait = Math.min(waitMs === undefined || waitMs <= 0 ? DEFAULT_WAIT_MS : waitMs, MAX_WAIT_MS);
  const limit = withDeadline(deps.clock, wait + deps.random() * (wait / JITTER_SHARE), 'the blocking query', signal);
  try {
    await deps.topics.wait(topics, index, limit.signal);
  } catch (error) {
    if (!hasCode(error, 'deadline') || signal.aborted) throw error;
  } finally {
    limit.release();
  }
}
