import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createSystemClock } from '../../src/lib/clock.ts';
import type { SidecarUpdate, SidecarUpstream } from '../../src/model/sidecar.ts';
import type { SidecarLimits } from '../../src/sidecar/limits.ts';
import { createSidecar, type Sidecar } from '../../src/sidecar/sidecar.ts';
import { type LogFields, type Logger, noMetrics } from '../../src/telemetry/types.ts';
import {
  ALLOW_ALL,
  FakeAuthority,
  FakeSidecarSource,
  fakeConfig,
  fakeEndpoint,
  fakeUpstream,
  type LeafOptions,
} from './fake-mesh.ts';

/** Log lines kept for a look. */
export class LogLines {
  readonly lines: { readonly message: string; readonly fields: LogFields }[] = [];
  readonly logger: Logger = {
    debug: () => undefined,
    info: (message, fields = {}) => void this.lines.push({ message, fields }),
    warn: (message, fields = {}) => void this.lines.push({ message, fields }),
    error: (message, fields = {}) => void this.lines.push({ message, fields }),
    child: () => this.logger,
  };

  refusals(): LogFields[] {
    return this.lines.filter((line) => line.message === 'connection refused').map((line) => line.fields);
  }
}

export interface RunningSidecar {
  readonly sidecar: Sidecar;
  readonly source: FakeSidecarSource;
  readonly log: LogLines;
  readonly address: string;
}

export const DB: SidecarUpstream = fakeUpstream('db', 'dc2');

/** Applications and sidecars on loopback with real certificates; `close` ends all of it. */
export class SidecarBench {
  readonly ca = new FakeAuthority();
  /** Added to the time of day of its sidecars, milliseconds. */
  aheadMs = 0;
  readonly clock = createSystemClock({
    wall: () => Date.now() + this.aheadMs,
    steady: () => performance.now(),
  });
  readonly #closers: (() => Promise<void>)[] = [];

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  defer(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  /** A TCP application; returns its port. */
  async app(onConnection: (socket: Socket) => void): Promise<number> {
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => undefined);
      onConnection(socket);
    });
    const port = await listening(server);
    this.defer(async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    });
    return port;
  }

  echo(): Promise<number> {
    return this.app((socket) => socket.pipe(socket));
  }

  async sidecar(
    first: Omit<SidecarUpdate, 'version'>,
    limits: Partial<SidecarLimits> = {},
  ): Promise<Omit<RunningSidecar, 'address'>> {
    const source = new FakeSidecarSource(first);
    const log = new LogLines();
    const sidecar = createSidecar({
      source,
      clock: this.clock,
      log: log.logger,
      metrics: noMetrics,
      limits: { drainMs: 20, ...limits },
    });
    await sidecar.start(new AbortController().signal);
    this.defer(() => sidecar.stop());
    return { sidecar, source, log };
  }

  /** The sidecar of service db in dc2. */
  async db(
    localPort: number,
    options: { leaf?: LeafOptions; limits?: Partial<SidecarLimits>; parts?: Omit<SidecarUpdate, 'version'> } = {},
  ): Promise<RunningSidecar> {
    const running = await this.sidecar(
      {
        config: fakeConfig({ service: 'db', datacenter: 'dc2', localPort }),
        roots: this.ca.roots(),
        leaf: this.ca.leaf('db', 'dc2', options.leaf),
        verdicts: ALLOW_ALL,
        ...options.parts,
      },
      options.limits,
    );
    return { ...running, address: running.sidecar.addresses().listen as string };
  }

  /** The sidecar of service web in dc1 with one upstream, db in dc2, at `instances`. */
  async web(
    instances: readonly string[],
    options: {
      leaf?: LeafOptions;
      limits?: Partial<SidecarLimits>;
      parts?: Omit<SidecarUpdate, 'version'>;
      upstream?: Readonly<Record<string, unknown>>;
    } = {},
  ): Promise<RunningSidecar> {
    const upstream = { ...DB, config: options.upstream ?? {} };
    const running = await this.sidecar(
      {
        config: fakeConfig({ service: 'web', datacenter: 'dc1', upstreams: [upstream] }),
        roots: this.ca.roots(),
        leaf: this.ca.leaf('web', 'dc1', options.leaf),
        verdicts: ALLOW_ALL,
        endpoints: { [DB.key]: instances.map((address) => fakeEndpoint(address, 'db', 'dc2')) },
        ...options.parts,
      },
      options.limits,
    );
    return { ...running, address: running.sidecar.addresses().upstreams[DB.key] as string };
  }
}

export async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

export function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

/** Connects as an application does. */
export function dial(address: string): Socket {
  return connect({ host: '127.0.0.1', port: portOf(address), allowHalfOpen: true, noDelay: true });
}

/** Sends `data`, ends, and returns all that comes back; rejects on a reset. */
export async function exchange(address: string, data: Buffer | string): Promise<Buffer> {
  const socket = dial(address);
  socket.end(data);
  return await readAll(socket);
}

/** All bytes until a clean end; an async iterator would lose what is buffered when the socket closes. */
export function readAll(socket: Socket, pauseNow: (chunk: number) => boolean = () => false): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      if (!pauseNow(chunks.length)) return;
      socket.pause();
      setImmediate(() => socket.resume());
    });
    socket.on('error', reject);
    socket.on('end', () => resolve(Buffer.concat(chunks)));
  });
}

/** Opens a connection through to an echoing application and keeps it. */
export async function holdOpen(address: string): Promise<Socket> {
  const socket = dial(address);
  socket.on('error', () => undefined);
  socket.write('x');
  await once(socket, 'data');
  return socket;
}

/** How a connection ended: by a clean end or a failure. */
export function ending(socket: Socket): Promise<'end' | 'reset'> {
  return new Promise((resolve) => {
    socket.on('error', () => resolve('reset'));
    // Node may report the end of a socket that was reset; one that has no peer any more, before it ended itself, was.
    socket.on('end', () => resolve(!socket.writableEnded && socket.remotePort === undefined ? 'reset' : 'end'));
    socket.resume();
  });
}
