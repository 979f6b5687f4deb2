import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import type { RestoreCallOptions, SnapshotContract } from '../contract/snapshots.ts';
import { createChannel } from './channel.ts';
import { createRpcListener } from './listener.ts';
import { createRemoteSnapshots } from './snapshots-wire.ts';

const never = new AbortController().signal;
const cleanup: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

async function dial(snapshots: SnapshotContract): Promise<SnapshotContract> {
  const listener = createRpcListener({
    listeners: [{ name: 'server', address: '127.0.0.1', port: 0 }],
    handlers: { datacenter: 'dc1', snapshots },
    clock: systemClock,
    log: noLog,
    metrics: noMetrics,
  });
  await listener.start(never);
  const channel = createChannel({ address: `127.0.0.1:${listener.addresses.server?.port}` });
  cleanup.push(
    () => listener.stop(),
    () => channel.close(),
  );
  return createRemoteSnapshots(channel);
}

const unused = async (): Promise<never> => {
  throw new IsthmusError('internal', 'not expected');
};

async function collect(archive: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** `count` pieces of 64 KiB; tells how many were asked for, and whether it was ended. */
function pieces(count: number, fail?: IsthmusError) {
  const state = { asked: 0, ended: false };
  const archive = (async function* () {
    try {
      for (; state.asked < count; state.asked += 1) yield Buffer.alloc(65_536, state.asked);
      if (fail !== undefined) throw fail;
    } finally {
      state.ended = true;
    }
  })();
  return { state, archive };
}

describe('a snapshot over the network', () => {
  it('arrives whole, with who asked', async () => {
    let seen: unknown;
    const remote = await dial({
      restore: unused,
      async save({ signal: _, ...options }) {
        seen = options;
        return { index: 2 ** 40, archive: pieces(100).archive };
      },
    });
    const { index, archive } = await remote.save({ signal: never, datacenter: 'dc2', token: 't' });
    expect(index).toBe(2 ** 40);
    expect((await collect(archive)).equals(await collect(pieces(100).archive))).toBe(true);
    expect(seen).toEqual({ datacenter: 'dc2', token: 't' });
  });

  it('fails as its maker does, before the first piece or after', async () => {
    const broken = new IsthmusError('compacted', 'too late');
    const remote = await dial({
      restore: unused,
      async save({ token }) {
        if (token === 'none') throw new IsthmusError('permission_denied', 'Permission denied');
        return { index: 1, archive: pieces(3, broken).archive };
      },
    });
    await expect(remote.save({ signal: never, token: 'none' })).rejects.toMatchObject({ code: 'permission_denied' });
    const { archive } = await remote.save({ signal: never });
    await expect(collect(archive)).rejects.toMatchObject({ code: 'compacted', message: 'too late' });
  });

  it('is read no faster than it is taken, and ended when it is left', async () => {
    const made = pieces(10_000);
    const remote = await dial({ restore: unused, save: async () => ({ index: 1, archive: made.archive }) });
    const { archive } = await remote.save({ signal: never });
    for await (const _piece of archive) break;
    while (!made.state.ended) await new Promise((resolve) => setImmediate(resolve));
    expect(made.state.asked).toBeLessThan(500);
  });
});

describe('a restore over the network', () => {
  it('hands over the whole archive and what it is for', async () => {
    let seen: unknown;
    let size = 0;
    const remote = await dial({
      save: unused,
      async restore(archive, { signal: _, ...options }: RestoreCallOptions) {
        seen = options;
        size = (await collect(archive)).length;
        return { index: 7 };
      },
    });
    const options = { signal: never, datacenter: 'dc2', token: 't', force: true };
    expect(await remote.restore(pieces(300).archive, options)).toEqual({ index: 7 });
    expect(seen).toEqual({ datacenter: 'dc2', token: 't', force: true });
    expect(size).toBe(300 * 65_536);
  });

  it('is refused without the rest being sent', async () => {
    const sent = pieces(10_000);
    const remote = await dial({
      save: unused,
      async restore(archive) {
        for await (const _piece of archive) throw new IsthmusError('rejected', 'of another datacenter');
        return { index: 0 };
      },
    });
    await expect(remote.restore(sent.archive, { signal: never })).rejects.toMatchObject({
      code: 'rejected',
      message: 'of another datacenter',
    });
    while (!sent.state.ended) await new Promise((resolve) => setImmediate(resolve));
    expect(sent.state.asked).toBeLessThan(1_000);
  });

  it('that breaks off fails on both sides', async () => {
    const broken = new IsthmusError('unavailable', 'the file can no longer be read');
    let begun = (): void => undefined;
    const first = new Promise<void>((resolve) => {
      begun = resolve;
    });
    let ended = (_error: unknown): void => undefined;
    const other = new Promise<unknown>((resolve) => {
      ended = resolve;
    });
    const remote = await dial({
      save: unused,
      async restore(archive) {
        try {
          for await (const _piece of archive) begun();
          return { index: 0 };
        } catch (error) {
          ended(error);
          throw error;
        }
      },
    });
    const archive = (async function* () {
      yield Buffer.alloc(100);
      await first;
      throw broken;
    })();
    await expect(remote.restore(archive, { signal: never })).rejects.toBe(broken);
    expect(await other).toBeInstanceOf(Error);
  });
});
