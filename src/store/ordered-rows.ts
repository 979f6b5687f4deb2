/** A row as far as its place and its age count. */
export interface OrderedRow {
  readonly key: string;
  readonly modRevision: number;
}

interface Block<R> {
  rows: R[];
  /** No row of it is newer; after deletions it may be newer than any that is left. */
  newest: number;
}

/** Rows of a block, at most; a fuller one is halved. */
const BLOCK_ROWS = 512;

/**
 * Rows in the order of their keys (UTF-16 units), in blocks: what lies under a prefix is found without a look at the
 * rest, and a change moves the rows of one block.
 */
export class OrderedRows<R extends OrderedRow> {
  readonly #blocks: Block<R>[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  set(row: R): void {
    const { key, modRevision } = row;
    const at = this.#blockFor(key);
    const block = this.#blocks[at];
    if (block === undefined) {
      this.#blocks.push({ rows: [row], newest: modRevision });
      this.#size += 1;
      return;
    }
    const { rows } = block;
    const place = lowerBound(rows, key);
    block.newest = Math.max(block.newest, modRevision);
    if (rows[place]?.key === key) {
      rows[place] = row;
      return;
    }
    rows.splice(place, 0, row);
    this.#size += 1;
    if (rows.length <= BLOCK_ROWS) return;
    // Rows that come in order fill blocks whole: only the last one is left as it is.
    const cut = place === rows.length - 1 ? rows.length - 1 : rows.length >> 1;
    const upper = rows.splice(cut);
    this.#blocks.splice(at + 1, 0, { rows: upper, newest: newestOf(upper) });
    block.newest = newestOf(rows);
  }

  delete(key: string): void {
    const at = this.#blockFor(key);
    const block = this.#blocks[at];
    if (block === undefined) return;
    const place = lowerBound(block.rows, key);
    if (block.rows[place]?.key !== key) return;
    block.rows.splice(place, 1);
    this.#size -= 1;
    if (block.rows.length === 0) this.#blocks.splice(at, 1);
  }

  /** Rows whose key begins with `prefix`, in order. Nothing may change meanwhile. */
  *under(prefix: string): Generator<R, void, void> {
    for (let at = this.#blockFor(prefix); at < this.#blocks.length; at += 1) {
      const { rows } = this.#blocks[at] as Block<R>;
      for (let place = lowerBound(rows, prefix); place < rows.length; place += 1) {
        const row = rows[place] as R;
        if (!row.key.startsWith(prefix)) return;
        yield row;
      }
    }
  }

  /**
   * Newest revision of the rows under `prefix`, 0 when there are none. After deletions it may be that of a deleted one.
   */
  newestUnder(prefix: string): number {
    let newest = 0;
    for (let at = this.#blockFor(prefix); at < this.#blocks.length; at += 1) {
      const { rows, newest: ofBlock } = this.#blocks[at] as Block<R>;
      const last = rows[rows.length - 1] as R;
      if (rows[0]?.key.startsWith(prefix) && last.key.startsWith(prefix)) {
        newest = Math.max(newest, ofBlock);
        continue;
      }
      for (let place = lowerBound(rows, prefix); place < rows.length; place += 1) {
        const { key, modRevision } = rows[place] as R;
        if (!key.startsWith(prefix)) return newest;
        newest = Math.max(newest, modRevision);
      }
    }
    return newest;
  }

  /** The block that holds the key, or would: the last one that begins at or before it, else the first. */
  #blockFor(key: string): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const first = (this.#blocks[middle] as Block<R>).rows[0] as R;
      if (first.key <= key) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

/** The place of the first row whose key is not below `key`. */
function lowerBound<R extends OrderedRow>(rows: readonly R[], key: string): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle] as R).key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function newestOf(rows: readonly OrderedRow[]): number {
  let newest = 0;
  for (const { modRevision } of rows) if (modRevision > newest) newest = modRevision;
  return newest;
}
