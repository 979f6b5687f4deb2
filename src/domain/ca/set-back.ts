import type { Tx } from '../../store/store.ts';
import { type CaTables, ONLY } from './tables.ts';

/**
 * After the clock was set back, times that were written before lie ahead: what waits for them would wait for as long as
 * the clock was wrong. Each becomes the present.
 */
export function pullBackTimes(tx: Tx, tables: CaTables, now: number, distributeBoundMs: number): void {
  const rotation = tx.get(tables.rotation, ONLY);
  if (rotation !== undefined && rotation.startedAt > now)
    tx.put(tables.rotation, { ...rotation, startedAt: now, distributeUntil: now + distributeBoundMs });
  for (const { key, value } of tables.roots.list()) {
    const row = tx.get(tables.roots, key);
    if (row !== undefined && Math.max(value.createdAt, value.supersededAt) > now)
      tx.put(tables.roots, {
        ...row,
        createdAt: Math.min(row.createdAt, now),
        supersededAt: Math.min(row.supersededAt, now),
      });
  }
  for (const { key, value } of tables.holders.list()) {
    const row = value.seenAt > now ? tx.get(tables.holders, key) : undefined;
    if (row !== undefined) tx.put(tables.holders, { ...row, seenAt: now });
  }
  for (const { key, value } of tables.datacenters.list()) {
    const row = value.activeSince > now ? tx.get(tables.datacenters, key) : undefined;
    if (row !== undefined) tx.put(tables.datacenters, { ...row, activeSince: now });
  }
}
