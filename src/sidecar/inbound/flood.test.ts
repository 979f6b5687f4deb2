import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ALLOW_ALL, denying } from '../../../test/fakes/fake-mesh.ts';
import { portOf, SidecarBench } from '../../../test/fakes/sidecar-bench.ts';
import type { SidecarLeaf } from '../../model/sidecar.ts';
import { TUNNEL_PROTOCOL } from '../wire/tunnel.ts';

let bench: SidecarBench;
const held = new Set<{ destroy(): void }>();
beforeEach(() => {
  bench = new SidecarBench();
});
afterEach(async () => {
  for (const socket of held) socket.destroy();
  held.clear();
  await bench.close();
});

/** A connection from `localAddress` that says nothing. */
async function silent(address: string, localAddress: string): Promise<Socket> {
  const socket = connectTcp({ host: '127.0.0.1', port: portOf(address), localAddress });
  socket.on('error', () => undefined);
  held.add(socket);
  await answerOf(socket, 'connect');
  return socket.resume();
}

async function secured(address: string, leaf: SidecarLeaf, localAddress: string, alpn?: string): Promise<TLSSocket> {
  const raw = connectTcp({ host: '127.0.0.1', port: portOf(address), localAddress });
  const socket = connectTls({
    socket: raw,
    ca: [bench.ca.rootPem],
    cert: leaf.certPem,
    key: leaf.keyPem,
    checkServerIdentity: () => undefined,
    ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
  });
  raw.on('error', () => undefined);
  socket.on('error', () => undefined);
  held.add(raw);
  return socket;
}

/** What comes first: the answer that is waited for, or the end of the connection. */
function answerOf<T extends unknown[]>(emitter: NodeJS.EventEmitter, event: string): Promise<T | undefined> {
  return new Promise((resolve) => {
    emitter.once(event, (...answer: T) => resolve(answer));
    emitter.once('close', () => resolve(undefined));
  });
}

/** Whether one connection with a certificate is served. */
async function isServed(address: string, leaf: SidecarLeaf, localAddress: string): Promise<boolean> {
  const socket = await secured(address, leaf, localAddress);
  socket.write('x');
  return (await answerOf(socket, 'data')) !== undefined;
}

/** A tunnel as another sidecar makes it, with the status that a connection in it was answered with. */
async function tunnel(address: string, leaf: SidecarLeaf, ask: boolean): Promise<[ClientHttp2Session, number]> {
  const tls = await secured(address, leaf, '127.0.0.1', TUNNEL_PROTOCOL);
  const session = connectHttp2('https://tunnel', { createConnection: () => tls });
  session.on('error', () => undefined);
  held.add(session);
  if (!ask) {
    await answerOf(session, 'remoteSettings');
    return [session, 0];
  }
  const stream = session.request({ ':method': 'CONNECT', ':authority': 'db' }, { endStream: false });
  stream.on('error', () => undefined);
  const answer = await answerOf<[{ ':status': number }]>(stream, 'response');
  return [session, answer?.[0][':status'] ?? 0];
}

describe('a flood', () => {
  it('of silent connections from one address leaves the others their handshakes', async () => {
    const db = await bench.db(await bench.echo());
    for (let n = 0; n < 1_200; n += 100)
      await Promise.all(Array.from({ length: 100 }, () => silent(db.address, '127.0.0.66')));
    const leaf = bench.ca.leaf('web', 'dc1');
    const served = await Promise.all(
      Array.from({ length: 60 }, (_, n) => isServed(db.address, leaf, `127.0.0.${100 + (n % 20)}`)),
    );
    expect(served.filter(Boolean).length).toBeGreaterThanOrEqual(57);
    expect(await isServed(db.address, leaf, '127.0.0.66')).toBe(true); // the flooder's own address too
    expect(db.sidecar.stats().refused.limit).toBeGreaterThanOrEqual(1_200 - 256);
  });

  it('of silent connections from many addresses ends those of the address with most', async () => {
    const db = await bench.db(await bench.echo(), { limits: { maxPendingHandshakes: 64 } });
    for (let n = 0; n < 200; n += 1) await silent(db.address, `127.0.1.${1 + (n % 40)}`);
    const leaf = bench.ca.leaf('web', 'dc1');
    const served: boolean[] = [];
    for (let n = 0; n < 20; n += 1) served.push(await isServed(db.address, leaf, '127.0.0.9'));
    expect(served.filter(Boolean).length).toBeGreaterThanOrEqual(19);
  });

  it('of tunnels of a denied identity is bounded, and leaves the others theirs', async () => {
    const limits = { maxInboundTunnels: 64, maxDeniedTunnelsPerIdentity: 8, pingIntervalMs: 2_000 };
    const db = await bench.db(await bench.echo(), { limits, parts: { verdicts: denying('mallory') } });
    const mallory = bench.ca.leaf('mallory', 'dc1');
    const flood = await Promise.all(Array.from({ length: 100 }, () => tunnel(db.address, mallory, true)));
    expect(flood.map(([, status]) => status)).toContain(403); // it learns why
    expect(db.sidecar.stats().inbound.tunnels).toBeLessThanOrEqual(8);
    const web = bench.ca.leaf('web', 'dc1');
    const others = await Promise.all(Array.from({ length: 40 }, () => tunnel(db.address, web, true)));
    expect(others.filter(([, status]) => status === 200).length).toBeGreaterThanOrEqual(38);
    // Those that are left go by themselves.
    for (const [session] of flood) if (!session.destroyed) await answerOf(session, 'close');
    await expect.poll(() => db.sidecar.stats().inbound.tunnels).toBe(40);
  });

  it('of tunnels that an identity does not use leaves the others theirs', async () => {
    const limits = { maxInboundTunnels: 40, maxTunnelsPerIdentity: 30 };
    const db = await bench.db(await bench.echo(), { limits });
    const idle = bench.ca.leaf('idle', 'dc1');
    for (let n = 0; n < 100; n += 1) await tunnel(db.address, idle, false);
    expect(db.sidecar.stats().inbound.tunnels).toBeLessThanOrEqual(30);
    const web = bench.ca.leaf('web', 'dc1');
    const others = await Promise.all(Array.from({ length: 20 }, () => tunnel(db.address, web, true)));
    expect(others.map(([, status]) => status)).toEqual(others.map(() => 200));
  });

  it('has its tunnels closed when its identity is denied', async () => {
    const db = await bench.db(await bench.echo(), { parts: { verdicts: ALLOW_ALL } });
    const mallory = await tunnel(db.address, bench.ca.leaf('mallory', 'dc1'), true);
    const web = await tunnel(db.address, bench.ca.leaf('web', 'dc1'), true);
    expect([mallory[1], web[1]]).toEqual([200, 200]);
    const closed = answerOf(mallory[0], 'close');
    await db.source.put({ verdicts: denying('mallory') });
    await closed;
    expect(web[0].destroyed).toBe(false);
    expect(db.sidecar.stats().closedByChange).toBe(1);
    await expect.poll(() => db.sidecar.stats().inbound.tunnels).toBe(1);
  });
});
