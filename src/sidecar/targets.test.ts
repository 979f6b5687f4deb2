import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fakeEndpoint } from '../../test/fakes/fake-mesh.ts';
import { DB, ending, exchange, holdOpen, SidecarBench } from '../../test/fakes/sidecar-bench.ts';
import { wanProxy } from '../../test/harness/wan-proxy.ts';
import type { SidecarEndpoint } from '../model/sidecar.ts';

let bench: SidecarBench;
beforeEach(() => {
  bench = new SidecarBench();
});
afterEach(() => bench.close());

/** Long enough for a loaded machine, short enough to wait for. */
const TIMEOUT_MS = 500;
const PINGS = { pingIntervalMs: 200, pingTimeoutMs: TIMEOUT_MS };

/** An application that tells where it is. */
const telling = (name: string): Promise<number> =>
  bench.app((socket) => socket.on('data', () => socket.write(name)).on('end', () => socket.end()));

/** web with db in dc2 behind a stretch of network, and in dc3. */
async function twoTargets() {
  const near = await bench.db(await telling('dc2'), { limits: PINGS });
  const far = await bench.db(await telling('dc3'), { parts: { leaf: bench.ca.leaf('db', 'dc3') } });
  const way = await wanProxy(near.address);
  bench.defer(() => way.close());
  const endpoints = [
    { ...fakeEndpoint(way.address, 'db', 'dc2'), target: 'db.dc2', connectTimeoutMs: TIMEOUT_MS },
    { ...fakeEndpoint(far.address, 'db', 'dc3'), target: 'db.dc3', connectTimeoutMs: 20 * TIMEOUT_MS },
  ];
  const web = await bench.web([], {
    parts: { endpoints: { [DB.key]: endpoints } },
    limits: { connectTimeoutMs: TIMEOUT_MS, ejectBaseMs: 50, ...PINGS },
  });
  return { web, near, way, endpoints };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a target in a black hole', () => {
  it('is left by new connections, none of which fails, and taken back once it is reached again', async () => {
    const { web, way } = await twoTargets();
    const answers = async (count: number): Promise<ReadonlySet<string>> =>
      new Set((await Promise.all(Array.from({ length: count }, () => exchange(web.address, 'x')))).map(String));
    expect(await answers(10)).toEqual(new Set(['dc2']));
    way.blackHole();
    expect(await answers(10)).toEqual(new Set(['dc3']));
    const startedAt = performance.now();
    for (let n = 0; n < 20; n += 1) expect(await answers(1)).toEqual(new Set(['dc3']));
    expect(performance.now() - startedAt).toBeLessThan(20 * TIMEOUT_MS); // they do not each find out by themselves
    way.heal();
    for (let seen = ''; seen !== 'dc2'; ) [seen = ''] = await answers(1);
    expect(Object.keys(web.sidecar.stats().refused)).toEqual([]);
  });

  it('leaves no tunnel behind that was given up in it', async () => {
    const { web, way } = await twoTargets();
    await exchange(web.address, 'x');
    way.blackHole();
    await exchange(web.address, 'x'); // gives the tunnel up, and takes another target
    while (web.sidecar.stats().outbound.tunnels > 1) await turn();
    expect(String(await exchange(web.address, 'x'))).toBe('dc3');
  });

  it('leaves no tunnel behind on its own side, whatever happens there meanwhile', async () => {
    const { web, near, way } = await twoTargets();
    await exchange(web.address, 'x');
    way.blackHole();
    await near.source.put({ leaf: bench.ca.leaf('db', 'dc2') }); // its tunnels end, and no caller notices
    while (near.sidecar.stats().inbound.tunnels > 0) await turn();
  });

  it('does not keep what was open for ever', async () => {
    const { web, way } = await twoTargets();
    const open = await Promise.all([holdOpen(web.address), holdOpen(web.address)]);
    way.blackHole();
    expect(await Promise.all(open.map(ending))).toEqual(['reset', 'reset']);
    expect(String(await exchange(web.address, 'x'))).toBe('dc3');
  });

  it('is looked at again at once when its datacenter is said to be back', async () => {
    const { web, way, endpoints } = await twoTargets();
    way.blackHole();
    expect(String(await exchange(web.address, 'x'))).toBe('dc3');
    const [near, far] = endpoints as [SidecarEndpoint, SidecarEndpoint];
    await web.source.put({ endpoints: { [DB.key]: [far, { ...near, lastResort: true }] } });
    way.heal();
    await web.source.put({ endpoints: { [DB.key]: [near] } });
    expect(String(await exchange(web.address, 'x'))).toBe('dc2');
  });
});

describe('a target whose process died', () => {
  it('is left at once, also where the kernel sends no more than an end', async () => {
    const LONG_MS = 60_000; // nothing here may wait for a time-out
    const near = await bench.db(await telling('dc2'));
    const far = await bench.db(await telling('dc3'), { parts: { leaf: bench.ca.leaf('db', 'dc3') } });
    const pairs: { readonly inner: Socket; readonly outer: Socket }[] = [];
    const way = createServer({ allowHalfOpen: true }, (inner) => {
      const outer = connect(Number(near.address.split(':').at(-1)), '127.0.0.1');
      inner.pipe(outer).pipe(inner, { end: false });
      for (const socket of [inner, outer]) socket.on('error', () => undefined);
      pairs.push({ inner, outer });
    }).listen(0, '127.0.0.1');
    await once(way, 'listening');
    bench.defer(async () => {
      for (const { inner } of pairs) inner.destroy();
    });
    const endpoints = [
      {
        ...fakeEndpoint(`127.0.0.1:${(way.address() as AddressInfo).port}`, 'db', 'dc2'),
        target: 'db.dc2',
        connectTimeoutMs: LONG_MS,
      },
      { ...fakeEndpoint(far.address, 'db', 'dc3'), target: 'db.dc3', connectTimeoutMs: LONG_MS },
    ];
    const web = await bench.web([], {
      parts: { endpoints: { [DB.key]: endpoints } },
      limits: { connectTimeoutMs: LONG_MS, pingIntervalMs: LONG_MS, pingTimeoutMs: LONG_MS },
    });
    expect(String(await exchange(web.address, 'x'))).toBe('dc2');
    way.close();
    for (const { inner, outer } of pairs) {
      inner.unpipe(outer);
      outer.unpipe(inner);
      outer.destroy();
      inner.resume().end();
    }
    expect(String(await exchange(web.address, 'x'))).toBe('dc3');
  });
});

describe('a target without instances that answer', () => {
  it('is passed over when its applications are gone', async () => {
    const gone = await bench.db(1); // nothing listens there
    const far = await bench.db(await telling('dc3'), { parts: { leaf: bench.ca.leaf('db', 'dc3') } });
    const web = await bench.web([], {
      parts: {
        endpoints: {
          [DB.key]: [
            { ...fakeEndpoint(gone.address, 'db', 'dc2'), target: 'db.dc2' },
            { ...fakeEndpoint(far.address, 'db', 'dc3'), target: 'db.dc3' },
          ],
        },
      },
    });
    for (let n = 0; n < 5; n += 1) expect(String(await exchange(web.address, 'x'))).toBe('dc3');
  });
});
