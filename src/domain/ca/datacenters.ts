import type { DatacenterRotation } from '../../model/ca.ts';
import type { Store } from '../../store/store.ts';
import { joinKey } from '../../store/table.ts';
import type { CaTables } from './tables.ts';

/** Keeps what a secondary reported; the same again costs no write. */
export async function recordDatacenter(
  store: Store,
  tables: CaTables,
  report: DatacenterRotation,
  now: number,
): Promise<void> {
  await store.transact((tx) => {
    const before = tx.get(tables.datacenters, joinKey(report.Datacenter));
    if (before !== undefined && sameReport(before.report, report)) return;
    const sameRoot = before?.report.ActiveRootID === report.ActiveRootID;
    const activeSince = before !== undefined && sameRoot ? before.activeSince : now;
    tx.put(tables.datacenters, { datacenter: report.Datacenter, report, activeSince });
  });
}

/** True when nothing but the time of the report differs. */
export function sameReport(a: DatacenterRotation, b: DatacenterRotation): boolean {
  return JSON.stringify({ ...a, ReportedAt: '' }) === JSON.stringify({ ...b, ReportedAt: '' });
}
