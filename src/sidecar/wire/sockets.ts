import { connect, isIP, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { End } from './pump.ts';

/** For streams whose failure is also told by `close`: without a listener an error would end the process. */
export function ignoreError(): void {}

/** Ends a socket with a TCP reset, so that the other side cannot take it for a clean end. */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

/**
 * Ends a TLS connection with a reset of the TCP socket below. While its own end is being sent, libuv refuses to reset
 * and Node would lose the open handle, so it is closed without one then.
 */
export function resetTls(tls: TLSSocket, raw: Socket): void {
  if (tls.writableEnded && !tls.writableFinished) tls.destroy();
  else resetSocket(raw);
}

/**
 * A TCP socket as one end of a connection. After a reset, libuv may report a clean end (it takes POLLHUP after a short
 * read for one). A socket that was reset has no remote address any more, one that the other side half closed has.
 * Node caches the remote address once it was asked for, so nothing else may ask before. Once this side has ended too,
 * the two cases look the same.
 */
export function socketEnd(socket: Socket): End {
  return {
    stream: socket,
    reset: () => resetSocket(socket),
    failed: () => !socket.destroyed && !socket.writableEnded && socket.remotePort === undefined,
  };
}

/** A TLS connection as one end; resets go to the TCP socket below. */
export function tlsEnd(tls: TLSSocket, raw: Socket): End {
  return { stream: tls, reset: () => resetTls(tls, raw), failed: () => false };
}

export interface ConnectOptions {
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** For other hosts, which may vanish without a word. Costs four system calls. */
  readonly keepAlive: boolean;
}

/** A TCP connection, without delay and able to be half closed. Rejects with `unavailable` or `deadline`. */
export function connectTcp(options: ConnectOptions): { readonly socket: Socket; readonly connected: Promise<void> } {
  const { address, port, timeoutMs, clock, keepAlive } = options;
  // A name look-up costs a thread each time, and this one's answer is known.
  const host = address === 'localhost' || address === '' ? '127.0.0.1' : address;
  const socket = connect({ host, port, noDelay: true, keepAlive, allowHalfOpen: true });
  const connected = new Promise<void>((resolve, reject) => {
    const timer = clock.after(timeoutMs, () => {
      settle();
      socket.destroy();
      reject(new IsthmusError('deadline', `no connection to ${hostPort(address, port)} within ${timeoutMs} ms`));
    });
    const onConnect = (): void => {
      settle();
      resolve();
    };
    const onError = (cause: Error): void => {
      settle();
      reject(
        new IsthmusError('unavailable', `cannot connect to ${hostPort(address, port)}: ${codeOf(cause)}`, { cause }),
      );
    };
    const onClose = (): void => {
      settle();
      reject(new IsthmusError('cancelled', 'given up'));
    };
    const settle = (): void => {
      timer.cancel();
      socket.removeListener('connect', onConnect);
      socket.removeListener('error', onError);
      socket.removeListener('close', onClose);
      socket.on('error', ignoreError);
    };
    socket.once('connect', onConnect);
    socket.once('error', onError);
    socket.once('close', onClose);
  });
  return { socket, connected };
}

export function hostPort(address: string, port: number): string {
  return isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

export function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  if (typeof code === 'string') return code;
  return error instanceof Error ? error.message : String(error);
}
