import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type SecureContextOptions } from 'node:tls';
import { formatAddress } from '../../lib/address.ts';
import { IsthmusError } from '../../lib/errors.ts';

/** Where Envoys reach this agent. */
export type XdsListener =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls?: XdsTls }
  | { readonly kind: 'unix'; readonly path: string };

export interface XdsTls {
  /** The certificates in use now; asked for with each connection, since they are renewed. */
  readonly context: () => SecureContextOptions | undefined;
  /** Only Envoys with a certificate of the context's authorities. */
  readonly requireClientCertificate: boolean;
}

export interface XdsAddress {
  /** The key of the configuration: `grpc`, or `grpc_tls`. */
  readonly name: 'grpc' | 'grpc_tls';
  /** Literal IP, or the path of a Unix socket. */
  readonly host: string;
  /** 0 for a Unix socket. */
  readonly port: number;
}

export interface OpenXdsListener {
  readonly server: Server;
  readonly address: XdsAddress;
}

export interface XdsListenDeps {
  /** A raw connection, before anything of it was read; false refuses it. */
  readonly admit: (socket: Socket) => boolean;
  /** A connection that HTTP/2 is spoken on. */
  readonly accept: (socket: Socket) => void;
  readonly onTlsError: (client: string, reason: string) => void;
  readonly handshakeMs: number;
  /** The kernel looks after this long of silence whether the other machine still knows the connection. */
  readonly probeMs: number;
}

/** Opens a listener; port 0 lets the system choose. */
export async function openXdsListener(listener: XdsListener, deps: XdsListenDeps): Promise<OpenXdsListener> {
  const tls = listener.kind === 'tcp' ? listener.tls : undefined;
  const secure = tls === undefined ? undefined : secureServer(tls, deps);
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: deps.probeMs }, (socket) => {
    socket.on('error', () => undefined); // 'close' follows
    if (!deps.admit(socket)) socket.destroy();
    else if (secure === undefined) deps.accept(socket);
    else secure(socket);
  });
  const where =
    listener.kind === 'unix' ? listener.path : formatAddress({ address: listener.host, port: listener.port });
  const name = tls === undefined ? 'grpc' : 'grpc_tls';
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new IsthmusError('unavailable', `ports.${name}: can't listen on ${where}: ${cause.message}`, { cause })),
    );
    if (listener.kind === 'unix') server.listen(listener.path, resolve);
    else server.listen(listener.port, listener.host, resolve);
  });
  const bound = server.address();
  const address =
    typeof bound === 'object' && bound !== null
      ? ({ name, host: bound.address, port: bound.port } as const)
      : ({ name, host: where, port: 0 } as const);
  return { server, address };
}

/** Speaks TLS on connections, with the certificates of the moment. */
function secureServer({ context, requireClientCertificate }: XdsTls, deps: XdsListenDeps): (socket: Socket) => void {
  let current = context();
  const server = createTlsServer(
    {
      ...current,
      ALPNProtocols: ['h2'],
      handshakeTimeout: deps.handshakeMs,
      requestCert: requireClientCertificate,
      rejectUnauthorized: requireClientCertificate,
    },
    (socket) => {
      socket.on('error', () => undefined);
      deps.accept(socket);
    },
  );
  server.on('tlsClientError', (error, socket) => {
    deps.onTlsError(socket.remoteAddress ?? '', error.message);
    socket.destroy();
  });
  return (socket) => {
    const now = context();
    if (now !== undefined && now !== current) {
      server.setSecureContext(now);
      current = now;
    }
    server.emit('connection', socket);
  };
}
