import { create } from '@bufbuild/protobuf';
import { hasCode, IsthmusError } from '../../lib/errors.ts';
import { throwIfAborted } from '../../lib/signals.ts';
import type { RangeQuery, RangeResult, Row, SnapshotPage } from '../engine.ts';
import { compareKeys } from '../keys.ts';
import { compactedError } from '../watchers.ts';
import type { EtcdClient } from './client.ts';
import type { CurrentHead } from './current.ts';
import { CallFailure } from './failure.ts';
import {
  type KeyValue,
  type RangeRequest,
  RangeRequestSchema,
  type RangeResponse,
  TxnRequestSchema,
} from './gen/etcdserverpb/etcd_pb.ts';
import type { Head } from './head.ts';
import { modEquals } from './step.ts';
import { CompactedBy, watchStream } from './watch-stream.ts';
import { endOf, METHODS, revisionOf, text } from './wire.ts';

/** Rows in one answer of etcd, at most. */
const PAGE_ROWS = 2_000;
const SNAPSHOT_ROWS = 500;
const SNAPSHOT_TRIES = 5;

interface Page {
  readonly head: Head;
  readonly kvs: readonly KeyValue[];
  /** The store's revision that was read. */
  readonly revision: number;
  readonly more: boolean;
}

/** Reads rows: the newest as all members agree, or those of an older revision. */
export class Reader {
  readonly #client: EtcdClient;
  readonly #current: CurrentHead;

  constructor(client: EtcdClient, current: CurrentHead) {
    this.#client = client;
    this.#current = current;
  }

  async range(query: RangeQuery): Promise<RangeResult> {
    if (query.limit === 0) {
      const found = await this.range({ ...query, limit: 1 });
      return { ...found, rows: [], more: found.rows.length > 0 };
    }
    const rows: Row[] = [];
    let page = await this.#first(query);
    const { head, revision } = page;
    for (;;) {
      for (const kv of page.kvs) rows.push(rowOf(kv, head));
      const left = (query.limit ?? Number.POSITIVE_INFINITY) - rows.length;
      if (!page.more || left <= 0) return { rows, revision, epoch: head.epoch, more: page.more };
      page = await this.#at(head, { ...query, revision, after: (rows.at(-1) as Row).key, limit: left });
    }
  }

  /**
   * etcd holds no state for a reader: a compaction by anybody may take it away at any moment. So all of it is read at
   * once, and again from the start when it was taken away, before the first page is given out.
   */
  async *snapshot(signal: AbortSignal): AsyncGenerator<SnapshotPage, void, void> {
    for (let tries = 1; ; tries += 1) {
      try {
        yield* await this.#pages(signal);
        return;
      } catch (error) {
        if (tries === SNAPSHOT_TRIES || !hasCode(error, 'compacted')) throw error;
      }
    }
  }

  async #pages(signal: AbortSignal): Promise<SnapshotPage[]> {
    throwIfAborted(signal);
    let page = await this.#first({ prefix: '', limit: SNAPSHOT_ROWS });
    const { head, revision } = page;
    const pages: SnapshotPage[] = [];
    for (;;) {
      const rows = page.kvs.filter(({ lease }) => lease === 0n).map((kv) => rowOf(kv, head));
      if (rows.length > 0) pages.push({ epoch: head.epoch, revision, rows });
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      throwIfAborted(signal);
      page = await this.#at(head, { prefix: '', revision, after: rowOf(last, head).key, limit: SNAPSHOT_ROWS });
    }
    return pages.length > 0 ? pages : [{ epoch: head.epoch, revision, rows: [] }];
  }

  /** The newest page is read together with the head: rows of a generation that no longer counts are never shown. */
  async #first(query: RangeQuery): Promise<Page> {
    const { revision } = query;
    if (revision !== undefined) {
      const head = this.#current.value;
      if (revision < head.first - 1) throw compactedError(head.first - 1);
      return this.#at(head, query);
    }
    for (;;) {
      const head = this.#current.value;
      const request = create(TxnRequestSchema, {
        compare: [modEquals(this.#current.layout.head, head.since)],
        success: [{ request: { case: 'requestRange', value: rangeRequest(query, head) } }],
      });
      const reply = await this.#client.call('read the store', METHODS.txn, request);
      const found = reply.responses[0]?.response;
      if (reply.succeeded && found?.case === 'responseRange') return pageOf(found.value, head, revisionOf(reply));
      await this.#current.newest();
    }
  }

  async #at(head: Head, query: RangeQuery): Promise<Page> {
    const request = rangeRequest(query, head);
    const etcd = Number(request.revision);
    try {
      return pageOf(await this.#client.call('read the store', METHODS.range, request), head, etcd);
    } catch (error) {
      const failure = error instanceof IsthmusError ? error.cause : undefined;
      if (!(failure instanceof CallFailure)) throw error;
      if (failure.is('has been compacted')) throw await this.#compacted(etcd, head);
      if (failure.is('future revision')) {
        throw new IsthmusError('invalid_argument', `revision ${query.revision} is in the future`);
      }
      throw error;
    }
  }

  /** etcd says that a revision is compacted, but not which ones are held; a watch from there gets the answer. */
  async #compacted(etcd: number, head: Head): Promise<IsthmusError> {
    const ending = new AbortController();
    try {
      for await (const _ of watchStream(this.#client, this.#current.layout.root, etcd + 1, ending.signal)) break;
    } catch (thrown) {
      if (thrown instanceof CompactedBy) return compactedError(head.toRevision(thrown.revision));
      if (thrown instanceof CallFailure) return thrown.toError('read the store');
      throw thrown;
    } finally {
      ending.abort();
    }
    return new IsthmusError('unavailable', 'etcd compacted its history meanwhile; try again');
  }
}

function rangeRequest({ prefix, after, limit, revision }: RangeQuery, head: Head): RangeRequest {
  const begin = after !== undefined && compareKeys(after, prefix) >= 0 ? `${after}\u0000` : prefix;
  return create(RangeRequestSchema, {
    key: Buffer.from(head.rowsRoot + begin),
    rangeEnd: endOf(head.rowsRoot + prefix),
    limit: BigInt(Math.min(limit ?? PAGE_ROWS, PAGE_ROWS)),
    // Right before this generation came to count the store was as right after.
    revision: revision === undefined ? 0n : BigInt(Math.max(head.toEtcd(revision), head.since)),
  });
}

function pageOf({ kvs, more }: RangeResponse, head: Head, etcd: number): Page {
  return { head, kvs, more, revision: head.toRevision(etcd) };
}

function rowOf(kv: KeyValue, head: Head): Row {
  return head.row(text(kv.key).slice(head.rowsRoot.length), kv);
}
