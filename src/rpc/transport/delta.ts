/**
 * What changed between two JSON values, so that a watcher of a long answer is sent the change and not the answer.
 * Applied to its base it gives the new value again, down to the order of keys.
 */
export type Delta =
  /** Another value. */
  | { readonly s: unknown }
  /**
   * A record: changed fields; deleted ones; new ones, each with the field of the base that it stands before (null: at
   * the end).
   */
  | {
      readonly o: Readonly<Record<string, Delta>>;
      readonly d?: readonly string[];
      readonly n?: readonly (readonly [before: string | null, key: string, value: unknown])[];
    }
  /** A list, from front to back: n > 0 elements stay, n < 0 go, `{ i }` come, any other delta changes one. */
  | { readonly a: readonly ListEdit[] };

export type ListEdit = number | { readonly i: readonly unknown[] } | Delta;

type Fields = Readonly<Record<string, unknown>>;

/** Differences within one list or record above which it is sent whole. */
const MAX_EDITS = 256;

/** Undefined when too much differs for a delta to be worth it. */
export function diff(base: unknown, next: unknown): Delta | undefined {
  if (Array.isArray(base) && Array.isArray(next)) return diffLists(base, next);
  if (isRecord(base) && isRecord(next)) return diffRecords(base, next);
  return undefined;
}

/** Throws a TypeError when the delta does not belong to the base. What has not changed is shared with the base. */
export function applyDelta(base: unknown, delta: Delta): unknown {
  if ('s' in delta) return delta.s;
  if ('a' in delta) {
    if (!Array.isArray(base)) throw new TypeError('a delta of a list for something else');
    return applyToList(base, delta.a);
  }
  if (!isRecord(base)) throw new TypeError('a delta of a record for something else');
  return applyToRecord(base, delta);
}

/** True when both are the same JSON text; an undefined field is an absent one. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && sameLists(a, b);
  if (!isRecord(a) || !isRecord(b)) return false;
  const [before, after] = [keysOf(a), keysOf(b)];
  if (before.length !== after.length) return false;
  for (let at = 0; at < before.length; at += 1) {
    const key = before[at] as string;
    if (key !== after[at] || !same(a[key], b[key])) return false;
  }
  return true;
}

function sameLists(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at += 1) if (!same(a[at], b[at])) return false;
  return true;
}

function diffRecords(base: Fields, next: Fields): Delta | undefined {
  const before = keysOf(base);
  const after = keysOf(next);
  const stayed = after.filter((key) => own(base, key) !== undefined);
  const o: Record<string, Delta> = {};
  const d: string[] = [];
  const n: [string | null, string, unknown][] = [];
  let edits = 0;
  let at = 0;
  for (const key of before) {
    if (own(next, key) === undefined) d.push(key);
    else if (key !== stayed[at++])
      return undefined; // the fields stand in another order
    else if (!same(base[key], next[key])) {
      set(o, key, diff(base[key], next[key]) ?? { s: next[key] });
      edits += 1;
    }
    if (edits + d.length > MAX_EDITS) return undefined;
  }
  let following: string | null = null;
  for (const key of after.reverse()) {
    if (own(base, key) !== undefined) following = key;
    else n.push([following, key, next[key]]);
  }
  if (edits + d.length + n.length > MAX_EDITS) return undefined;
  return { o, ...(d.length === 0 ? {} : { d }), ...(n.length === 0 ? {} : { n: n.reverse() }) };
}

function applyToRecord(base: Fields, delta: Extract<Delta, { readonly o: unknown }>): unknown {
  const { o, d = [], n = [] } = delta;
  const deleted = new Set(d);
  const next: Record<string, unknown> = {};
  let added = 0;
  const addBefore = (before: string | null): void => {
    for (let edit = n[added]; edit !== undefined && edit[0] === before; edit = n[added]) {
      set(next, edit[1], edit[2]);
      added += 1;
    }
  };
  for (const key of keysOf(base)) {
    if (deleted.has(key)) continue;
    addBefore(key);
    const changed = own(o, key) as Delta | undefined;
    set(next, key, changed === undefined ? base[key] : applyDelta(base[key], changed));
  }
  addBefore(null);
  if (added < n.length) throw new TypeError('a delta of another record');
  return next;
}

/** Names come from users: `constructor` and `__proto__` are fields like any other. */
function own(record: Fields, key: string): unknown {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function set(record: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(record, key, { value, enumerable: true, configurable: true, writable: true });
  else record[key] = value;
}

function diffLists(base: readonly unknown[], next: readonly unknown[]): Delta | undefined {
  const shorter = Math.min(base.length, next.length);
  let front = 0;
  while (front < shorter && same(base[front], next[front])) front += 1;
  let back = 0;
  while (back < shorter - front && same(base[base.length - 1 - back], next[next.length - 1 - back])) back += 1;
  const script = editScript(base.slice(front, base.length - back), next.slice(front, next.length - back));
  if (script === undefined) return undefined;
  const edits = new ListEdits();
  edits.keep(front);
  for (const { gone, come, kept } of script) {
    edits.replace(gone, come);
    edits.keep(kept);
  }
  edits.keep(back);
  return { a: edits.list };
}

/** One step of an edit script: these elements of the base give way to those, then so many stay. */
interface Step {
  readonly gone: readonly unknown[];
  readonly come: readonly unknown[];
  readonly kept: number;
}

/** A shortest edit script (Myers 1986); undefined when it is longer than a list is worth. */
function editScript(base: readonly unknown[], next: readonly unknown[]): readonly Step[] | undefined {
  if (base.length === 0 && next.length === 0) return [];
  if (base.length === 0 || next.length === 0) return [{ gone: base, come: next, kept: 0 }];
  const traces: Map<number, number>[] = [];
  const reach = new Map<number, number>([[1, 0]]);
  for (let edits = 0; edits <= 2 * MAX_EDITS; edits += 1) {
    traces.push(new Map(reach));
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      const down = diagonal === -edits || (diagonal !== edits && at(reach, diagonal - 1) < at(reach, diagonal + 1));
      let x = down ? at(reach, diagonal + 1) : at(reach, diagonal - 1) + 1;
      while (x < base.length && x - diagonal < next.length && same(base[x], next[x - diagonal])) x += 1;
      reach.set(diagonal, x);
      if (x >= base.length && x - diagonal >= next.length) return walkBack(base, next, traces);
    }
  }
  return undefined;
}

function at(reach: ReadonlyMap<number, number>, diagonal: number): number {
  return reach.get(diagonal) ?? -1;
}

function walkBack(
  base: readonly unknown[],
  next: readonly unknown[],
  traces: readonly ReadonlyMap<number, number>[],
): readonly Step[] {
  const keeps: { readonly x: number; readonly y: number; readonly length: number }[] = [];
  let x = base.length;
  let y = next.length;
  for (let edits = traces.length - 1; edits >= 0; edits -= 1) {
    const reach = traces[edits] as ReadonlyMap<number, number>;
    const diagonal = x - y;
    const down = diagonal === -edits || (diagonal !== edits && at(reach, diagonal - 1) < at(reach, diagonal + 1));
    const from = down ? diagonal + 1 : diagonal - 1;
    const fromX = edits === 0 ? 0 : at(reach, from);
    const fromY = edits === 0 ? 0 : fromX - from;
    const startX = edits === 0 ? 0 : down ? fromX : fromX + 1;
    if (x > startX) keeps.unshift({ x: startX, y: y - (x - startX), length: x - startX });
    x = fromX;
    y = fromY;
  }
  const steps: Step[] = [];
  let [doneX, doneY] = [0, 0];
  for (const keep of [...keeps, { x: base.length, y: next.length, length: 0 }]) {
    steps.push({ gone: base.slice(doneX, keep.x), come: next.slice(doneY, keep.y), kept: keep.length });
    doneX = keep.x + keep.length;
    doneY = keep.y + keep.length;
  }
  return steps;
}

class ListEdits {
  readonly list: ListEdit[] = [];

  keep(count: number): void {
    if (count === 0) return;
    const last = this.list.at(-1);
    if (typeof last === 'number' && last > 0) this.list[this.list.length - 1] = last + count;
    else this.list.push(count);
  }

  /** Pairs of removed and added values are reported as changes. */
  replace(gone: readonly unknown[], come: readonly unknown[]): void {
    const changed = Math.min(gone.length, come.length);
    for (let index = 0; index < changed; index += 1)
      this.list.push(diff(gone[index], come[index]) ?? { s: come[index] ?? null });
    if (gone.length > changed) this.list.push(changed - gone.length);
    if (come.length > changed) this.list.push({ i: come.slice(changed) });
  }
}

function applyToList(base: readonly unknown[], edits: readonly ListEdit[]): unknown {
  const next: unknown[] = [];
  let done = 0;
  for (const edit of edits) {
    if (typeof edit === 'number') {
      if (edit > 0) for (let index = done; index < done + edit; index += 1) next.push(base[index]);
      done += Math.abs(edit);
    } else if ('i' in edit) next.push(...edit.i);
    else next.push(applyDelta(base[done++], edit));
  }
  if (done !== base.length) throw new TypeError('a delta of another list');
  return next;
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function keysOf(record: Fields): string[] {
  const keys = Object.keys(record);
  for (const key of keys) if (record[key] === undefined) return keys.filter((name) => record[name] !== undefined);
  return keys;
}
