import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** The application "db": answers every line with "db: <line>". */
export async function startDb(): Promise<{ readonly port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => socket.write(`db: ${chunk.toString()}`));
    socket.on('end', () => socket.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return {
    port: address.port,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** One question over a new connection; rejects when it is refused, reset, or unanswered after `timeoutMs`. */
export function ask(port: number, question: string, timeoutMs = 5_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let answered = false;
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    socket.on('connect', () => socket.write(`${question}\n`));
    socket.on('data', (chunk) => {
      answered = true;
      socket.end();
      resolve(chunk.toString().trim());
    });
    socket.on('error', reject);
    socket.on('close', () => {
      if (!answered) reject(new Error('the connection was closed without an answer'));
    });
  });
}

/** One connection that is kept and asked again and again. */
export class LongLived {
  readonly #socket: Socket;
  closed = false;
  answers = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('close', () => {
      this.closed = true;
    });
    socket.on('error', () => undefined);
  }

  static async open(port: number): Promise<LongLived> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const connection = new LongLived(socket);
    await connection.ask();
    return connection;
  }

  async ask(): Promise<void> {
    this.#socket.write('ping\n');
    await new Promise<void>((resolve, reject) => {
      const onData = (): void => done(resolve);
      const onClose = (): void => done(() => reject(new Error('a long-lived connection was closed')));
      const done = (settle: () => void): void => {
        this.#socket.off('data', onData);
        this.#socket.off('close', onClose);
        settle();
      };
      this.#socket.once('data', onData);
      this.#socket.once('close', onClose);
      if (this.closed) onClose();
    });
    this.answers += 1;
  }

  get whenClosed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.closed) resolve();
      else this.#socket.once('close', () => resolve());
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

export interface LoadCounts {
  opened: number;
  failed: number;
  longLived: number;
  longLivedAnswers: number;
  longLivedFailed: number;
  lastError: string;
}

/** Continuous load: `perSecond` new connections each second, and `longLived` kept ones asked all the time. */
export async function startLoad(port: number, perSecond: number, longLived: number) {
  const counts: LoadCounts = {
    opened: 0,
    failed: 0,
    longLived,
    longLivedAnswers: 0,
    longLivedFailed: 0,
    lastError: '',
  };
  const kept = await Promise.all(Array.from({ length: longLived }, () => LongLived.open(port)));
  let running = true;
  const pending = new Set<Promise<void>>();
  const fail = (error: unknown): void => {
    counts.lastError = error instanceof Error ? error.message : String(error);
  };

  // Ticks every 10 ms and opens what is due, so that a slow tick is made up for by the next one.
  let due = 0;
  const timer = setInterval(() => {
    due += perSecond / 100;
    for (; due >= 1; due -= 1) {
      const one = ask(port, 'load').then(
        () => {
          counts.opened += 1;
        },
        (error: unknown) => {
          counts.failed += 1;
          fail(error);
        },
      );
      pending.add(one);
      void one.finally(() => pending.delete(one));
    }
  }, 10);
  const talkers = kept.map(async (connection) => {
    while (running) {
      try {
        await connection.ask();
        counts.longLivedAnswers += 1;
      } catch (error) {
        counts.longLivedFailed += 1;
        fail(error);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });

  return {
    counts,
    async stop(): Promise<LoadCounts> {
      running = false;
      clearInterval(timer);
      await Promise.all([...talkers, ...pending]);
      for (const connection of kept) connection.close();
      return counts;
    },
  };
}
