import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ChangeSource } from '../contract/changes.ts';
import type { ServerContract } from '../contract/contract.ts';
import type { SnapshotContract } from '../contract/snapshots.ts';
import type {
  AgentHelloSchema,
  LinkMessage,
  LinkMessageSchema,
  SessionMessage,
  SessionMessageSchema,
} from '../gen/isthmus/v1/isthmus_pb.ts';
import type { PeerIdentity } from './security.ts';

export type {
  AgentHello,
  Hello,
  KnownServer,
  LinkMessage,
  SessionMessage,
  SessionServer,
  Welcome,
} from '../gen/isthmus/v1/isthmus_pb.ts';
export { HelloSchema } from '../gen/isthmus/v1/isthmus_pb.ts';
export type LinkMessageInit = MessageInitShape<typeof LinkMessageSchema>;
export type AgentHelloInit = MessageInitShape<typeof AgentHelloSchema>;
export type SessionMessageInit = MessageInitShape<typeof SessionMessageSchema>;

/** What agents and servers say in sessions; raised when an older version could not understand what a newer one says. */
export const SESSION_PROTOCOL = 1;

/** Either end of a stream in both directions. */
export interface DuplexStream<Message, Init> {
  /** Address of the other end, for logs. */
  readonly peer: string;
  /** Who dialled, by certificate; absent on the dialling side and where identities are not checked. */
  readonly identity?: PeerIdentity;
  /** Everything the other end says, until it ends the stream or the connection breaks (then it throws). */
  readonly messages: AsyncIterable<Message>;
  /** Sends unless the stream has ended. */
  send(message: Init): void;
  /** Ends this side after what was sent. */
  end(): void;
}

/** Either end of a federation link. */
export type LinkStream = DuplexStream<LinkMessage, LinkMessageInit>;
/** Either end of an agent's session with a server. */
export type SessionStream = DuplexStream<SessionMessage, SessionMessageInit>;

/** What a listener serves. A part that is absent is answered with `unavailable`. */
export interface RpcHandlers {
  readonly datacenter: string;
  /** Access control is on. Default false: what takes a token is then for the servers of the datacenter. */
  readonly tokensDecide?: boolean;
  readonly contract?: ServerContract;
  readonly changes?: ChangeSource;
  readonly snapshots?: SnapshotContract;
  /** Holds an accepted link until it ends or `signal` aborts. */
  readonly link?: (stream: LinkStream, signal: AbortSignal) => Promise<void>;
  /** Holds an agent's session until it ends or `signal` aborts. */
  readonly session?: (stream: SessionStream, signal: AbortSignal) => Promise<void>;
}

/** Bounds of a connection between servers. */
export interface TransportLimits {
  /**
   * Largest message that is sent, and that who dials takes, bytes. Default 64 MiB. Above it the call fails with
   * `too_large`.
   */
  readonly maxMessageBytes?: number;
  /** Largest write, and part of an archive, that a listener takes, bytes. Default 4 MiB. */
  readonly maxWriteBytes?: number;
  /** Bytes of unfinished messages that one connection, and all, may make a listener hold. Default 16 and 64 MiB. */
  readonly maxUnfinishedOfConnection?: number;
  readonly maxUnfinished?: number;
  /** Calls at once on one connection; more wait on the caller's side. Default 10,000: each watch is one. */
  readonly maxConcurrentStreams?: number;
  /**
   * Connections over all listeners. Above it, one that has not shown yet what it speaks is closed, of the address that
   * holds most; without any, the newest is refused. Default 8,192.
   */
  readonly maxConnections?: number;
  /** Connections that one address may hold, over all listeners; above it likewise. 0 is without limit. Default 100. */
  readonly maxConnectionsPerClient?: number;
  /** Time for a new connection to show what it speaks, milliseconds. Default 5,000. */
  readonly handshakeMs?: number;
  /** A connection silent for this long is probed, milliseconds. Default 30,000. */
  readonly keepaliveMs?: number;
  /** A probe unanswered for this long ends the connection, milliseconds. Default 10,000. */
  readonly keepaliveTimeoutMs?: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_LIMITS: Required<TransportLimits> = {
  maxMessageBytes: 64 * MIB,
  maxWriteBytes: 4 * MIB,
  maxUnfinishedOfConnection: 16 * MIB,
  maxUnfinished: 64 * MIB,
  maxConcurrentStreams: 10_000,
  maxConnections: 8_192,
  maxConnectionsPerClient: 100,
  handshakeMs: 5_000,
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
};
