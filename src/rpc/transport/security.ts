import type { Socket } from 'node:net';

/**
 * How connections between servers are protected. The transport hands every socket to it before HTTP/2 begins, so that
 * mutual TLS is one more implementation of this and changes nothing else.
 */
export interface TransportSecurity {
  /** True when what it returns is encrypted and the peer's identity was checked. */
  readonly secure: boolean;
  /** Accepting side: resolves with the socket to speak HTTP/2 on; throws `unauthenticated` with the reason to refuse. */
  accept(socket: Socket): Promise<Socket>;
  /** Dialling side. `host` is the name that was dialled. */
  connect(socket: Socket, host: string): Promise<Socket>;
}

export const plaintext: TransportSecurity = {
  secure: false,
  accept: async (socket) => socket,
  connect: async (socket) => socket,
};
