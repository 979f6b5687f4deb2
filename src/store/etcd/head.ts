import { IsthmusError } from '../../lib/errors.ts';
import type { Row } from '../engine.ts';
import type { KeyValue } from './gen/etcdserverpb/etcd_pb.ts';
import { text } from './wire.ts';

/**
 * Where a store's keys are, below its prefix:
 *
 *     head              what is true of the whole store; written when it is created or its content is replaced
 *     g/<name>/<key>    the rows of one generation; `head` names the one that counts
 *     o/<name>/<n>      the revisions that rows had before they were brought into that generation
 *     w/<session>/<n>   the last step of a writer, by which it learns the outcome of one whose answer was lost
 *     c/<table>         written by each step that writes rows whose key begins with `<table>/`
 *     staging           the generation that is being brought in
 */
export interface Layout {
  readonly root: string;
  readonly head: string;
  readonly staging: string;
  rows(generation: string): string;
  origins(generation: string): string;
  slot(session: string, number: number): string;
  /** The key that is written with every row like this one. */
  mark(rowKey: string): string;
}

export function layoutBelow(prefix: string): Layout {
  const root = `${prefix.replace(/\/+$/, '')}/`;
  return {
    root,
    head: `${root}head`,
    staging: `${root}staging`,
    rows: (generation) => `${root}g/${generation}/`,
    origins: (generation) => `${root}o/${generation}/`,
    slot: (session, number) => `${root}w/${session}/${number}`,
    mark: (rowKey) => `${root}c/${rowKey.split('/', 1)[0]}`,
  };
}

/** The key `head`, as JSON. */
export interface HeadValue {
  readonly format: 1;
  readonly epoch: string;
  readonly generation: string;
  /** The store's revisions are etcd's plus this; it never shrinks, so that they never go back. */
  readonly offset: number;
  /**
   * The oldest revision that can be watched from; absent: the one after that at which this generation came to count.
   */
  readonly heldFrom?: number;
  /** Parts of `o/<generation>/`; without one a row that was brought in has the revision of that. */
  readonly origins: number;
}

/** createRevision and modRevision that a row had before it was brought in. */
export type Origin = readonly [create: number, mod: number];

const FORMAT = 1;

export function parseHead(value: Uint8Array, where: string): HeadValue {
  let head: HeadValue;
  try {
    head = JSON.parse(text(value)) as HeadValue;
  } catch (cause) {
    throw new IsthmusError('internal', `${where} in etcd is not what Isthmus wrote; set another storage.etcd.prefix`, {
      cause,
    });
  }
  if (head.format !== FORMAT) {
    throw new IsthmusError(
      'internal',
      `the store below ${where} in etcd has format ${String(head.format)}; this version reads ${FORMAT}: it was ` +
        `written by a newer one`,
    );
  }
  return head;
}

/** A generation of the store: turns etcd's keys and revisions into the store's, and back. */
export class Head {
  readonly value: HeadValue;
  /** etcd's revision at which this generation became the one that counts. */
  readonly since: number;
  readonly rowsRoot: string;
  readonly #origins: ReadonlyMap<string, Origin>;

  constructor(value: HeadValue, since: number, layout: Layout, origins: ReadonlyMap<string, Origin>) {
    this.value = value;
    this.since = since;
    this.rowsRoot = layout.rows(value.generation);
    this.#origins = origins;
  }

  /** The oldest revision that a watch can begin with. */
  get first(): number {
    return this.value.heldFrom ?? this.toRevision(this.since) + 1;
  }

  get epoch(): string {
    return this.value.epoch;
  }

  toRevision(etcd: number): number {
    return etcd + this.value.offset;
  }

  toEtcd(revision: number): number {
    return revision - this.value.offset;
  }

  /** A row's key, or undefined when this is a key of something else. */
  keyOf(etcdKey: Uint8Array): string | undefined {
    const key = text(etcdKey);
    return key.startsWith(this.rowsRoot) ? key.slice(this.rowsRoot.length) : undefined;
  }

  row(key: string, kv: KeyValue): Row {
    const [create, mod] = [Number(kv.createRevision), Number(kv.modRevision)];
    return {
      key,
      value: text(kv.value),
      createRevision: create < this.since ? this.#originOf(key)[0] : this.toRevision(create),
      modRevision: mod < this.since ? this.#originOf(key)[1] : this.toRevision(mod),
    };
  }

  /** True when `revision` is the one that the row at `key` was brought in with. */
  isOrigin(key: string, revision: number): boolean {
    return this.#originOf(key)[1] === revision;
  }

  #originOf(key: string): Origin {
    const restore = this.toRevision(this.since);
    return this.#origins.get(key) ?? [restore, restore];
  }
}
