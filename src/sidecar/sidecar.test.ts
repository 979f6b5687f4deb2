import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ALLOW_ALL, denying, fakeConfig, fakeEndpoint } from '../../test/fakes/fake-mesh.ts';
import { DB, dial, ending, exchange, holdOpen, SidecarBench } from '../../test/fakes/sidecar-bench.ts';

let bench: SidecarBench;
beforeEach(() => {
  bench = new SidecarBench();
});
afterEach(() => bench.close());

describe('between two built-in sidecars', () => {
  it('carries connections over few tunnels', async () => {
    const db = await bench.db(await bench.echo());
    const web = await bench.web([db.address]);
    const texts = Array.from({ length: 100 }, (_, n) => `connection ${n}`);
    const answers = await Promise.all(texts.map((text) => exchange(web.address, text)));
    expect(answers.map(String)).toEqual(texts);
    expect(db.sidecar.stats().inbound.connections).toBe(0);
    expect(db.sidecar.stats().inbound.tunnels).toBeLessThanOrEqual(4);
    expect(db.sidecar.stats().inbound.tunnels).toBeGreaterThan(0);
  });

  it('keeps a large transfer intact in both directions at once', async () => {
    const db = await bench.db(await bench.echo());
    const web = await bench.web([db.address]);
    const data = randomBytes(8 << 20);
    const back = await exchange(web.address, data);
    expect(back.equals(data)).toBe(true);
  });

  it('does not buffer more than the windows when the reader stands still', async () => {
    let taken = 0;
    const db = await bench.db(await bench.app((socket) => socket.pause()));
    const web = await bench.web([db.address]);
    const socket = dial(web.address);
    socket.on('error', () => undefined);
    const chunk = Buffer.alloc(1 << 16);
    // Goes on until nothing more is taken for a good while: the kernel's buffers and the stream's window are full.
    for (let idle = 0; idle < 30; ) {
      if (socket.write(chunk)) {
        taken += chunk.length;
        idle = 0;
      } else if (socket.writableNeedDrain) {
        for (let n = 0; n < 100; n += 1) await turn();
        idle += 1;
      }
    }
    expect(taken).toBeLessThan(40 << 20);
    socket.destroy();
  });

  it('resets the application and tells both sides why when an intention denies', async () => {
    const db = await bench.db(await bench.echo(), { parts: { verdicts: denying('web', 42) } });
    const web = await bench.web([db.address]);
    expect(await ending(dial(web.address))).toBe('reset');
    expect(await ending(dial(web.address))).toBe('reset');
    const [inbound, ...more] = db.log.refusals();
    expect(more).toEqual([]); // the second one is only counted
    expect(inbound).toMatchObject({ reason: 'denied', precedence: 9, revision: 42, direction: 'inbound' });
    expect(inbound?.source).toContain('/dc/dc1/svc/web');
    expect(web.log.refusals()[0]).toMatchObject({
      reason: 'denied',
      direction: 'outbound',
      precedence: 9,
      revision: 42,
    });
    expect(db.sidecar.stats().refused.denied).toBe(2);
  });

  it('closes open connections that a new deny forbids, and only those', async () => {
    const db = await bench.db(await bench.echo());
    const web = await bench.web([db.address]);
    const open = await Promise.all(Array.from({ length: 20 }, () => holdOpen(web.address)));
    const endings = open.map(ending);
    await db.source.put({ verdicts: denying('other') });
    expect(db.sidecar.stats().closedByChange).toBe(0);
    await db.source.put({ verdicts: denying('web') });
    expect(await Promise.all(endings)).toEqual(open.map(() => 'reset'));
    expect(db.sidecar.stats().closedByChange).toBe(20);
    await db.source.put({ verdicts: ALLOW_ALL });
    expect(String(await exchange(web.address, 'again'))).toBe('again');
  });

  it('keeps an idle tunnel, and the time of a dial, when the clock is set', async () => {
    const limits = { pingIntervalMs: 5, tunnelIdleMs: 600_000 };
    const db = await bench.db(await bench.echo(), { limits });
    const web = await bench.web([db.address], { limits });
    await exchange(web.address, 'x');
    const { tunnels } = web.sidecar.stats().outbound;
    expect(tunnels).toBeGreaterThan(0);
    for (const aheadMs of [1_200_000, 0]) {
      bench.aheadMs = aheadMs;
      for (let n = 0; n < 20; n += 1) await exchange(web.address, 'x'); // pings go in between
      expect(web.sidecar.stats().outbound.tunnels).toBe(tunnels);
      const idle = bench.clock.steady() + 50;
      while (bench.clock.steady() < idle) await new Promise<void>((resolve) => setImmediate(resolve));
      expect(web.sidecar.stats().outbound.tunnels).toBe(tunnels);
    }
  });

  it('does not end a tunnel whose applications reset more than 1,000 connections', async () => {
    const db = await bench.db(await bench.echo());
    const web = await bench.web([db.address]);
    const kept = await holdOpen(web.address);
    for (let round = 0; round < 11; round += 1) {
      const open = await Promise.all(Array.from({ length: 100 }, () => holdOpen(web.address)));
      for (const socket of open) socket.resetAndDestroy();
    }
    kept.write('y');
    expect(String((await once(kept, 'data'))[0])).toBe('y');
    expect(Object.keys(web.sidecar.stats().refused)).toEqual([]);
    kept.destroy();
  });
});

describe('instances', () => {
  it('spreads over instances and goes on when one is gone', async () => {
    const port = await bench.echo();
    const first = await bench.db(port);
    const second = await bench.db(port);
    const web = await bench.web([first.address, second.address]);
    const open = await Promise.all(Array.from({ length: 20 }, () => holdOpen(web.address)));
    expect(first.sidecar.stats().inbound.connections).toBe(10);
    expect(second.sidecar.stats().inbound.connections).toBe(10);
    for (const socket of open) socket.destroy();
    await first.sidecar.stop();
    for (let n = 0; n < 20; n += 1) expect(String(await exchange(web.address, `${n}`))).toBe(`${n}`);
    expect(Object.keys(web.sidecar.stats().refused)).toEqual([]);
  });

  it('tries another instance when the application of one does not answer', async () => {
    const broken = await bench.db(1); // nothing listens there
    const good = await bench.db(await bench.echo());
    const web = await bench.web([broken.address, good.address]);
    for (let n = 0; n < 10; n += 1) expect(String(await exchange(web.address, 'hello'))).toBe('hello');
    expect(broken.sidecar.stats().refused.local_unreachable).toBeGreaterThan(0);
  });

  it('does not lose the first bytes while the first instance hangs', async () => {
    const hanging = await bench.app((socket) => socket.resume());
    const good = await bench.db(await bench.echo());
    const web = await bench.web([`127.0.0.1:${hanging}`, good.address], { upstream: { connect_timeout_ms: 1_000 } });
    const answers = await Promise.all(['one', 'two', 'three'].map((text) => exchange(web.address, text)));
    expect(answers.map(String)).toEqual(['one', 'two', 'three']);
  });

  it('refuses an instance with the identity of another service or datacenter', async () => {
    const impostor = await bench.db(await bench.echo(), { parts: { leaf: bench.ca.leaf('other', 'dc2') } });
    const elsewhere = await bench.db(await bench.echo(), { parts: { leaf: bench.ca.leaf('db', 'dc3') } });
    const web = await bench.web([impostor.address, elsewhere.address]);
    expect(await ending(dial(web.address))).toBe('reset');
    expect(web.log.refusals()[0]).toMatchObject({ reason: 'wrong_peer', upstream: DB.key });
  });

  it('resets at once without an instance, and follows new ones', async () => {
    const web = await bench.web([]);
    expect(await ending(dial(web.address))).toBe('reset');
    expect(web.sidecar.stats().refused.no_instance).toBe(1);
    const db = await bench.db(await bench.echo());
    await web.source.put({ endpoints: { [DB.key]: [fakeEndpoint(db.address, 'db', 'dc2')] } });
    expect(String(await exchange(web.address, 'hello'))).toBe('hello');
  });

  it('bounds the connections of an upstream', async () => {
    const db = await bench.db(await bench.echo());
    const web = await bench.web([db.address], { upstream: { max_connections: 2 } });
    const held = [await holdOpen(web.address), await holdOpen(web.address)];
    expect(await ending(dial(web.address))).toBe('reset');
    expect(web.sidecar.stats().refused.limit).toBe(1);
    for (const socket of held) socket.destroy();
  });

  it('bounds inbound connections, and says so to the other side', async () => {
    const db = await bench.db(await bench.echo(), { limits: { maxInboundConnections: 1 } });
    const web = await bench.web([db.address]);
    const held = await holdOpen(web.address);
    expect(await ending(dial(web.address))).toBe('reset');
    expect(web.log.refusals()[0]).toMatchObject({ reason: 'limit', limit: 'connections' });
    held.destroy();
  });
});

describe('life', () => {
  it('goes on with its last state while the source is away, and takes up again', async () => {
    const db = await bench.db(await bench.echo());
    const web = await bench.web([db.address]);
    const kept = await holdOpen(web.address);
    db.source.down = true;
    web.source.down = true;
    db.source.cut();
    web.source.cut();
    expect(String(await exchange(web.address, 'alone'))).toBe('alone');
    db.source.down = false;
    await db.source.put({ verdicts: denying('web') });
    expect(await ending(kept)).toBe('reset');
  });

  it('lets connections finish on stop, and leaves no socket behind', async () => {
    const db = await bench.db(await bench.echo(), { limits: { drainMs: 5_000 } });
    const web = await bench.web([db.address], { limits: { drainMs: 5_000 } });
    const open = await holdOpen(web.address);
    const stopped = Promise.all([web.sidecar.stop(), db.sidecar.stop()]);
    expect(await ending(dial(web.address))).toBe('reset'); // no longer listening
    open.end('last words');
    expect(String((await once(open, 'data'))[0])).toBe('last words');
    await stopped;
    await turn();
    expect(process.getActiveResourcesInfo().filter((kind) => kind.includes('TLS') || kind === 'TCPServerWrap')).toEqual(
      [
        'TCPServerWrap', // the echoing application
      ],
    );
  });

  it('fails to start when its listener cannot be had', async () => {
    const port = await bench.echo();
    const upstream = { ...DB, bindPort: port };
    await expect(
      bench.sidecar({
        config: fakeConfig({ service: 'web', datacenter: 'dc1', upstreams: [upstream] }),
        roots: bench.ca.roots(),
        leaf: bench.ca.leaf('web', 'dc1'),
        verdicts: ALLOW_ALL,
      }),
    ).rejects.toThrow(/cannot listen on 127\.0\.0\.1:\d+: EADDRINUSE/);
  });
});
