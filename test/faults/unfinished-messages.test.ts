import { readFileSync, writeFileSync } from 'node:fs';
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type AgentProcess, startAgent, waitFor } from '../harness/index.ts';

/** Callers without a token that begin messages and never finish them. */

const MIB = 1024 * 1024;
let server: AgentProcess;

beforeAll(async () => {
  server = await startAgent({ name: 's1', datacenter: 'dc1' });
});

afterAll(() => server?.stop());

/** What the process holds now; {@link peakMemory} counts from here. */
function memory(): number {
  writeFileSync(`/proc/${server.pid}/clear_refs`, '5');
  return peakMemory();
}

/** The most that the process has held, bytes. */
function peakMemory(): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** Begins a message of this length and sends all of it but the end; resolves once it was taken or the call ended. */
function begin(session: ClientHttp2Session, method: string, length: number): Promise<void> {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/isthmus.v1.Server/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.resume();
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length, 1);
  return new Promise((resolve) => {
    stream.on('error', () => undefined);
    stream.once('close', resolve);
    stream.write(Buffer.concat([head, Buffer.alloc(length - 1)]), () => resolve());
  });
}

it.each([
  ['of 63 MiB each', 63 * MIB, 20],
  ['as large as a write may be', 4 * MIB, 60],
])('unfinished messages %s cost little, and others are served', async (_what, length, count) => {
  const before = memory();
  const sessions = Array.from({ length: 4 }, () => {
    const session = connect(`http://${server.ready.server}`);
    session.on('error', () => undefined);
    return session;
  });
  try {
    await Promise.all(
      Array.from({ length: count }, (_, n) =>
        begin(
          sessions[n % sessions.length] as ClientHttp2Session,
          ['Write', 'RestoreSnapshot'][n % 2] as string,
          length,
        ),
      ),
    );
    expect(peakMemory() - before).toBeLessThan(200 * MIB);
    expect((await server.http('PUT', '/v1/catalog/register', { Node: 'n', Address: '10.0.0.1' })).status).toBe(200);
  } finally {
    for (const session of sessions) session.destroy();
  }
});

/**
 * Begins a body as large as it may be and sends all of it but the end; resolves once it was taken or the connection
 * ended.
 */
function beginBody(client: string, path: string): { readonly socket: Socket; readonly sent: Promise<void> } {
  const [host = '', port = ''] = server.ready.http.split(':');
  const socket = connectSocket({ host, port: Number(port), localAddress: client });
  socket.on('error', () => undefined);
  socket.resume();
  socket.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY.length + 1}\r\n\r\n`);
  const sent = new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
    socket.write(BODY, () => resolve());
  });
  return { socket, sent };
}

/** Bytes that the system holds for the HTTP API. */
function unread(): number {
  const port = Number(server.ready.http.split(':')[1]).toString(16).toUpperCase().padStart(4, '0');
  const queues = readFileSync('/proc/net/tcp', 'utf8').matchAll(
    /^\s*\d+: [0-9A-F]+:([0-9A-F]+) \S+ 01 [0-9A-F]+:([0-9A-F]+)/gm,
  );
  return [...queues].reduce(
    (sum, [, local, waiting]) => sum + (local === port ? Number.parseInt(waiting as string, 16) : 0),
    0,
  );
}

const BODY = Buffer.alloc(512 * 1024 - 1, ' ');

it('unfinished bodies of the HTTP API cost little, and others are served', async () => {
  const before = memory();
  const begun = Array.from({ length: 700 }, (_, n) => beginBody(`127.0.0.${2 + (n % 4)}`, '/v1/catalog/register'));
  try {
    await Promise.all(begun.map(({ sent }) => sent));
    await waitFor(async () => unread() === 0, { what: 'all of it to be read' });
    expect(peakMemory() - before).toBeLessThan(128 * MIB);
    expect((await server.http('PUT', '/v1/catalog/register', { Node: 'n', Address: '10.0.0.2' })).status).toBe(200);
  } finally {
    for (const { socket } of begun) socket.destroy();
  }
});
