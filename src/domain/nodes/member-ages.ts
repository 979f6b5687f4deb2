import type { Clock } from '../../lib/clock.ts';
import { type MemberRow, memberKey } from './tables.ts';

/**
 * Since when members have their status, by the steady clock: a time of day that jumps makes no node older.
 * What began before this was made counts by the time of day at which it was seen first.
 */
export interface MemberAges {
  /** By the steady clock, milliseconds. */
  see(row: MemberRow): number;
  changed(before: MemberRow | undefined, after: MemberRow | undefined): void;
}

export function createMemberAges(clock: Clock): MemberAges {
  /** One for each member. */
  const seen = new Map<string, { readonly status: MemberRow['Status']; readonly since: number }>();
  const keep = ({ Node, Status }: MemberRow, since: number): number => {
    seen.set(memberKey(Node), { status: Status, since });
    return since;
  };
  return {
    see(row) {
      const known = seen.get(memberKey(row.Node));
      if (known?.status === row.Status) return known.since;
      return keep(row, clock.steady() - Math.max(0, clock.now() - row.Since));
    },
    changed(before, after) {
      if (after === undefined) {
        if (before !== undefined) seen.delete(memberKey(before.Node));
      } else if (before !== undefined && (before.Status !== after.Status || before.Since !== after.Since))
        keep(after, clock.steady());
    },
  };
}
