import type { DatacenterRotation, HolderReport } from '../../model/ca.ts';
import type { Store } from '../../store/store.ts';
import { joinKey } from '../../store/table.ts';
import { activeRoot, allRoots, type CaTables, type HolderRow } from './tables.ts';

export interface InventoryOptions {
  /** A holder that was not heard of for this long does not hold up the distribution of roots any more. */
  readonly holderTtlMs: number;
}

/** Names in one report at most: the rest is counted, not listed. */
const MAX_NAMES = 100;
/** How stale `seenAt` may get while nothing rotates. */
const IDLE_REFRESH_MS = 6 * 3_600_000;

/** Who holds which roots and leaves in this datacenter, as the agents report. */
export class Inventory {
  readonly #store: Store;
  readonly #tables: CaTables;
  readonly #datacenter: string;
  readonly #now: () => number;
  readonly #options: InventoryOptions;
  #startedAt: number;

  constructor(
    deps: { readonly store: Store; readonly tables: CaTables; readonly datacenter: string; readonly now: () => number },
    options: InventoryOptions,
  ) {
    this.#store = deps.store;
    this.#tables = deps.tables;
    this.#datacenter = deps.datacenter;
    this.#now = deps.now;
    this.#options = options;
    this.#startedAt = deps.now();
  }

  /** While the server was down no agent could report: silence counts from the start on. */
  started(): void {
    this.#startedAt = this.#now();
  }

  /** Takes an agent's report; the same again costs no write. */
  async record(report: HolderReport): Promise<void> {
    const now = this.#now();
    const refresh = this.#tables.roots.size > 1 ? this.#options.holderTtlMs / 3 : IDLE_REFRESH_MS;
    const key = joinKey(report.Holder);
    const after = toRow(report, now);
    const isKnown = (before: HolderRow | undefined): boolean =>
      before !== undefined && now - before.seenAt < refresh && sameReport(before, after);
    if (isKnown(this.#tables.holders.get(key)?.value)) return; // by far most of them: no request needed
    await this.#store.transact((tx) => {
      const before = tx.get(this.#tables.holders, key);
      if (after.verifiers === 0 && Object.keys(after.leavesByRoot).length === 0) {
        if (before !== undefined) tx.delete(this.#tables.holders, key);
      } else if (!isKnown(before)) tx.put(this.#tables.holders, after);
    });
  }

  /** What this datacenter as a whole holds. */
  aggregate(): DatacenterRotation {
    const roots = allRoots(this.#tables);
    const now = this.#now();
    let held = new Set(roots.map((root) => root.id));
    const pending: string[] = [];
    const leaves = new Map<string, number>();
    let holders = 0;
    for (const { value: row } of this.#tables.holders.list()) {
      holders += row.verifiers;
      for (const [root, count] of Object.entries(row.leavesByRoot)) {
        if (!this.#expired(root, now)) leaves.set(root, (leaves.get(root) ?? 0) + count);
      }
      if (this.#isStale(row, now)) {
        pending.push(`${row.holder} (not heard of since ${isoSeconds(row.seenAt)})`);
        continue;
      }
      const confirmed = new Set(row.rootIds);
      const missing = roots.some((root) => !confirmed.has(root.id));
      held = new Set([...held].filter((id) => confirmed.has(id)));
      if (missing) pending.push(...(row.pending.length > 0 ? row.pending : [row.holder]));
    }
    if (pending.length > MAX_NAMES)
      pending.splice(MAX_NAMES - 1, pending.length, `and ${pending.length - MAX_NAMES + 1} more`);
    return {
      Datacenter: this.#datacenter,
      RootIDs: [...held].sort(),
      ActiveRootID: activeRoot(this.#tables)?.id ?? '',
      Holders: holders,
      Pending: pending,
      LeavesByRoot: Object.fromEntries([...leaves].sort(([a], [b]) => (a < b ? -1 : 1))),
      ReportedAt: isoSeconds(now),
    };
  }

  /** Holders that are gone for so long that no leaf of theirs can be valid. */
  gone(longestLeafMs: number): string[] {
    const now = this.#now();
    const rows = this.#tables.holders.list();
    return rows.filter(({ value }) => now - value.seenAt > longestLeafMs + 2 * IDLE_REFRESH_MS).map(({ key }) => key);
  }

  #isStale(row: HolderRow, now: number): boolean {
    if (this.#tables.roots.size < 2) return false; // between rotations no report is needed
    const began = Math.max(...allRoots(this.#tables).map((root) => root.createdAt));
    return now - Math.max(row.seenAt, this.#startedAt, began) > this.#options.holderTtlMs;
  }

  /** True when no leaf under the root can be valid any more. */
  #expired(rootId: string, now: number): boolean {
    const root = this.#tables.roots.get(joinKey(rootId))?.value;
    if (root === undefined) return false;
    return root.supersededAt !== 0 && now > root.supersededAt + root.leafTtlMs;
  }
}

function toRow(report: HolderReport, now: number): HolderRow {
  return {
    holder: report.Holder,
    verifiers: report.Verifiers,
    rootIds: [...report.RootIDs].sort(),
    pending: report.Pending.slice(0, MAX_NAMES),
    leavesByRoot: Object.fromEntries(Object.entries(report.LeavesByRoot).filter(([, count]) => count > 0)),
    seenAt: now,
  };
}

function sameReport(a: HolderRow, b: HolderRow): boolean {
  return JSON.stringify({ ...a, seenAt: 0 }) === JSON.stringify({ ...b, seenAt: 0 });
}

export function isoSeconds(ms: number): string {
  return ms === 0 ? '' : `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
