import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * - pass: bytes go both ways
 * - cut: open connections were reset, new ones are
 * - hole: connections stay open and new ones are accepted, but no byte gets through (a firewall that drops)
 */
export type ProxyMode = 'pass' | 'cut' | 'hole';

/** Stands between two processes and breaks their network. */
export class TcpProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: () => number;
  #mode: ProxyMode = 'pass';

  private constructor(server: Server, target: () => number) {
    this.#server = server;
    this.#target = target;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => this.#onConnection(socket));
  }

  /** @param target port on loopback, asked for each connection */
  static async open(target: () => number): Promise<TcpProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TcpProxy(server, target);
  }

  get connections(): number {
    return this.#sockets.size;
  }

  set mode(mode: ProxyMode) {
    this.#mode = mode;
    for (const socket of this.#sockets) {
      if (mode === 'cut') socket.destroy();
      else if (mode === 'hole') socket.pause();
      else socket.resume();
    }
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #onConnection(near: Socket): void {
    if (this.#mode === 'cut') {
      near.resetAndDestroy();
      return;
    }
    const far = connect(this.#target(), '127.0.0.1');
    this.#join(near, far);
    this.#join(far, near);
    if (this.#mode === 'hole') {
      near.pause();
      far.pause();
    }
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on('data', (chunk) => to.write(chunk));
    from.on('error', () => undefined);
    from.on('end', () => {
      if (this.#mode !== 'hole') to.end();
    });
    from.on('close', () => {
      this.#sockets.delete(from);
      if (this.#mode !== 'hole') to.destroy();
    });
  }
}
