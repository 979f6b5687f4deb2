import { readFileSync } from 'node:fs';
import { type ClientHttp2Session, connect } from 'node:http2';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type AgentProcess, startAgent } from '../harness/index.ts';

/** Callers without a token that begin messages and never finish them. */

const MIB = 1024 * 1024;
let server: AgentProcess;

beforeAll(async () => {
  server = await startAgent({ name: 's1', datacenter: 'dc1' });
});

afterAll(() => server?.stop());

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
  const before = peakMemory();
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
