import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Clock, Timer } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { TlsMaterial } from '../../pki/tls-material.ts';

interface Pending {
  readonly settle: (outcome: TLSSocket | Error | undefined) => void;
}

/** Handshakes on sockets that were accepted elsewhere, each within a time limit. */
export class Handshakes {
  readonly #alpn: readonly string[];
  readonly #clock: Clock;
  readonly #limitMs: number;
  /** One server of Node for each set of certificates: it never listens, it only makes handshakes. */
  readonly #servers = new WeakMap<TlsMaterial, Server>();
  readonly #pending = new Map<string, Pending>();

  constructor(alpn: readonly string[], clock: Clock, limitMs: number) {
    this.#alpn = alpn;
    this.#clock = clock;
    this.#limitMs = limitMs;
  }

  /**
   * Resolves with the encrypted socket, whoever the caller is; undefined when the caller closed without a word. Throws
   * `unauthenticated` with what broke the handshake.
   */
  accept(raw: Socket, material: TlsMaterial): Promise<TLSSocket | undefined> {
    return new Promise((resolve, reject) => {
      const key = keyOf(raw);
      const timer: Timer = this.#clock.after(this.#limitMs, () =>
        pending.settle(new Error(`not finished within ${this.#limitMs} ms`)),
      );
      const onClose = (): void => pending.settle(undefined);
      const pending: Pending = {
        settle: (outcome) => {
          timer.cancel();
          raw.removeListener('close', onClose);
          if (this.#pending.get(key) === pending) this.#pending.delete(key);
          if (outcome instanceof Error) {
            raw.destroy();
            reject(handshakeFailed(outcome));
          } else resolve(outcome);
        },
      };
      this.#pending.set(key, pending);
      raw.once('close', onClose);
      this.#server(material).emit('connection', raw);
    });
  }

  #server(material: TlsMaterial): Server {
    let server = this.#servers.get(material);
    if (server !== undefined) return server;
    server = createServer({
      ...material.options,
      requestCert: true,
      rejectUnauthorized: false, // decided by the caller, with a reason that can be read
      ALPNProtocols: [...this.#alpn],
      handshakeTimeout: 10 * this.#limitMs, // this class has a limit of its own
    });
    server.on('secureConnection', (tls) => this.#settle(tls, tls));
    server.on('tlsClientError', (error, tls) => this.#settle(tls, error));
    this.#servers.set(material, server);
    return server;
  }

  #settle(tls: TLSSocket, outcome: TLSSocket | Error): void {
    tls.on('error', () => undefined); // 'close' follows; whoever uses the connection sees that
    const pending = this.#pending.get(keyOf(tls));
    if (pending === undefined) tls.destroy();
    else pending.settle(outcome);
  }
}

function handshakeFailed(cause: Error): IsthmusError {
  const details = { reason: 'handshake' };
  return new IsthmusError('unauthenticated', `the TLS handshake failed: ${cause.message}`, { cause, details });
}

/** A connection is known by its four numbers while it lives. */
function keyOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}
