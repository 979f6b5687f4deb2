import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TUNNEL_PROTOCOL } from '../../src/sidecar/wire/tunnel.ts';
import {
  type AgentProcess,
  callAgent,
  freePorts,
  type SidecarProcess,
  startAgent,
  startSidecar,
} from '../harness/index.ts';

/** Floods of a running sidecar: by who has nothing, and by a member of the mesh whom an intention denies. */

interface Leaf {
  readonly CertPEM: string;
  readonly PrivateKeyPEM: string;
}

const folder = mkdtempSync(join(tmpdir(), 'isthmus-sidecar-floods-'));
const open = new Set<{ destroy(): void }>();
let app: Server;
let agent: AgentProcess;
let sidecar: SidecarProcess;
let port: number;
let roots: string;
const leaves: Record<string, Leaf> = {};

beforeAll(async () => {
  app = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  const { first, last } = await freePorts(1);
  const config = { ports: { sidecar_min_port: first, sidecar_max_port: last } };
  agent = await startAgent({ name: 's1', datacenter: 'dc1', dataDir: join(folder, 's1'), config });
  const { port: Port } = app.address() as { port: number };
  await callAgent(agent, 'PUT', '/v1/agent/service/register', { Name: 'db', Port, Connect: { SidecarService: {} } });
  await callAgent(agent, 'PUT', '/v1/connect/intentions/exact?source=mallory&destination=db', { Action: 'deny' });
  for (const name of ['web', 'mallory'])
    leaves[name] = await callAgent<Leaf>(agent, 'GET', `/v1/agent/connect/ca/leaf/${name}`);
  const { Roots } = await callAgent<{ Roots: { RootCert: string }[] }>(agent, 'GET', '/v1/agent/connect/ca/roots');
  roots = Roots.map(({ RootCert }) => RootCert).join('\n');
  sidecar = await startSidecar({ agent, sidecarFor: 'db' });
  port = Number(sidecar.ready.listen?.split(':').at(-1));
});

afterAll(async () => {
  for (const one of open) one.destroy();
  await sidecar?.stop();
  await agent?.stop();
  app.close();
  rmSync(folder, { recursive: true, force: true });
});

function silent(localAddress: string): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, localAddress });
    socket.on('error', () => undefined).resume();
    open.add(socket);
    socket.once('connect', () => resolve(socket)).once('close', () => resolve(socket));
  });
}

function secured(name: string, localAddress: string, alpn?: string): TLSSocket {
  const { CertPEM, PrivateKeyPEM } = leaves[name] as Leaf;
  const raw = connect({ host: '127.0.0.1', port, localAddress }).on('error', () => undefined);
  const socket = connectTls({
    ...{ socket: raw, ca: roots, cert: CertPEM, key: PrivateKeyPEM },
    checkServerIdentity: () => undefined,
    ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
  });
  open.add(raw);
  return socket.on('error', () => undefined);
}

async function isServed(name: string, localAddress: string): Promise<boolean> {
  const socket = secured(name, localAddress);
  socket.write('x');
  const served = await new Promise<boolean>((resolve) => {
    socket.once('data', () => resolve(true)).once('close', () => resolve(false));
  });
  socket.destroy();
  return served;
}

/** What a connection in a tunnel of its own is answered with; 0 when the tunnel was closed. */
function tunnelled(name: string): Promise<number> {
  const tls = secured(name, '127.0.0.1', TUNNEL_PROTOCOL);
  const session: ClientHttp2Session = connectHttp2('https://tunnel', { createConnection: () => tls });
  open.add(session);
  return new Promise((resolve) => {
    session.on('error', () => undefined).once('close', () => resolve(0));
    const stream = session.request({ ':method': 'CONNECT', ':authority': 'db' }, { endStream: false });
    stream.on('error', () => undefined);
    stream.once('response', (headers) => resolve(Number(headers[':status'])));
    stream.once('close', () => resolve(0));
  });
}

describe('a running sidecar', { timeout: 120_000 }, () => {
  it('serves the others while one address floods it with silent connections, opened again at once', async () => {
    let flooding = true;
    const again = async (): Promise<void> => {
      while (flooding) {
        const socket = await silent('127.0.0.66');
        if (!socket.destroyed) await new Promise<void>((resolve) => socket.once('close', () => resolve()));
      }
    };
    const flood = Array.from({ length: 520 }, again);
    const served = await Promise.all(Array.from({ length: 100 }, (_, n) => isServed('web', `127.0.3.${n + 1}`)));
    expect(served.filter(Boolean).length).toBeGreaterThanOrEqual(95);
    expect(await isServed('web', '127.0.0.66')).toBe(true); // the flooder's own address too
    flooding = false;
    for (const one of open) one.destroy();
    await Promise.all(flood);
    expect(sidecar.running).toBe(true);
  });

  it('serves the others while a denied identity floods it with tunnels, and says why it is denied', async () => {
    const flood = await Promise.all(Array.from({ length: 60 }, () => tunnelled('mallory')));
    expect(flood).toContain(403);
    expect(flood).not.toContain(200);
    const others = await Promise.all(Array.from({ length: 40 }, () => tunnelled('web')));
    expect(others.filter((status) => status === 200).length).toBeGreaterThanOrEqual(38);
    expect(sidecar.log()).toContain('mallory');
    expect(sidecar.running).toBe(true);
  });
});
