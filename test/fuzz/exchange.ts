import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { FuzzTarget } from './run.ts';

/** How long a side that may wait for more input is waited for, milliseconds. */
const PATIENCE_MS = 40;
/** The same where the input is whole, so that an answer must come. */
export const WHOLE_MS = 10_000;
const SENT_AT_ONCE = 16;

/**
 * Sends bytes on a connection of its own; resolves with what comes back first, or nothing when it is closed or silent.
 */
export function exchange(port: number, bytes: Buffer, patienceMs = PATIENCE_MS): Promise<Buffer> {
  return answerOn(connect(port, '127.0.0.1'), 'connect', bytes, patienceMs);
}

/** The same within TLS, without a certificate. */
export function exchangeTls(port: number, alpn: string, bytes: Buffer, patienceMs = PATIENCE_MS): Promise<Buffer> {
  const options = { port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: [alpn] };
  return answerOn(connectTls(options), 'secureConnect', bytes, patienceMs);
}

function answerOn(socket: Socket, open: string, bytes: Buffer, patienceMs: number): Promise<Buffer> {
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const finish = (received: Buffer = Buffer.alloc(0)): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(received);
    };
    socket.on('error', () => finish()); // a reset is a refusal too
    socket.on('close', () => finish());
    socket.on('data', (chunk: Buffer) => finish(chunk));
    socket.on(open, () => {
      socket.write(bytes);
      timer = setTimeout(finish, patienceMs);
    });
  });
}

/** Collects inputs and runs so many of them at once: what costs is the waiting. */
export function atOnce(run: (input: Buffer) => Promise<void>): Pick<FuzzTarget, 'run' | 'flush'> {
  let batch: Promise<void>[] = [];
  const flush = async (): Promise<void> => {
    const all = batch;
    batch = [];
    await Promise.all(all);
  };
  return {
    async run(input) {
      batch.push(run(input));
      if (batch.length >= SENT_AT_ONCE) await flush();
    },
    flush,
  };
}

/** The first bytes that a client sends. */
export async function firstBytes(start: (port: number) => { destroy(): void }): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  const accepted = once(server, 'connection');
  const client = start(port);
  const [socket] = (await accepted) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}
