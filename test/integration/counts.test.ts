import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { openLmdbEngine } from '../../src/store/lmdb/lmdb-engine.ts';
import { dial, SidecarBench } from '../fakes/sidecar-bench.ts';
import { type AgentProcess, freePorts, json, startAgent, startSidecar, waitFor, wanProxy } from '../harness/index.ts';

/**
 * What a fixed piece of work costs, counted: a busy machine changes no count, or not by much. Each bound is some way
 * above what was seen; docs/performance.md has both.
 */

const running: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of running.splice(0).reverse()) await each.stop();
});

const MEGABYTE = 1_000_000;

/** With COUNTS=1 what was counted is shown, for the table in docs/performance.md. */
function report(what: string, ...counts: readonly number[]): void {
  if (process.env.COUNTS !== undefined) process.stderr.write(`${what}: ${counts.join(', ')}\n`);
}

async function agent(): Promise<AgentProcess> {
  const started = await startAgent({ name: 'dc1-s1', datacenter: 'dc1', config: { log_level: 'warn' } });
  running.push(started);
  return started;
}

/** Commits that LMDB has made of the store in this folder, which nothing has open. */
async function committed(path: string): Promise<number> {
  const store = open({ path, readOnly: true });
  const { lastTxnId } = store.getStats() as { readonly lastTxnId: number };
  await store.close();
  return lastTxnId;
}

it('100 writes at the same time: commits of the embedded store, each with a disk sync', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-counts-'));
  const path = join(folder, 'store');
  /** Commits from opening it until it is closed, with so many writes. */
  const commitsWith = async (writes: number): Promise<number> => {
    const before = await committed(path).catch(() => 0);
    const engine = await openLmdbEngine({
      path,
      clock: systemClock,
      onError: (what, error) => expect.unreachable(`${what}: ${error.message}`),
    });
    const write = (n: number) => engine.txn({ compare: [], ops: [{ type: 'put', key: `row/${n}`, value: '{}' }] });
    await Promise.all(Array.from({ length: writes }, (_, n) => write(n)));
    await engine.close();
    return (await committed(path)) - before;
  };
  try {
    await commitsWith(0);
    const opening = await commitsWith(0);
    const commits = (await commitsWith(100)) - opening;
    report('commits', commits);
    expect(commits).toBeGreaterThanOrEqual(1);
    expect(commits).toBeLessThanOrEqual(2);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Sends so many bytes over a connection and resolves when its other end has them all. */
async function send(socket: Socket, bytes: number): Promise<void> {
  const piece = Buffer.alloc(65_536);
  for (let left = bytes; left > 0; left -= piece.length)
    if (!socket.write(piece.subarray(0, Math.min(left, piece.length)))) await once(socket, 'drain');
  socket.end();
  await once(socket.resume(), 'end');
}

/** Counts the records of a TLS connection, in pieces of any size. */
class Records {
  count = 0;
  #left = 0;
  #head = Buffer.alloc(0);

  read(piece: Buffer): void {
    let rest = piece;
    while (rest.length > 0) {
      const skipped = Math.min(this.#left, rest.length);
      this.#left -= skipped;
      rest = rest.subarray(skipped);
      if (rest.length === 0) return;
      const head = Buffer.concat([this.#head, rest.subarray(0, 5 - this.#head.length)]);
      rest = rest.subarray(5 - this.#head.length);
      this.#head = head;
      if (head.length < 5) return;
      this.count += 1;
      this.#left = head.readUInt16BE(3);
      this.#head = Buffer.alloc(0);
    }
  }
}

it('1 MB through a tunnel: bytes and TLS records on the wire', async () => {
  const megabytes = 8;
  const bench = new SidecarBench();
  running.push({ stop: () => bench.close() });
  const db = await bench.db(await bench.app((socket) => socket.resume().on('end', () => socket.end())));
  const sent = new Records();
  const wire = await wanProxy(db.address, { onBytes: (piece, { fromDialler }) => fromDialler && sent.read(piece) });
  running.push({ stop: () => wire.close() });
  const web = await bench.web([wire.address]);
  const first = dial(web.address).end();
  await once(first.resume(), 'end'); // the tunnel is there
  const [bytes, records] = [wire.bytes, sent.count];
  await send(dial(web.address), megabytes * MEGABYTE);
  report('bytes and records for 1 MB', (wire.bytes - bytes) / megabytes, (sent.count - records) / megabytes);
  expect((wire.bytes - bytes) / megabytes).toBeGreaterThan(MEGABYTE);
  expect((wire.bytes - bytes) / megabytes).toBeLessThan(1.01 * MEGABYTE);
  expect((sent.count - records) / megabytes).toBeLessThan(80);
});

/** Calls of read and write, of whatever kind, that a process has made. */
function calls(pid: number): number {
  const text = readFileSync(`/proc/${pid}/io`, 'utf8');
  return Number(/syscr: (\d+)/.exec(text)?.[1]) + Number(/syscw: (\d+)/.exec(text)?.[1]);
}

it.runIf(process.platform === 'linux')('1 MB through two sidecars: system calls of each', async () => {
  const megabytes = 64;
  const bench = new SidecarBench();
  running.push({ stop: () => bench.close() });
  const port = await bench.app((socket) => socket.resume().on('end', () => socket.end()));
  const server = await agent();
  const { first: firstPort } = await freePorts(3);
  await json(server.ready.http, 'PUT', '/v1/agent/service/register', {
    Name: 'db',
    Port: port,
    Connect: { SidecarService: { Port: firstPort } },
  });
  await json(server.ready.http, 'PUT', '/v1/agent/service/register', {
    Name: 'web',
    Port: 1,
    Connect: {
      SidecarService: {
        Port: firstPort + 1,
        Proxy: { Upstreams: [{ DestinationName: 'db', LocalBindPort: firstPort + 2 }] },
      },
    },
  });
  const db = await startSidecar({ agent: server, sidecarFor: 'db' });
  running.push(db);
  const web = await startSidecar({ agent: server, sidecarFor: 'web' });
  running.push(web);
  const [address = ''] = Object.values(web.ready.upstreams);
  await waitFor(
    async () => {
      const socket = dial(address);
      await send(socket, 1);
      return true;
    },
    { what: 'web reaching db' },
  );
  const before = [calls(web.pid), calls(db.pid)] as const;
  await send(dial(address), megabytes * MEGABYTE);
  const each = [(calls(web.pid) - before[0]) / megabytes, (calls(db.pid) - before[1]) / megabytes] as const;
  report('calls for 1 MB', ...each);
  expect(each[0]).toBeGreaterThan(5);
  expect(each[0]).toBeLessThan(30);
  expect(each[1]).toBeLessThan(45);
});

it('20 intentions, and a service with its sidecar: commits', async () => {
  const { ready } = await agent();
  const revision = async (): Promise<number> => {
    // Any write shows the newest revision as the index of what it changed.
    await json(ready.http, 'PUT', '/v1/catalog/register', {
      Node: 'probe',
      Address: '10.0.0.1',
      NodeMeta: { n: String(probe++) },
    });
    const response = await fetch(`http://${ready.http}/v1/catalog/node/probe`);
    await response.arrayBuffer();
    return Number(response.headers.get('x-consul-index'));
  };
  let probe = 0;
  let before = await revision();
  for (let n = 0; n < 20; n += 1) {
    const path = `/v1/connect/intentions/exact?source=web&destination=db-${n}`;
    await json(ready.http, 'PUT', path, { SourceType: 'consul', Action: 'allow' });
  }
  let after = await revision();
  report('commits', after - before - 1);
  expect(after - before - 1).toBeLessThanOrEqual(22);
  before = after;
  await json(ready.http, 'PUT', '/v1/agent/service/register', {
    Name: 'db',
    Port: 1,
    Connect: { SidecarService: {} },
  });
  await waitFor(async () => (await json<unknown[]>(ready.http, 'GET', '/v1/health/connect/db')).length === 1, {
    what: 'the sidecar in the catalog',
  });
  after = await revision();
  report('commits', after - before - 1);
  expect(after - before - 1).toBeLessThanOrEqual(6);
});

/** Lines of what a sidecar is sent, without heartbeats. */
class SidecarLines {
  readonly lines: string[] = [];
  readonly #response: IncomingMessage;

  constructor(response: IncomingMessage) {
    this.#response = response;
    let rest = '';
    response.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      this.lines.push(...parts.filter((line) => line !== '' && line !== '{}'));
    });
    response.on('error', () => undefined); // it is cut at the end
  }

  stop(): void {
    this.#response.destroy();
  }
}

it('one endpoint of 50 changes: messages and bytes to a sidecar', async () => {
  const { ready } = await agent();
  const place = (n: number, port: number): Promise<unknown> =>
    json(ready.http, 'PUT', '/v1/catalog/register', {
      Node: `far-${n}`,
      Address: '10.0.0.1',
      Service: {
        ...{ Kind: 'connect-proxy', ID: `db-${n}`, Service: 'db-sidecar-proxy', Port: port },
        Proxy: { DestinationServiceName: 'db' },
      },
    });
  for (let n = 0; n < 50; n += 1) await place(n, 1_000);
  await json(ready.http, 'PUT', '/v1/agent/service/register', {
    Name: 'web',
    Port: 1,
    Connect: { SidecarService: { Proxy: { Upstreams: [{ DestinationName: 'db', LocalBindPort: 12_345 }] } } },
  });
  const url = `http://${ready.http}/v1/internal/sidecar?sidecar-for=web`;
  const response = await new Promise<IncomingMessage>((resolve, reject) => get(url, resolve).on('error', reject));
  const sidecar = new SidecarLines(response);
  running.push({ stop: async () => sidecar.stop() });
  const shows = (port: number): boolean => sidecar.lines.some((line) => line.includes(`"port":${port}`));
  await waitFor(async () => shows(1_000), { what: 'the endpoints' });
  const before = sidecar.lines.length;
  await place(7, 2_000);
  await waitFor(async () => shows(2_000), { what: 'the changed endpoint' });
  const sent = sidecar.lines.slice(before);
  report('lengths of messages', ...sent.map(({ length }) => length));
  expect(sent.length).toBeLessThanOrEqual(2);
  expect(sent.join('').length).toBeLessThan(12_000);
});
