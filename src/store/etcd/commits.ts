import type { Change, Commit } from '../engine.ts';
import type { Event } from './gen/etcdserverpb/etcd_pb.ts';
import type { Head } from './head.ts';
import { text } from './wire.ts';

const DELETE = 1;

/** All events of one revision of etcd. */
export interface Revision {
  readonly revision: number;
  readonly events: readonly Event[];
}

/** Groups events, which come in the order of revisions, into whole revisions. */
export function groupByRevision(events: readonly Event[]): Revision[] {
  const groups: { revision: number; events: Event[] }[] = [];
  for (const event of events) {
    const revision = Number(event.kv?.modRevision ?? 0n);
    const last = groups.at(-1);
    if (last?.revision === revision) last.events.push(event);
    else groups.push({ revision, events: [event] });
  }
  return groups;
}

/** True when the store's content was replaced in this revision. */
export function replaces({ events }: Revision, headKey: string): boolean {
  return events.some(({ kv }) => kv !== undefined && text(kv.key) === headKey);
}

/** What a revision changed in the rows below `prefix`. */
export function commitOf({ revision, events }: Revision, head: Head, prefix: string): Commit {
  const changes: Change[] = [];
  for (const { type, kv } of events) {
    const key = kv === undefined ? undefined : head.keyOf(kv.key);
    if (kv === undefined || key === undefined || !key.startsWith(prefix)) continue;
    if (type === DELETE) changes.push({ type: 'delete', key, modRevision: head.toRevision(revision) });
    else changes.push({ type: 'put', ...head.row(key, kv) });
  }
  return { revision: head.toRevision(revision), changes };
}
