import { constants, type Http2Session, type ServerHttp2Stream } from 'node:http2';

/** What callers may make a server hold of messages that have not arrived whole. Bytes. */
export interface IntakeLimits {
  /** Of one message, by the path of its method: `/package.Service/Method`. */
  readonly perMessage: (path: string) => number;
  /** Of all calls of one connection. */
  readonly perConnection: number;
  /** Of all connections. */
  readonly total: number;
}

/** What a piece of a message costs beside its bytes: a sender may cut it into pieces of one byte. */
const PIECE_BYTES = 256;
/** Before each message: whether it is compressed, and its length. */
const HEAD_BYTES = 5;

interface Connection {
  bytes: number;
  readonly calls: Set<Call>;
}

/** Follows the messages of one call as they arrive: those that are whole have been handed on. */
class Call {
  readonly stream: ServerHttp2Stream;
  /** Of the unfinished message. */
  held = 0;
  #head = 0;
  #length = 0;
  /** Bytes of the message that are still to come; 0: its head is. */
  #missing = 0;

  constructor(stream: ServerHttp2Stream) {
    this.stream = stream;
  }

  /** @returns by how much what is held has grown; negative when messages were finished. */
  take(piece: Buffer): number {
    const before = this.held;
    this.held += piece.length + PIECE_BYTES;
    for (let at = 0; at < piece.length; ) {
      if (this.#missing === 0) {
        this.#length = this.#length * 256 + (this.#head === 0 ? 0 : (piece[at] as number));
        at += 1;
        this.#head += 1;
        if (this.#head < HEAD_BYTES) continue;
        this.#missing = this.#length;
        this.#head = 0;
        this.#length = 0;
      } else {
        const part = Math.min(this.#missing, piece.length - at);
        this.#missing -= part;
        at += part;
      }
      if (this.#missing === 0) this.held = at === piece.length ? 0 : piece.length - at + PIECE_BYTES;
    }
    return this.held - before;
  }
}

/**
 * Bounds what the unfinished messages of a server's callers hold. A call that goes over the bound of its connection
 * ends; where the bound of all is reached, the largest call of the connection that holds most ends.
 */
export class Intake {
  readonly #limits: IntakeLimits;
  readonly #connections = new Map<Http2Session, Connection>();
  #total = 0;

  constructor(limits: IntakeLimits) {
    this.#limits = limits;
  }

  /** Bytes of unfinished messages. */
  get held(): number {
    return this.#total;
  }

  maxMessage(path: string): number {
    return this.#limits.perMessage(path);
  }

  /** Follows a call that has just begun, until it ends. */
  follow(stream: ServerHttp2Stream): void {
    const { session } = stream;
    if (session === undefined || stream.destroyed) return;
    const connection = this.#connections.get(session) ?? { bytes: 0, calls: new Set<Call>() };
    this.#connections.set(session, connection);
    const call = new Call(stream);
    connection.calls.add(call);
    stream.on('data', (piece: Buffer) => {
      if (connection.calls.has(call)) this.#add(connection, call.take(piece));
      if (connection.bytes > this.#limits.perConnection) this.#end(connection, call);
      else if (this.#total > this.#limits.total) this.#endLargest();
    });
    stream.once('close', () => {
      this.#forget(connection, call);
      if (connection.calls.size === 0) this.#connections.delete(session);
    });
  }

  #add(connection: Connection, bytes: number): void {
    connection.bytes += bytes;
    this.#total += bytes;
  }

  #forget(connection: Connection, call: Call): void {
    if (!connection.calls.delete(call)) return;
    this.#add(connection, -call.held);
    call.held = 0;
  }

  #end(connection: Connection, call: Call): void {
    this.#forget(connection, call);
    call.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  #endLargest(): void {
    const [heaviest] = [...this.#connections.values()].sort((a, b) => b.bytes - a.bytes);
    const [largest] = [...(heaviest?.calls ?? [])].sort((a, b) => b.held - a.held);
    if (heaviest !== undefined && largest !== undefined) this.#end(heaviest, largest);
  }
}
