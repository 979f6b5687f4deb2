import { createHash } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { IsthmusError } from '../../lib/errors.ts';
import type { WatchUpdate } from '../contract/contract.ts';
import { type WatchReply, WatchReplySchema } from '../gen/isthmus/v1/isthmus_pb.ts';
import { applyDelta, type Delta, diff } from './delta.ts';
import { fromFailure, fromJson, toJson } from './wire.ts';

/** All who watch one answer share its value: its text, and what changed since the one before, are made once for all. */
const TEXT_OF = new WeakMap<object, Buffer>();
const DIGEST_OF = new WeakMap<object, Buffer>();
const CHANGE_OF = new WeakMap<object, WeakMap<object, Buffer | typeof WHOLE>>();
/** Too much differs for a delta. */
const WHOLE = Symbol('whole');

/** Answers shorter than this are sent whole, bytes: nothing is won by a delta. */
const SHORT = 512;
const NONE = new Uint8Array();

/** The answers of one watch as messages: whole at first, then what changed, where the watcher understands that. */
export class WatchEncoder {
  readonly #deltas: boolean;
  #knownDigest: Uint8Array;
  #base: unknown;

  /** @param knownDigest of the answer that the watcher has from a watch before; empty: it has none */
  constructor(deltas: boolean, knownDigest: Uint8Array = NONE) {
    this.#deltas = deltas;
    this.#knownDigest = knownDigest;
  }

  encode({ index, value }: WatchUpdate<unknown>): WatchReply {
    const base = this.#isKnown(value) ? value : this.#base;
    this.#knownDigest = NONE;
    this.#base = value;
    const change = this.#deltas && isObject(base) && isObject(value) ? sharedChange(base, value) : WHOLE;
    return create(WatchReplySchema, {
      index: BigInt(index),
      ...(change === WHOLE ? { json: sharedText(value) } : { deltaJson: change }),
    });
  }

  /** Thousands come with the same answer when their server was lost: its digest is made once for all. */
  #isKnown(value: unknown): boolean {
    return this.#knownDigest.length > 0 && isObject(value) && digestOf(value).equals(this.#knownDigest);
  }
}

/** What a watcher says of the answer that it has from before; empty where nothing is won by it. */
export function knownDigest(value: unknown): Uint8Array {
  const text = toJson(value ?? null); // not kept: it would stay in memory as long as the answer
  return text.length < SHORT ? NONE : sha256(text);
}

/** The other end: puts the answers together again. */
export class WatchDecoder<T> {
  #base: unknown;

  /** @param known the answer of a watch before, whose digest was sent */
  constructor(known?: unknown) {
    this.#base = known;
  }

  /** Throws what the server refused the watch with, and `unavailable` when a change belongs to another answer. */
  decode(reply: WatchReply): WatchUpdate<T> {
    if (reply.error !== undefined) throw fromFailure(reply.error);
    this.#base = reply.deltaJson.length === 0 ? fromJson(reply.json, 'the answer') : this.#change(reply.deltaJson);
    return { index: Number(reply.index), value: this.#base as T };
  }

  #change(json: Uint8Array): unknown {
    try {
      return applyDelta(this.#base, fromJson(json, 'a change of the answer') as Delta);
    } catch (cause) {
      throw new IsthmusError('unavailable', 'the change of a watched answer does not fit; watch it anew', { cause });
    }
  }
}

function sharedText(value: unknown): Buffer {
  if (!isObject(value)) return toJson(value);
  let text = TEXT_OF.get(value);
  if (text === undefined) {
    text = toJson(value);
    TEXT_OF.set(value, text);
  }
  return text;
}

function digestOf(value: object): Buffer {
  let digest = DIGEST_OF.get(value);
  if (digest === undefined) {
    digest = sha256(sharedText(value));
    DIGEST_OF.set(value, digest);
  }
  return digest;
}

function sha256(text: Buffer): Buffer {
  return createHash('sha256').update(text).digest();
}

function sharedChange(base: object, value: object): Buffer | typeof WHOLE {
  let changes = CHANGE_OF.get(base);
  if (changes === undefined) {
    changes = new WeakMap();
    CHANGE_OF.set(base, changes);
  }
  let change = changes.get(value);
  if (change === undefined) {
    change = worthIt(base, value);
    changes.set(value, change);
  }
  return change;
}

function worthIt(base: object, value: object): Buffer | typeof WHOLE {
  const known = TEXT_OF.get(base); // about as long as the new one
  if (known !== undefined && known.length < SHORT) return WHOLE;
  const delta = diff(base, value);
  if (delta === undefined) return WHOLE;
  const text = toJson(delta);
  return known !== undefined && text.length >= known.length ? WHOLE : text;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
