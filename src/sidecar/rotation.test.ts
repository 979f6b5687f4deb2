import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dial, ending, exchange, holdOpen, type RunningSidecar, SidecarBench } from '../../test/fakes/sidecar-bench.ts';

let bench: SidecarBench;
beforeEach(() => {
  bench = new SidecarBench();
});
afterEach(() => bench.close());

/** Opens one connection after the other until told to stop; both methods throw when one failed. */
function load(address: string): { progress(): Promise<void>; stop(): Promise<void> } {
  let running = true;
  let count = 0;
  let failure: unknown;
  const worker = async (): Promise<void> => {
    while (running) {
      const text = `connection ${count}`;
      expect(String(await exchange(address, text))).toBe(text);
      count += 1;
    }
  };
  const workers = Promise.all(Array.from({ length: 4 }, worker)).catch((error: unknown) => {
    failure = error;
  });
  const check = (): void => {
    if (failure !== undefined) throw failure;
  };
  return {
    async progress() {
      for (const end = count + 6; count < end; check()) await exchange(address, 'tick');
    },
    async stop() {
      running = false;
      await workers;
      check();
    },
  };
}

async function until(condition: () => boolean, sidecars: readonly RunningSidecar[]): Promise<void> {
  const [first] = sidecars;
  while (!condition()) await exchange(first?.address ?? '', 'tick'); // an exchange takes real turns of the loop
}

describe('rotation', () => {
  it('swaps leaves and roots five times under load without one failed connection', async () => {
    const db = await bench.db(await bench.echo(), { limits: { rootGraceMs: 300 } });
    const web = await bench.web([db.address], { limits: { rootGraceMs: 300 } });
    const kept = await Promise.all(Array.from({ length: 10 }, () => holdOpen(web.address)));
    const traffic = load(web.address);
    const all = [db, web];
    for (let round = 0; round < 5; round += 1) {
      const old = bench.ca.rootPem;
      const next = bench.ca.rotate();
      await Promise.all(all.map(({ source }) => source.put({ roots: bench.ca.roots(next, old) })));
      await traffic.progress();
      const order = round % 2 === 0 ? (['db', 'web'] as const) : (['web', 'db'] as const);
      for (const service of order) {
        const { source } = service === 'db' ? db : web;
        await source.put({ leaf: bench.ca.leaf(service, service === 'db' ? 'dc2' : 'dc1') });
        await traffic.progress();
      }
      await Promise.all(all.map(({ source }) => source.put({ roots: bench.ca.roots(next) })));
      await traffic.progress();
    }
    await traffic.stop();
    for (const socket of kept) {
      socket.write('y');
      expect(String((await once(socket, 'data'))[0])).toBe('y');
      socket.destroy();
    }
    for (const { sidecar } of all) {
      expect(sidecar.stats().refused).toEqual({});
      expect(sidecar.stats().closedByChange).toBe(0);
    }
  });

  it('moves to new tunnels after either side got a new leaf, and old ones go with their last stream', async () => {
    const db = await bench.db(await bench.echo());
    const web = await bench.web([db.address]);
    for (const [side, service, dc] of [
      [web, 'web', 'dc1'],
      [db, 'db', 'dc2'],
    ] as const) {
      const kept = await holdOpen(web.address);
      await side.source.put({ leaf: bench.ca.leaf(service, dc) });
      await until(() => db.sidecar.stats().inbound.tunnels === 2, [web]);
      kept.end();
      expect(await ending(kept)).toBe('end');
      await until(() => db.sidecar.stats().inbound.tunnels === 1, [web]);
    }
  });

  it('passes over every tunnel that the other side has closed, however many, before it makes a new one', async () => {
    const db = await bench.db(await bench.echo());
    // Between the two: what db says is held back until web asks again, so that web learns late of each closed tunnel.
    const relays: { hold: boolean }[] = [];
    let stale = 0;
    const openNew: (() => void)[] = [];
    const port = await bench.app((client) => {
      const relay = { hold: false };
      const server = dial(db.address);
      const held: Buffer[] = [];
      server.on('error', () => undefined);
      server.on('close', () => client.destroy());
      client.on('close', () => server.destroy());
      server.on('data', (chunk: Buffer) => void (relay.hold ? held.push(chunk) : client.write(chunk)));
      client.on('data', (chunk: Buffer) => {
        server.write(chunk);
        if (!relay.hold) return;
        relay.hold = false;
        client.write(Buffer.concat(held));
        stale -= 1;
        if (stale === 0) for (const open of openNew) open();
      });
      if (stale > 0) {
        client.pause(); // a new tunnel: not before all old ones were found closed
        openNew.push(() => client.resume());
      } else relays.push(relay);
    });
    const limits = { tunnelsPerInstance: 4, streamsBeforeGrowth: 1 };
    const web = await bench.web([`127.0.0.1:${port}`], { limits });
    const kept: Socket[] = [];
    while (db.sidecar.stats().inbound.tunnels < 4) kept.push(await holdOpen(web.address));
    stale = relays.length;
    for (const relay of relays) relay.hold = true;
    await db.source.put({ leaf: bench.ca.leaf('db', 'dc2') });
    expect(String(await exchange(web.address, 'still there?'))).toBe('still there?');
    expect(stale).toBe(0);
    expect(web.sidecar.stats().refused).toEqual({});
    for (const socket of kept) socket.destroy();
  });

  it('closes connections of peers that show nothing newer when their root goes', async () => {
    const db = await bench.db(await bench.echo(), { limits: { rootGraceMs: 20 } });
    const web = await bench.web([db.address]);
    const kept = await holdOpen(web.address);
    const closed = ending(kept);
    bench.ca.rotate();
    await db.source.put({ roots: bench.ca.roots(), leaf: bench.ca.leaf('db', 'dc2') });
    expect(await closed).toBe('reset');
    expect(db.sidecar.stats().closedByChange).toBe(1);
  });

  it('keeps what it has when an update cannot be used, and does not acknowledge it', async () => {
    const db = await bench.db(await bench.echo());
    const web = await bench.web([db.address]);
    const version = db.source.send({ leaf: { ...bench.ca.leaf('db', 'dc2'), keyPem: 'no key' } });
    await until(() => db.log.lines.some((line) => line.message.startsWith('update not in effect')), [web]);
    expect(db.sidecar.stats().version).toBe(version - 1);
    await db.source.put({ leaf: bench.ca.leaf('db', 'dc2') });
    expect(String(await exchange(web.address, 'hello'))).toBe('hello');
  });

  it('refuses a peer whose root went while its handshake was under way', async () => {
    const db = await bench.db(await bench.echo());
    const leaf = bench.ca.leaf('web', 'dc1');
    // Between the two: passes the first flight on, and the client's certificate only after the change.
    const relay = await bench.app((client) => {
      const server = dial(db.address);
      server.on('error', () => undefined);
      server.pipe(client);
      server.on('close', () => client.destroy());
      client.once('data', (hello: Buffer) => {
        server.write(hello);
        client.once('data', (certificate: Buffer) => {
          bench.ca.rotate();
          db.source.put({ roots: bench.ca.roots() }).then(
            () => server.write(certificate),
            (error: Error) => client.destroy(error),
          );
        });
      });
    });
    const web = connectTls({
      host: '127.0.0.1',
      port: relay,
      cert: leaf.certPem,
      key: leaf.keyPem,
      ca: [bench.ca.rootPem],
      checkServerIdentity: () => undefined,
    });
    web.on('error', () => undefined);
    web.resume();
    await new Promise<void>((resolve) => web.once('close', () => resolve()));
    expect(db.sidecar.stats().refused).toEqual({ untrusted: 1 });
    expect(db.log.refusals()).toMatchObject([{ source: leaf.uri, reason: 'untrusted' }]);
  });
});
