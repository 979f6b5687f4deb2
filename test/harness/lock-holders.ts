import { setTimeout as pause } from 'node:timers/promises';
import type { AgentProcess } from './agent.ts';
import type { Random } from './random.ts';

/** Of the sessions that hold locks, milliseconds. */
const TTL_MS = 1_000;
const DELAY_MS = 1_000;

/** One time that a lock was held, in milliseconds of one steady clock. */
export interface Hold {
  readonly holder: string;
  /** Grows with each new holder. */
  readonly lockIndex: number;
  /** Answered that the lock is held. */
  readonly from: number;
  /**
   * Until when no one else may have it: it was asked to be let go of, or, of one that stopped renewing, its TTL after
   * the last renewal was asked for.
   */
  readonly until: number;
  /** No one else may take it for so long after that. */
  readonly delay: number;
  readonly how: 'released' | 'destroyed' | 'stopped';
}

export interface HolderOptions {
  readonly name: string;
  readonly key: string;
  /** Holds it so often. */
  readonly times: number;
  readonly random: Random;
  readonly agents: readonly AgentProcess[];
  readonly holds: Hold[];
}

type Answer = { readonly status: number; readonly body: string };

/** Takes a lock again and again: lets go of it, ends its session, or stops as a paused process does. */
export async function runHolder({ name, key, times, random, agents, holds }: HolderOptions): Promise<void> {
  const ask = async (method: string, path: string, body?: object): Promise<Answer | undefined> => {
    try {
      return await random.pick(agents).http(method, path, body);
    } catch {
      return undefined; // whether it was done is not known
    }
  };
  for (let held = 0; held < times; ) {
    const asked = performance.now();
    const made = await ask('PUT', '/v1/session/create', {
      NodeChecks: [],
      TTL: `${TTL_MS}ms`,
      LockDelay: `${DELAY_MS}ms`,
    });
    if (made?.status !== 200) {
      await pause(50);
      continue;
    }
    const { ID } = JSON.parse(made.body) as { readonly ID: string };
    const kept = { renewed: asked, lost: false };
    const hold = await take(ask, key, ID, kept);
    if (hold === undefined) continue;
    held += 1;
    const until = await work(ask, ID, kept, 100 + random.next() * 400);
    const dice = random.next();
    const how = kept.lost || dice < 0.4 ? 'stopped' : dice < 0.8 ? 'released' : 'destroyed';
    const now = performance.now();
    const lapses = kept.renewed + TTL_MS;
    const ended = how === 'stopped' ? Math.min(lapses, until ?? lapses) : Math.min(now, lapses);
    holds.push({ holder: name, ...hold, until: ended, delay: how === 'released' ? 0 : DELAY_MS, how });
    if (how === 'released') await ask('PUT', `/v1/kv/${key}?release=${ID}`);
    else if (how === 'destroyed') await ask('PUT', `/v1/session/destroy/${ID}`);
  }
}

interface Kept {
  /** When the last renewal that succeeded was asked for. */
  renewed: number;
  lost: boolean;
}

type Ask = (method: string, path: string, body?: object) => Promise<Answer | undefined>;

/** Tries until it has the lock; undefined when its session was lost meanwhile, or may hold it without knowing. */
async function take(
  ask: Ask,
  key: string,
  id: string,
  kept: Kept,
): Promise<{ readonly lockIndex: number; readonly from: number } | undefined> {
  for (;;) {
    await renew(ask, id, kept);
    if (kept.lost) return undefined;
    const answer = await ask('PUT', `/v1/kv/${key}?acquire=${id}`);
    if (answer?.status === 200 && answer.body === 'true') {
      const from = performance.now();
      const seen = await ask('GET', `/v1/kv/${key}?consistent`);
      if (seen?.status !== 200) return undefined;
      const [entry] = JSON.parse(seen.body) as readonly { readonly Session?: string; readonly LockIndex: number }[];
      return entry?.Session === id ? { lockIndex: entry.LockIndex, from } : undefined;
    }
    if (answer?.status === 500) return undefined; // the session is gone
    await pause(50);
  }
}

/** Keeps the session for so long; until when it surely had the lock, when it was lost. */
async function work(ask: Ask, id: string, kept: Kept, ms: number): Promise<number | undefined> {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    await pause(100);
    await renew(ask, id, kept);
    if (kept.lost) return kept.renewed + TTL_MS;
  }
  return undefined;
}

async function renew(ask: Ask, id: string, kept: Kept): Promise<void> {
  const asked = performance.now();
  const answer = await ask('PUT', `/v1/session/renew/${id}`);
  if (answer?.status === 200) kept.renewed = asked;
  else if (answer?.status === 404) kept.lost = true;
}

/** Holds of one lock that overlap, that began within another one's delay, or whose lock indexes do not grow. */
export function wrongHolds(holds: readonly Hold[]): readonly string[] {
  const inOrder = [...holds].sort((a, b) => a.from - b.from);
  return inOrder.flatMap((next, at) => {
    const before = inOrder[at - 1];
    if (before === undefined) return [];
    const faults: string[] = [];
    const free = before.until + before.delay;
    if (next.from < before.until) faults.push(`${shown(before)} and ${shown(next)} held it at one time`);
    else if (next.from < free) faults.push(`${shown(next)} took it ${Math.round(free - next.from)} ms too early`);
    if (next.lockIndex <= before.lockIndex) faults.push(`${shown(next)} has no newer lock index than ${shown(before)}`);
    return faults;
  });
}

function shown({ holder, lockIndex, from, until, how }: Hold): string {
  return `${holder} (${how}, index ${lockIndex}, ${Math.round(from)} to ${Math.round(until)})`;
}
