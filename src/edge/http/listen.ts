import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { bucketOf } from '../../lib/address.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { type Failure, watchListening } from '../../lib/failure.ts';
import { peekFirstBytes } from '../../lib/first-bytes.ts';
import type { PerKeyLimit, Slot } from '../../lib/per-key-limit.ts';
import { TOO_MANY_CONNECTIONS } from './admission.ts';
import type { DirectConnections } from './direct.ts';
import type { HttpLimits } from './limits.ts';

export interface HttpTls {
  readonly context: SecureContextOptions;
  /** Only clients with a certificate of the context's authorities. */
  readonly requireClientCertificate: boolean;
}

export type HttpListener =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls?: HttpTls }
  | { readonly kind: 'unix'; readonly path: string };

export interface HttpAddress {
  readonly kind: 'http' | 'https' | 'unix';
  /** Literal IP, or the path of a Unix socket. */
  readonly host: string;
  /** 0 for a Unix socket. */
  readonly port: number;
}

export interface ListenDeps {
  /** Open connections, by client. */
  readonly limiter: PerKeyLimit;
  readonly limits: HttpLimits;
  readonly clock: Clock;
  /** Looks at connections first. */
  readonly direct: DirectConnections;
  /** Gets the failure when a listener ends without being closed. */
  readonly failure: Failure;
  readonly onPassing: (error: Error) => void;
  readonly closing: () => boolean;
  /** A connection or request that was refused before it reached a route. */
  readonly onRefused: (reason: RefusalReason, client: string) => void;
}

export type RefusalReason =
  | 'connections'
  | 'malformed'
  | 'headers-too-large'
  | 'too-slow'
  | 'tls'
  | 'watchers'
  | 'in-flight';

export interface OpenListener {
  readonly server: Server;
  readonly address: HttpAddress;
  /** New connections use these certificates; absent without TLS. */
  readonly setTls?: (context: SecureContextOptions) => void;
  /** Drops connections that have not come to a request yet. */
  dropHandshakes(): void;
}

/** Opens a listener; port 0 lets the system choose. */
export async function openListener(
  listener: HttpListener,
  handler: RequestListener,
  deps: ListenDeps,
): Promise<OpenListener> {
  const { limits, limiter } = deps;
  const tls = listener.kind === 'tcp' ? listener.tls : undefined;
  const options: ServerOptions = {
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.keepAliveMs,
    // Slow clients are looked for this often.
    connectionsCheckingInterval: Math.max(50, Math.min(5_000, limits.headersMs / 2)),
    noDelay: true,
  };
  const secure =
    tls === undefined
      ? undefined
      : createTlsServer(
          {
            ...options,
            ...tls.context,
            handshakeTimeout: limits.tlsHandshakeMs,
            requestCert: tls.requireClientCertificate,
            rejectUnauthorized: tls.requireClientCertificate,
          },
          handler,
        );
  const server = secure ?? createServer(options, handler);
  const handshakes = new Set<Socket>();
  const look = (socket: Socket, parse: (socket: Socket) => void): void => {
    parsers.set(socket, () => parse.call(server, socket));
    deps.direct.accept(socket);
  };
  const [begin] = server.listeners('connection') as [(socket: Socket) => void];
  /** Whoever speaks HTTP to the HTTPS port reads so, where TLS would just close. */
  const beginTls = async (socket: Socket, client: string): Promise<void> => {
    socket.on('error', () => socket.destroy());
    const bytes = await peekFirstBytes(socket, deps.clock, limits.tlsHandshakeMs);
    if (bytes !== undefined && !HTTP_METHOD.test(bytes.toString('latin1', 0, 1))) {
      begin.call(server, socket);
      return;
    }
    deps.onRefused('tls', client);
    refuse(socket, bytes === undefined ? undefined : HTTP_TO_HTTPS, deps.clock);
  };
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const client = socket.remoteAddress; // undefined on a Unix socket
    const giveUp = (): void => {
      deps.onRefused('connections', client ?? '');
      socket.destroy();
    };
    const slot = limiter.admit(bucketOf(client), giveUp);
    if (slot === undefined) {
      deps.onRefused('connections', client ?? '');
      refuse(socket, secure === undefined ? TOO_MANY_CONNECTIONS : undefined, deps.clock);
      return;
    }
    socket.once('close', slot.release);
    slots.set(socket, slot);
    if (secure === undefined) look(socket, begin);
    else {
      handshakes.add(socket);
      socket.once('close', () => handshakes.delete(socket));
      beginTls(socket, client ?? '').catch(() => {
        deps.onRefused('tls', client ?? '');
        socket.destroy();
      });
    }
  });
  if (secure !== undefined) {
    const [parse] = secure.listeners('secureConnection') as [(socket: Socket) => void];
    secure.removeAllListeners('secureConnection');
    secure.on('secureConnection', (socket: TLSSocket) => {
      const raw = underlying(socket);
      const slot = raw === undefined ? undefined : slots.get(raw);
      if (slot !== undefined) slots.set(socket, slot);
      look(socket, parse);
    });
  }
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const [reason, line] = clientErrorOf(error);
    deps.onRefused(reason, socket.remoteAddress ?? '');
    refuse(socket, `HTTP/1.1 ${line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`, deps.clock);
  });
  server.on('tlsClientError', (_error: Error, socket: Socket) => deps.onRefused('tls', socket.remoteAddress ?? ''));
  await new Promise<void>((resolve, reject) => {
    const onError = (cause: Error): void =>
      reject(new IsthmusError('unavailable', `cannot listen on ${describe(listener)}: ${cause.message}`, { cause }));
    server.once('error', onError);
    const onListening = (): void => {
      server.off('error', onError);
      resolve();
    };
    if (listener.kind === 'unix') server.listen(listener.path, onListening);
    else server.listen(listener.port, listener.host, onListening);
  });
  watchListening(server, { ...deps, what: `the HTTP API on ${describe(listener)}` });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  const address: HttpAddress =
    listener.kind === 'unix'
      ? { kind: 'unix', host: listener.path, port: 0 }
      : { kind: tls === undefined ? 'http' : 'https', host: listener.host, port };
  const dropHandshakes = (): void => {
    for (const socket of handshakes) socket.destroy();
  };
  if (secure === undefined) return { server, address, dropHandshakes };
  return { server, address, dropHandshakes, setTls: (context) => secure.setSecureContext(context) };
}

/** Stops accepting, waits for `drained`, and closes all connections. */
export async function closeListener(open: OpenListener, drained: Promise<void>): Promise<void> {
  const closed = new Promise<void>((resolve) => open.server.close(() => resolve()));
  await Promise.race([closed, drained]);
  open.dropHandshakes();
  open.server.closeAllConnections();
  await closed;
}

/** What each connection takes of the limit. */
const slots = new WeakMap<Socket, Slot>();

/** A request came on the connection: it is not closed any more to make room for another one. */
export function keepConnection(socket: Socket): void {
  slots.get(socket)?.keep();
}

/** The connection that TLS runs on; Node keeps it, without a type. */
function underlying(socket: TLSSocket): Socket | undefined {
  return (socket as TLSSocket & { readonly _parent?: Socket })._parent;
}

/** A method begins with a letter, a TLS record with 0x16. */
const HTTP_METHOD = /[A-Z]/;
/** The words of Go's server, which operators and their tools know. */
const HTTP_TO_HTTPS =
  'HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n' +
  'Client sent an HTTP request to an HTTPS server.\n';

/** Starts Node's HTTP parser on a connection that was looked at first. */
const parsers = new WeakMap<Socket, () => void>();

/** Gives a connection to Node's HTTP server for good, with what was read from it. */
export function handOver(socket: Socket, chunk: Buffer): void {
  parsers.get(socket)?.();
  socket.emit('data', chunk);
}

/** How long a refused client may take to read why. */
const REFUSAL_LINGER_MS = 1_000;

/** Says why and closes. Not at once: closing with unread input would reset the connection and lose the text. */
function refuse(socket: Socket, text: string | undefined, clock: Clock): void {
  refused.add(socket);
  if (text === undefined) {
    socket.destroy();
    return;
  }
  const timer = clock.after(REFUSAL_LINGER_MS, () => socket.destroy());
  socket.once('close', () => timer.cancel());
  socket.once('end', () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.end(text);
  socket.resume(); // what it still sends is of no interest
}

const refused = new WeakSet<Socket>();

/** True for a connection that was refused; a request that still arrives on it is not answered. */
export function isRefused(socket: Socket): boolean {
  return refused.has(socket);
}

function clientErrorOf(error: NodeJS.ErrnoException): [reason: RefusalReason, line: string] {
  if (error.code === 'HPE_HEADER_OVERFLOW') return ['headers-too-large', '431 Request Header Fields Too Large'];
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return ['too-slow', '408 Request Timeout'];
  return ['malformed', '400 Bad Request'];
}

function describe(listener: HttpListener): string {
  return listener.kind === 'unix' ? listener.path : `${listener.host}:${listener.port}`;
}
