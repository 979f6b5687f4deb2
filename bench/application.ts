/** The application behind the sidecars and the client before them, as the figures of the data path need them. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Connections opened at the same time. */
const CONCURRENCY = 32;
export const ROUND_TRIPS = 5_000;
export const TRANSFER_BYTES = 1_000_000_000;
/** First byte of a connection that only sends. */
const SINK = 1;

export interface Application {
  readonly port: number;
  close(): void;
}

export async function startApplication(): Promise<Application> {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, application);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

/** The application: sinks what begins with {@link SINK} and says so at the end, echoes all else. */
function application(socket: Socket): void {
  socket.on('error', () => socket.destroy());
  socket.once('data', (first) => {
    if (first[0] === SINK) {
      socket.on('data', () => undefined);
      socket.on('end', () => socket.end('x'));
      return;
    }
    socket.write(first);
    socket.on('data', (chunk) => void socket.write(chunk));
    socket.on('end', () => socket.end());
  });
}

function dial(port: number): Socket {
  return connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true });
}

/** How long one connection may take: what never answers must not hold up what measures. */
const ANSWER_MS = 10_000;

/**
 * One connection: a byte there and back, then a clean end. One that ends without an answer was refused: a proxy that
 * may not connect accepts and closes.
 */
export function openOne(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = dial(port);
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    let answered = false;
    socket.setTimeout(ANSWER_MS, () => fail(new Error(`no answer within ${ANSWER_MS} ms`)));
    socket.on('error', fail);
    socket.write('p');
    socket.once('data', () => {
      answered = true;
      socket.end();
    });
    socket.on('end', () => {
      if (answered) resolve();
      else fail(new Error('closed without an answer'));
    });
    socket.on('close', () => fail(new Error('closed without an answer')));
  });
}

/** Opens one connection after another on each of 32 lanes for `ms`. */
export async function openFor(port: number, ms: number): Promise<{ connections: number; elapsedMs: number }> {
  const startedAt = performance.now();
  let connections = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() - startedAt < ms) {
      await openOne(port);
      connections += 1;
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return { connections, elapsedMs: performance.now() - startedAt };
}

/** Median over one connection, microseconds. */
export async function roundTrip(port: number): Promise<number> {
  const socket = dial(port);
  const times: number[] = [];
  for (let n = 0; n < ROUND_TRIPS; n += 1) {
    const startedAt = performance.now();
    socket.write('ping');
    await once(socket, 'data');
    times.push(performance.now() - startedAt);
  }
  socket.destroy();
  times.sort((a, b) => a - b);
  return (times[times.length >> 1] ?? 0) * 1_000;
}

/** One connection that sends all it can, megabytes a second. */
export async function transfer(port: number): Promise<number> {
  const socket = dial(port);
  const chunk = Buffer.alloc(1 << 16, SINK);
  const startedAt = performance.now();
  for (let left = TRANSFER_BYTES; left > 0; left -= chunk.length) {
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  await once(socket, 'data');
  return TRANSFER_BYTES / 1_000 / (performance.now() - startedAt);
}

/** A connection that has answered once and then stays. */
export async function openIdle(port: number): Promise<{ readonly whenClosed: Promise<void>; close(): void }> {
  const socket = dial(port);
  const whenClosed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.write('p');
  await once(socket, 'data');
  socket.on('error', () => undefined); // a reset is how it ends
  socket.on('end', () => socket.end());
  return { whenClosed, close: () => socket.destroy() };
}
