import { createHash } from 'node:crypto';
import { IsthmusError } from '../lib/errors.ts';
import type { Engine, Row, SnapshotPage } from './engine.ts';

export interface MigrateOptions {
  readonly from: Engine;
  readonly to: Engine;
  /** Replace what the target holds. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  /** Told after each page: the rows so far. */
  readonly onProgress?: (step: 'copying' | 'comparing' | 'verifying', rows: number) => void;
}

export interface Migration {
  readonly rows: number;
  /** SHA-256 over all rows with their revisions, in hexadecimal. */
  readonly digest: string;
  /** The same on both sides. */
  readonly epoch: string;
  /** The newest revision of the source, and of the target, which goes on above it. */
  readonly fromRevision: number;
  readonly toRevision: number;
}

/** Of every server that is in use; the row is attached to the leader's lease. */
const LEADERSHIP = 'leadership/';

/**
 * Moves a store into another engine: all rows with their revisions, and the epoch, so that whoever followed the one can
 * follow the other. The target shows all of it or nothing. What is attached to a lease stays behind: it says who is
 * connected now.
 */
export async function migrate(options: MigrateOptions): Promise<Migration> {
  const { from, to, force, signal, onProgress } = options;
  await refuseUsed(from, 'source');
  await refuseUsed(to, 'target');
  if (!force) await refuseFull(to);

  const source = new Summary();
  const pages = from.snapshot(signal)[Symbol.asyncIterator]();
  const first = await pages.next();
  if (first.done === true || first.value.rows.length === 0) {
    throw new IsthmusError('not_found', 'the source holds no store; are -from and -to the right way round?');
  }
  const { epoch, revision } = first.value;
  const copied = (async function* (): AsyncGenerator<readonly Row[], void, void> {
    for (let page: IteratorResult<SnapshotPage> = first; page.done !== true; page = await pages.next()) {
      yield source.add(page.value.rows);
      onProgress?.('copying', source.rows);
    }
    // Whoever writes now would lose it. Nothing of the target has changed yet.
    const again = await summarize(from, signal, (rows) => onProgress?.('comparing', rows));
    if (again.digest === source.digest) return;
    throw new IsthmusError('unavailable', 'the source changed while it was read: stop every server that uses it');
  })();
  const restored = await to.restore(copied, { above: revision, continues: epoch });

  const target = await summarize(to, signal, (rows) => onProgress?.('verifying', rows));
  if (target.digest !== source.digest || to.epoch !== epoch) {
    throw new IsthmusError(
      'internal',
      `the target holds ${target.rows} rows that are not the ${source.rows} of the source: don't use it; the source ` +
        `is as it was`,
    );
  }
  return {
    rows: source.rows,
    digest: source.digest,
    epoch,
    fromRevision: revision,
    toRevision: restored.revision,
  };
}

async function refuseFull(to: Engine): Promise<void> {
  const { rows } = await to.range({ prefix: '', limit: 1 });
  if (rows.length === 0) return;
  throw new IsthmusError('conflict', 'the target holds a store already; -force replaces it');
}

/** A store of one process can't be open twice; of a shared one its leader's row tells. */
async function refuseUsed(engine: Engine, which: string): Promise<void> {
  if (!engine.shared) return;
  const [row] = (await engine.range({ prefix: LEADERSHIP, limit: 1 })).rows;
  if (row === undefined) return;
  const { node } = JSON.parse(row.value) as { readonly node?: string };
  throw new IsthmusError(
    'unavailable',
    `the ${which} is in use by server "${node}": stop every server of the datacenter, then try again (one that was ` +
      `killed ` +
      'counts for ten seconds)',
  );
}

async function summarize(engine: Engine, signal: AbortSignal, onRows: (rows: number) => void): Promise<Summary> {
  const summary = new Summary();
  for await (const { rows } of engine.snapshot(signal)) {
    summary.add(rows);
    onRows(summary.rows);
  }
  return summary;
}

/** Count and digest of rows, in key order. */
class Summary {
  rows = 0;
  readonly #hash = createHash('sha256');
  #digest: string | undefined;

  add(rows: readonly Row[]): readonly Row[] {
    for (const { key, value, createRevision, modRevision } of rows) {
      this.#hash.update(JSON.stringify([key, value, createRevision, modRevision])).update('\n');
    }
    this.rows += rows.length;
    return rows;
  }

  /** No row can be added any more. */
  get digest(): string {
    this.#digest ??= this.#hash.digest('hex');
    return this.#digest;
  }
}
