import type { Socket } from 'node:net';
import type { PeerCertificate } from 'node:tls';

/** Who the other end of a connection is, by a certificate that was verified. */
export interface PeerIdentity {
  /** Datacenters whose server the certificate makes it; empty for a client. */
  readonly serverOf: readonly string[];
  /** Datacenters whose client agent the certificate makes it. */
  readonly clientOf: readonly string[];
  /** The node that the certificate is for; absent when it names none. */
  readonly node?: string;
  /** What the certificate says, for texts. */
  readonly name: string;
}

/** A connection ready to speak HTTP/2 on. */
export interface SecuredConnection {
  readonly socket: Socket;
  /** Absent where identities are not checked. */
  readonly peer?: PeerIdentity;
  /** True when both sides have agreed on HTTP/2 already. */
  readonly http2?: boolean;
}

/** Whom a connection is meant for. */
export interface DialTarget {
  /** `host:port`, for texts. */
  readonly address: string;
  /** The datacenter whose server must answer; absent: a server of any. */
  readonly datacenter?: string;
}

/**
 * How connections between servers are protected. The transport hands every socket to it before HTTP/2 begins. Both
 * throw `unauthenticated` (or `unavailable`) with what is wrong with which side and what to do.
 */
export interface TransportSecurity {
  /** Accepting side; undefined when the connection is gone, or was for another protocol, which has taken it. */
  accept(socket: Socket): Promise<SecuredConnection | undefined>;
  /** Dialling side. */
  connect(socket: Socket, target: DialTarget): Promise<SecuredConnection>;
  /**
   * Who called on an accepted connection, by its verified certificate (absent on plain connections). Undefined: nothing
   * is proven, and everyone may be anyone.
   */
  identify(certificate: PeerCertificate | undefined): PeerIdentity | undefined;
}

export const plaintext: TransportSecurity = {
  accept: async (socket) => ({ socket }),
  connect: async (socket) => ({ socket }),
  identify: () => undefined,
};
