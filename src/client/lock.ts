import type { Clock } from '../lib/clock.ts';
import { hasCode, IsthmusError } from '../lib/errors.ts';
import { sleep } from '../lib/signals.ts';
import type { KvEntry } from '../model/kv.ts';
import type { Client } from './client.ts';
import type { CallOptions } from './options.ts';
import type { KeptSession } from './session-life.ts';

/** Mark of a lock's key, and of a semaphore's: those of Consul's clients, which share them with us. */
const LOCK_FLAGS = '3304740253564472344';
const SEMAPHORE_FLAGS = '16210313421097356768';
/** Time between two tries while the lock delay runs, milliseconds, as in Consul's clients. */
const RETRY_MS = 5_000;
const MONITOR_RETRY_MS = 2_000;
const WAIT = '15s';

export interface LockDeps {
  readonly client: Pick<Client, 'kv'>;
  readonly clock: Clock;
  readonly session: KeptSession;
  /** Failed looks at a held lock, one after the other, that are put up with. */
  readonly monitorRetries: number;
}

/** Something that can be held, by so many sessions at once. */
export interface Lock {
  /** Resolves once it is held. @param signal gives up */
  acquire(signal: AbortSignal): Promise<void>;
  /** Resolves when it is no longer held. @param signal ends the watching */
  monitor(signal: AbortSignal): Promise<void>;
  release(): Promise<void>;
}

/** One holder: the key is locked by its session. */
export function createLock(deps: LockDeps, key: string): Lock {
  const { session, clock } = deps;
  const { kv } = deps.client;
  return {
    async acquire(signal) {
      let index = 0;
      for (;;) {
        const { value, index: next } = await kv.get(key, { signal, consistent: true, index, wait: WAIT });
        if (value !== undefined && String(value.Flags) !== LOCK_FLAGS)
          throw new IsthmusError('conflict', `Existing key ${key} does not match lock use`);
        if (value?.Session === session.id) return;
        if (value?.Session !== undefined) {
          index = next;
          continue;
        }
        if (await kv.put(key, '', { flags: LOCK_FLAGS, acquire: session.id }, { signal })) return;
        const { value: now } = await kv.get(key, { signal, consistent: true });
        if (now?.Session === undefined) await sleep(clock, RETRY_MS, signal); // a lock delay runs
        index = 0;
      }
    },
    monitor: (signal) =>
      whileTrue(deps, signal, async (call) => {
        const { value, index } = await kv.get(key, call);
        return { held: value?.Session === session.id, index };
      }),
    async release() {
      await kv.put(key, '', { flags: LOCK_FLAGS, release: session.id });
      const { value } = await kv.get(key, { consistent: true });
      // No other client waits for it: the key goes too.
      if (value !== undefined && value.Session === undefined && String(value.Flags) === LOCK_FLAGS)
        await kv.delete(key, value.ModifyIndex);
    },
  };
}

interface Slots {
  readonly Limit: number;
  readonly Holders: Readonly<Record<string, boolean>>;
}

/** Up to `limit` holders: each has a key of its own under the prefix, and `PREFIX/.lock` says which of them hold it. */
export function createSemaphore(deps: LockDeps, prefix: string, limit: number): Lock {
  const { session } = deps;
  const { kv } = deps.client;
  const slotsKey = `${prefix}/.lock`;
  const ownKey = `${prefix}/${session.id}`;

  const look = async (call: CallOptions) => {
    const { value: entries, index } = await kv.list(`${prefix}/`, call);
    const entry = entries.find(({ Key }) => Key === slotsKey);
    const alive = new Set(entries.flatMap(({ Key, Session }) => (Key === slotsKey || !Session ? [] : [Session])));
    return { entry, slots: slotsOf(entry, limit), alive, index };
  };
  const write = (entry: KvEntry | undefined, holders: readonly string[], call: CallOptions): Promise<boolean> => {
    const Holders = Object.fromEntries(holders.map((id) => [id, true]));
    const options = { flags: SEMAPHORE_FLAGS, cas: entry?.ModifyIndex ?? 0 };
    return kv.put(slotsKey, JSON.stringify({ Limit: limit, Holders }), options, call);
  };

  return {
    async acquire(signal) {
      if (!(await kv.put(ownKey, '', { flags: SEMAPHORE_FLAGS, acquire: session.id }, { signal })))
        throw new IsthmusError('conflict', `the key ${ownKey} is locked by another session`);
      let index = 0;
      for (;;) {
        const seen = await look({ signal, consistent: true, index, wait: WAIT });
        const holders = Object.keys(seen.slots.Holders).filter((id) => seen.alive.has(id));
        if (holders.includes(session.id)) return;
        if (holders.length >= limit) index = seen.index;
        else if (await write(seen.entry, [...holders, session.id], { signal })) return;
        else index = 0;
      }
    },
    monitor: (signal) =>
      whileTrue(deps, signal, async (call) => {
        const { slots, alive, index } = await look(call);
        return { held: slots.Holders[session.id] === true && alive.has(session.id), index };
      }),
    async release() {
      for (;;) {
        const { entry, slots } = await look({ consistent: true });
        const others = Object.keys(slots.Holders).filter((id) => id !== session.id);
        if (entry === undefined || slots.Holders[session.id] !== true) break;
        if (others.length === 0 ? await kv.delete(slotsKey, entry.ModifyIndex) : await write(entry, others, {})) break;
      }
      await kv.delete(ownKey);
    },
  };
}

function slotsOf(entry: KvEntry | undefined, limit: number): Slots {
  if (entry === undefined) return { Limit: limit, Holders: {} };
  if (String(entry.Flags) !== SEMAPHORE_FLAGS)
    throw new IsthmusError('conflict', `Existing key ${entry.Key} does not match semaphore use`);
  const slots = JSON.parse(Buffer.from(entry.Value ?? '', 'base64').toString('utf8')) as Slots;
  if (slots.Limit !== limit)
    throw new IsthmusError('conflict', `Semaphore limit conflict (lock: ${slots.Limit}, local: ${limit})`);
  return { Limit: slots.Limit, Holders: slots.Holders ?? {} };
}

/** Blocks on what is looked at until it does not hold, or can't be found out any more. */
async function whileTrue(
  { clock, monitorRetries }: LockDeps,
  signal: AbortSignal,
  look: (call: CallOptions) => Promise<{ readonly held: boolean; readonly index: number }>,
): Promise<void> {
  let index = 0;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const seen = await look({ signal, consistent: true, index, wait: WAIT });
      if (!seen.held) return;
      index = seen.index;
      failures = 0;
    } catch (error) {
      if (signal.aborted || hasCode(error, 'permission_denied', 'conflict') || failures >= monitorRetries) return;
      failures += 1;
      await sleep(clock, MONITOR_RETRY_MS, signal).catch(() => undefined);
    }
  }
}
