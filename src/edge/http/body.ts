import type { IncomingMessage } from 'node:http';
import { IsthmusError } from '../../lib/errors.ts';
import type { BodyLimit } from './route.ts';

export interface BodyLimits {
  /** Bytes of one body. */
  readonly maxBodyBytes: number;
  /** Bytes of all bodies that are held: those that arrive, and those whose request is not answered yet. */
  readonly maxBodiesBytes: number;
}

/** A body that has arrived. */
export interface HeldBody {
  readonly bytes: Buffer;
  /** The request is answered: it counts no longer. */
  release(): void;
}

/** What a piece of a body costs beside its bytes: a sender may cut it into pieces of one byte. */
const PIECE_BYTES = 256;

interface Arriving {
  readonly client: Client;
  bytes: number;
  /** Undefined once it is whole. */
  end: ((error: IsthmusError) => void) | undefined;
}

interface Client {
  readonly name: string;
  bytes: number;
  readonly bodies: Set<Arriving>;
}

/**
 * Takes bodies in and bounds what they hold, one and all together. Where the bound of all is reached, the largest
 * unfinished body of the address that holds most is refused: whoever fills it makes room for the others.
 */
export class BodyIntake {
  readonly #limits: BodyLimits;
  readonly #limit: BodyLimit;
  readonly #clients = new Map<string, Client>();
  #held = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
    this.#limit = { maxBytes: limits.maxBodyBytes, refuse: () => tooLarge(limits.maxBodyBytes) };
  }

  /** Bytes of bodies that are held. */
  get held(): number {
    return this.#held;
  }

  /**
   * The whole body. @param name what the client's address counts as. @param limit another one than the intake's. Throws
   * `too_large`, `unavailable` (no room now), or `cancelled` (cut off).
   */
  async receive(incoming: IncomingMessage, name: string, limit = this.#limit): Promise<HeldBody> {
    const announced = Number(incoming.headers['content-length'] ?? 0);
    if (announced > limit.maxBytes) throw limit.refuse(announced);
    if (announced === 0 && incoming.headers['transfer-encoding'] === undefined) return NO_BODY;
    const body = this.#begin(name);
    const release = (): void => this.#release(body);
    try {
      const bytes = await this.#read(incoming, body, limit);
      body.end = undefined;
      return { bytes, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  #read(incoming: IncomingMessage, body: Arriving, limit: BodyLimit): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const pieces: Buffer[] = [];
      let length = 0;
      const finish = (): void => {
        incoming.off('data', onData);
        incoming.off('end', onEnd);
        incoming.off('error', onCut);
        incoming.off('close', onCut);
        incoming.on('error', ignored);
      };
      const fail = (error: IsthmusError): void => {
        finish();
        incoming.pause();
        reject(error);
      };
      const onData = (piece: Buffer): void => {
        length += piece.length;
        if (length > limit.maxBytes) {
          fail(limit.refuse(length));
          return;
        }
        pieces.push(piece);
        this.#add(body, piece.length + PIECE_BYTES);
        this.#makeRoom();
      };
      const onEnd = (): void => {
        finish();
        resolve(pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces, length));
      };
      const onCut = (): void => fail(new IsthmusError('cancelled', 'the upload was cut off'));
      body.end = fail;
      incoming.on('data', onData);
      incoming.once('end', onEnd);
      incoming.once('error', onCut);
      incoming.once('close', onCut);
      if (incoming.destroyed) onCut();
    });
  }

  #begin(name: string): Arriving {
    const client = this.#clients.get(name) ?? { name, bytes: 0, bodies: new Set<Arriving>() };
    this.#clients.set(name, client);
    const body: Arriving = { client, bytes: 0, end: undefined };
    client.bodies.add(body);
    return body;
  }

  #add(body: Arriving, bytes: number): void {
    body.bytes += bytes;
    body.client.bytes += bytes;
    this.#held += bytes;
  }

  #release(body: Arriving): void {
    const { client } = body;
    if (!client.bodies.delete(body)) return;
    this.#add(body, -body.bytes);
    if (client.bodies.size === 0) this.#clients.delete(client.name);
  }

  #makeRoom(): void {
    while (this.#held > this.#limits.maxBodiesBytes) {
      const largest = this.#largest();
      if (largest === undefined) return;
      const { end } = largest;
      largest.end = undefined;
      this.#release(largest);
      end?.(NO_ROOM);
    }
  }

  /** The largest unfinished body of the client that holds most among those with any. */
  #largest(): Arriving | undefined {
    let found: Arriving | undefined;
    let most = 0;
    for (const client of this.#clients.values()) {
      if (client.bytes < most) continue;
      const [largest] = [...client.bodies].filter(({ end }) => end !== undefined).sort((a, b) => b.bytes - a.bytes);
      if (largest === undefined) continue;
      found = largest;
      most = client.bytes;
    }
    return found;
  }
}

const NO_BODY: HeldBody = { bytes: Buffer.alloc(0), release: ignored };

const NO_ROOM = new IsthmusError('unavailable', 'Too many request bodies arrive at once: try again in a second', {
  details: { retryAfterMs: 1_000 },
});

function tooLarge(maxBytes: number): IsthmusError {
  return new IsthmusError('too_large', `Request body too large, max size: ${maxBytes} bytes`);
}

function ignored(): void {}
