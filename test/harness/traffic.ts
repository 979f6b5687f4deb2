import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** An application behind a sidecar. */
export interface EchoApplication {
  readonly port: number;
  close(): Promise<void>;
}

/** Answers each piece of text with `<name>: <text>`. */
export async function startEcho(name: string): Promise<EchoApplication> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => socket.write(`${name}: ${chunk.toString()}`));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** One question over a new connection; rejects when it is refused, reset, or unanswered after `timeoutMs`. */
export function ask(port: number, question: string, timeoutMs = 5_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    socket.on('connect', () => socket.write(`${question}\n`));
    socket.on('data', (chunk) => {
      resolve(chunk.toString().trim());
      socket.end();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the connection was closed without an answer')));
  });
}

/** One connection that is kept and asked again and again. */
export class LongLived {
  readonly #socket: Socket;
  readonly #closed: Promise<void>;
  #waiting: { resolve(): void; reject(error: Error): void } | undefined;
  closed = false;
  answers = 0;
  /** The last one. */
  answer = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      this.answer = chunk.toString().trim();
      this.#waiting?.resolve();
      this.#waiting = undefined;
    });
    socket.on('close', () => {
      this.closed = true;
      this.#waiting?.reject(new Error('a long-lived connection was closed'));
    });
  }

  static async open(port: number): Promise<LongLived> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return LongLived.over(socket);
  }

  /** Over one that is connected, with TLS or without. */
  static async over(socket: Socket): Promise<LongLived> {
    const connection = new LongLived(socket);
    await connection.ask();
    return connection;
  }

  async ask(): Promise<void> {
    if (this.closed) throw new Error('a long-lived connection was closed');
    await new Promise<void>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write('ping\n');
    });
    this.answers += 1;
  }

  get whenClosed(): Promise<void> {
    return this.#closed;
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
  readonly errors: string[];
}

export interface Load {
  readonly counts: LoadCounts;
  /** New connections that were begun each second since the start. */
  rate(): number;
  stop(): Promise<LoadCounts>;
}

const TICK_MS = 10;
/** Connections that wait for their answer: more would only measure how busy the machine is, and Envoy takes 1,024. */
const MAX_PENDING = 100;
const TALK_PAUSE_MS = 50;
const MAX_ERRORS = 20;

/** What became of one new connection. */
export interface Opened {
  /** `Date.now()` when it was begun. */
  readonly begunAt: number;
  /** Undefined when it failed. */
  readonly answer: string | undefined;
  /** Why it failed. */
  readonly error?: string;
}

/** Continuous load: `perSecond` new connections each second, and `longLived` kept ones asked all the time. */
export async function startLoad(
  port: number,
  perSecond: number,
  longLived: number,
  onOpened: (opened: Opened) => void = () => undefined,
): Promise<Load> {
  const counts: LoadCounts = {
    opened: 0,
    failed: 0,
    longLived,
    longLivedAnswers: 0,
    longLivedFailed: 0,
    errors: [],
  };
  const kept = await Promise.all(Array.from({ length: longLived }, () => LongLived.open(port)));
  const pending = new Set<Promise<void>>();
  const startedAt = performance.now();
  let started = 0;
  let running = true;
  const tell = (error: unknown): void => {
    const at = Math.round(performance.now() - startedAt);
    if (counts.errors.length < MAX_ERRORS)
      counts.errors.push(`after ${at} ms: ${error instanceof Error ? error.message : String(error)}`);
  };
  const openOne = async (): Promise<void> => {
    const begunAt = Date.now();
    try {
      const answer = await ask(port, 'load', 20_000);
      counts.opened += 1;
      onOpened({ begunAt, answer });
    } catch (error) {
      counts.failed += 1;
      onOpened({ begunAt, answer: undefined, error: error instanceof Error ? error.message : String(error) });
      tell(error);
    }
  };
  // Opens what is due by the clock, so that a late tick is made up for.
  const timer = setInterval(() => {
    const due = ((performance.now() - startedAt) * perSecond) / 1_000;
    for (; started < due && pending.size < MAX_PENDING; started += 1) {
      const one = openOne().finally(() => pending.delete(one));
      pending.add(one);
    }
  }, TICK_MS);
  const talkers = kept.map(async (connection) => {
    while (running) {
      try {
        await connection.ask();
        counts.longLivedAnswers += 1;
      } catch (error) {
        counts.longLivedFailed += 1;
        tell(error);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, TALK_PAUSE_MS));
    }
  });
  return {
    counts,
    rate: () => (started * 1_000) / (performance.now() - startedAt),
    async stop() {
      running = false;
      clearInterval(timer);
      await Promise.all([...talkers, ...pending]);
      for (const connection of kept) connection.close();
      return counts;
    },
  };
}
