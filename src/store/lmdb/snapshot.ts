import type { RootDatabase } from 'lmdb';
import { throwIfAborted } from '../../lib/signals.ts';
import type { Row, SnapshotPage } from '../engine.ts';
import type { Tables } from './tables.ts';

/** A page is given out once it has so many rows, or so many characters of values. */
const PAGE_ROWS = 500;
const PAGE_LENGTH = 1024 * 1024;

/** Reads the store at one revision, by a read transaction of LMDB that is held until the reading ends. */
export class Snapshots {
  readonly #root: RootDatabase;
  readonly #tables: Tables;
  /** Ends each transaction that is held. */
  readonly #held = new Set<() => void>();

  constructor(root: RootDatabase, tables: Tables) {
    this.#root = root;
    this.#tables = tables;
  }

  /** @param check called before each page; throws when the store can no longer be read */
  async *read(check: () => void, signal: AbortSignal): AsyncGenerator<SnapshotPage, void, void> {
    check();
    this.#root.resetReadTxn(); // else the state of an earlier read in this turn
    const txn = this.#root.useReadTransaction();
    const end = (): void => {
      if (this.#held.delete(end)) txn.done();
    };
    this.#held.add(end);
    try {
      const state = this.#tables.at(txn);
      const at = { epoch: state.epoch, revision: state.revision };
      let after: string | undefined;
      for (let first = true; ; first = false) {
        throwIfAborted(signal);
        check();
        const rows: Row[] = [];
        let length = 0;
        let whole = true;
        for (const row of state.rows(after)) {
          if (rows.length === PAGE_ROWS || length >= PAGE_LENGTH) {
            whole = false;
            break;
          }
          after = row.key;
          if (state.leased.has(row.key)) continue;
          rows.push(row);
          length += row.value.length;
        }
        if (rows.length > 0 || first) yield { ...at, rows };
        if (whole) return;
      }
    } finally {
      end();
    }
  }

  /** Ends what is held; before the environment is closed. */
  close(): void {
    for (const end of this.#held) end();
  }
}
