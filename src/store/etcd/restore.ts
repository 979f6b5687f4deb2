import { create } from '@bufbuild/protobuf';
import type { Clock } from '../../lib/clock.ts';
import { hasCode, IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import type { RestoredRow, RestoreOptions, RestoreResult } from '../engine.ts';
import { checkRestoredKey } from '../keys.ts';
import { restoringError } from '../watchers.ts';
import type { EtcdClient } from './client.ts';
import type { CurrentHead } from './current.ts';
import { TxnRequestSchema, type TxnResponse } from './gen/etcdserverpb/etcd_pb.ts';
import type { HeadValue, Origin } from './head.ts';
import type { EtcdLeases } from './leases.ts';
import { type CompareInit, modEquals, nest, type OpInit, putOf } from './step.ts';
import { endOf, METHODS, revisionOf } from './wire.ts';

/**
 * How long the mark of a restore stays when the process that restores is gone, milliseconds, and how often it is kept.
 */
const MARK_TTL_MS = 60_000;
const MARK_KEEP_MS = 15_000;
/** One step of the staging, at most: far below what etcd takes, so that others' writes get in between. */
const CHUNK_BYTES = 512 * 1024;
const CHUNK_ROWS = 1_000;

/**
 * Replaces the content of a store in etcd: writes the rows as a generation of their own, which is not read, then says
 * in one step that it is the one that counts. A crash at any moment leaves the old one in force; what was staged is
 * cleared by the next restore.
 */
export class Restore {
  readonly #client: EtcdClient;
  readonly #leases: EtcdLeases;
  readonly #current: CurrentHead;
  readonly #clock: Clock;
  readonly #generation = newUuid().slice(0, 8);
  #lease = '';
  /** etcd's revision of the mark: nothing is staged once somebody else has set it. */
  #mark = 0;
  #keptAt = 0;

  constructor(client: EtcdClient, leases: EtcdLeases, current: CurrentHead, clock: Clock) {
    this.#client = client;
    this.#leases = leases;
    this.#current = current;
    this.#clock = clock;
  }

  async run(pages: AsyncIterable<readonly RestoredRow[]>, options: RestoreOptions): Promise<RestoreResult> {
    await this.#begin();
    try {
      await this.#clear();
      const origins = await this.#stageRows(pages, options.continues !== undefined);
      const parts = await this.#stageOrigins(origins);
      return await this.#flip(parts, options);
    } finally {
      await this.#end();
    }
  }

  /** Sets the mark that keeps a second restore out. */
  async #begin(): Promise<void> {
    this.#lease = (await this.#leases.grant(MARK_TTL_MS)).id;
    this.#keptAt = this.#clock.steady();
    const { staging } = this.#current.layout;
    const request = create(TxnRequestSchema, {
      compare: [modEquals(staging, 0)],
      success: [putOf(staging, this.#generation, BigInt(this.#lease))],
      failure: [{ request: { case: 'requestRange', value: { key: Buffer.from(staging) } } }],
    });
    const reply = await this.#client.call('write', METHODS.txn, request);
    const found = reply.responses[0]?.response;
    const set = found?.case === 'responseRange' ? found.value.kvs[0] : undefined;
    const ours = reply.succeeded || (set !== undefined && Buffer.from(set.value).toString() === this.#generation);
    if (!ours) {
      await this.#end();
      throw restoringError();
    }
    this.#mark = reply.succeeded ? revisionOf(reply) : Number(set?.modRevision ?? 0n);
  }

  /** Removes the generations that don't count. */
  async #clear(): Promise<void> {
    const { layout, value: head } = this.#current;
    const name = head.value.generation;
    await this.#step([
      ...around(`${layout.root}g/`, layout.rows(name)),
      ...around(`${layout.root}o/`, layout.origins(name)),
    ]);
  }

  async #stageRows(
    pages: AsyncIterable<readonly RestoredRow[]>,
    keepRevisions: boolean,
  ): Promise<[string, ...Origin][]> {
    const prefix = this.#current.layout.rows(this.#generation);
    const origins: [string, ...Origin][] = [];
    let last = '';
    let chunk: OpInit[] = [];
    let bytes = 0;
    for await (const page of pages) {
      for (const { key, value, createRevision, modRevision } of page) {
        checkRestoredKey(key, last);
        last = key;
        if (keepRevisions && createRevision !== undefined && modRevision !== undefined) {
          origins.push([key, createRevision, modRevision]);
        }
        chunk.push(putOf(prefix + key, value));
        bytes += prefix.length + key.length + Buffer.byteLength(value);
        if (bytes < CHUNK_BYTES && chunk.length < CHUNK_ROWS) continue;
        await this.#step(chunk);
        chunk = [];
        bytes = 0;
      }
      await this.#keep();
    }
    if (chunk.length > 0) await this.#step(chunk);
    return origins;
  }

  /** Returns how many parts they make. */
  async #stageOrigins(origins: readonly [string, ...Origin][]): Promise<number> {
    const prefix = this.#current.layout.origins(this.#generation);
    let parts = 0;
    for (let at = 0; at < origins.length; at += CHUNK_ROWS) {
      await this.#step([putOf(prefix + parts, JSON.stringify(origins.slice(at, at + CHUNK_ROWS)))]);
      parts += 1;
      await this.#keep();
    }
    return parts;
  }

  async #flip(parts: number, { above, continues }: RestoreOptions): Promise<RestoreResult> {
    const { layout } = this.#current;
    const newest = await this.#current.newest();
    const before = this.#current.value;
    const next: HeadValue = {
      format: 1,
      epoch: continues ?? newUuid(),
      generation: this.#generation,
      offset: Math.max(before.value.offset, above - newest), // the step comes after `newest`, so its revision is above
      ...(continues === undefined ? {} : { heldFrom: above + 1 }),
      origins: parts,
    };
    const reply = await this.#send([putOf(layout.head, JSON.stringify(next))], [modEquals(layout.head, before.since)]);
    await this.#current.newest();
    const now = this.#current.value;
    // The answer to an earlier try may have been lost: what etcd holds tells.
    if (!reply.succeeded && now.value.generation !== this.#generation) throw this.#lost();
    await this.#clear();
    return { revision: now.toRevision(now.since), epoch: now.epoch };
  }

  async #step(ops: OpInit[]): Promise<void> {
    if (!(await this.#send(ops, [])).succeeded) throw this.#lost();
  }

  #send(ops: OpInit[], compare: CompareInit[]): Promise<TxnResponse> {
    const request = create(TxnRequestSchema, {
      compare: [modEquals(this.#current.layout.staging, this.#mark), ...compare],
      success: nest(ops),
    });
    return this.#client.call('write', METHODS.txn, request);
  }

  async #keep(): Promise<void> {
    if (this.#clock.steady() - this.#keptAt < MARK_KEEP_MS) return;
    this.#keptAt = this.#clock.steady();
    try {
      await this.#leases.keep(this.#lease);
    } catch (error) {
      throw hasCode(error, 'not_found') ? this.#lost() : error;
    }
  }

  /** Left behind, the mark ends by itself. */
  async #end(): Promise<void> {
    await this.#leases.revoke(this.#lease).catch(() => undefined);
  }

  #lost(): IsthmusError {
    return new IsthmusError(
      'unavailable',
      'another restore has begun, or this one took too long; nothing was changed, try again',
    );
  }
}

/** Deletes what starts with `whole` but not with `part`. */
function around(whole: string, part: string): OpInit[] {
  const range = (key: Buffer, rangeEnd: Buffer): OpInit => ({
    request: { case: 'requestDeleteRange', value: { key, rangeEnd } },
  });
  return [range(Buffer.from(whole), Buffer.from(part)), range(endOf(part), endOf(whole))];
}
