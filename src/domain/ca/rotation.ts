import type { DatacenterRotation, RotationStatus } from '../../model/ca.ts';
import { isoSeconds } from './inventory.ts';
import type { DatacenterRow, IssuedRow, RootRow, RotationRow } from './tables.ts';

/** All that a decision about a rotation rests on. */
export interface RotationView {
  readonly now: number;
  readonly rotation: RotationRow;
  readonly roots: readonly RootRow[];
  /** This datacenter's own report. */
  readonly own: DatacenterRotation;
  /** What other datacenters reported. */
  readonly datacenters: readonly DatacenterRow[];
  /** Datacenters that are federated now. */
  readonly known: readonly string[];
  /** Intermediates signed for other datacenters. */
  readonly issued: readonly IssuedRow[];
  /** Who has not moved after this long does not keep the phase from ending: the drain waits for them. */
  readonly moveBoundMs: number;
  /** An old root stays this long after its last leaf is gone: handshakes under it may still be under way. */
  readonly minDrainMs: number;
  /** Since when nothing but that time has kept each old root, by its ID. */
  readonly clearSince: ReadonlyMap<string, number>;
}

export type RotationStep =
  | { readonly type: 'wait' }
  | { readonly type: 'activate' }
  | { readonly type: 'drain' }
  | { readonly type: 'prune'; readonly rootIds: readonly string[] };

/** What the rotation does next. A pure function: the same after a restart. */
export function nextStep(view: RotationView): RotationStep {
  const { rotation, now } = view;
  switch (rotation.phase) {
    case 'idle':
      return { type: 'wait' };
    case 'distributing':
      return now >= rotation.distributeUntil || missingRoot(view).length === 0 || !isValidYet(view)
        ? { type: 'activate' }
        : { type: 'wait' };
    case 'moving':
      return view.now >= movingSince(view) + view.moveBoundMs || stillMoving(view).length === 0
        ? { type: 'drain' }
        : { type: 'wait' };
    case 'draining': {
      const done = oldRoots(view).filter((root) => holdsOn(view, root).length === 0);
      const left = oldRoots(view).length - done.length;
      return done.length > 0 || left === 0 ? { type: 'prune', rootIds: done.map((root) => root.id) } : { type: 'wait' };
    }
  }
}

/**
 * False when the root that still signs was made while the clock was ahead: no one accepts it, so nothing is waited for.
 */
function isValidYet({ rotation, roots, now }: RotationView): boolean {
  const old = roots.find((root) => root.id === rotation.oldRootId);
  return old === undefined || now >= old.notBefore;
}

/** How often a phase is looked at again without any event: which datacenters are known makes none. */
const LOOK_AGAIN_MS = { distributing: 1_000, moving: 5_000, draining: 60_000 } as const;

/** When the clock alone may bring the next step. */
export function nextLook(view: RotationView): number | undefined {
  const { rotation, now } = view;
  if (rotation.phase === 'idle') return undefined;
  const times = [now + LOOK_AGAIN_MS[rotation.phase], rotation.distributeUntil, movingSince(view) + view.moveBoundMs];
  for (const root of oldRoots(view)) {
    times.push(
      (view.clearSince.get(root.id) ?? now) + view.minDrainMs,
      root.supersededAt + root.leafTtlMs + 1,
      root.notAfter + 1,
    );
    for (const row of view.datacenters) times.push(row.activeSince + root.leafTtlMs + 1);
  }
  for (const row of view.issued) times.push(row.notAfter + 1);
  return Math.min(...times.filter((time) => time > now));
}

/** What GET /v1/connect/ca/rotation answers. */
export function rotationStatus(view: RotationView): RotationStatus {
  const { rotation } = view;
  const all = reports(view);
  const moved = sum(all.map((report) => report.LeavesByRoot[rotation.newRootId] ?? 0));
  const total = sum(all.flatMap((report) => Object.values(report.LeavesByRoot)));
  return {
    Phase: rotation.phase,
    OldRootID: rotation.oldRootId,
    NewRootID: rotation.newRootId,
    StartedAt: isoSeconds(rotation.startedAt),
    Datacenters: all,
    Progress: progress(view, moved, total),
    LeavesTotal: total,
    LeavesMoved: rotation.phase === 'idle' && rotation.newRootId === '' ? 0 : moved,
    Holds: holds(view),
  };
}

/** Why it does not go on, one sentence each. */
function holds(view: RotationView): string[] {
  switch (view.rotation.phase) {
    case 'idle':
      return [];
    case 'distributing':
      return missingRoot(view);
    case 'moving':
      return stillMoving(view);
    case 'draining':
      return [...new Set(oldRoots(view).flatMap((root) => holdsOn(view, root)))];
  }
}

/** Datacenters, and in them verifiers, that have not confirmed the new root. */
function missingRoot(view: RotationView): string[] {
  const { newRootId } = view.rotation;
  return awaited(view).flatMap(([datacenter, report]) => {
    if (report === undefined) return [`${datacenter} has not confirmed the new root`];
    if (report.RootIDs.includes(newRootId)) return [];
    const names = report.Pending.length === 0 ? '' : `: ${report.Pending.join(', ')}`;
    return [`${datacenter} has verifiers without the new root${names}`];
  });
}

/** Datacenters that do not sign under the new root yet, or know of leaves that end in another. */
function stillMoving(view: RotationView): string[] {
  const { newRootId } = view.rotation;
  return awaited(view).flatMap(([datacenter, report]) => {
    if (report === undefined) return [`${datacenter} has not reported since the rotation began`];
    if (report.ActiveRootID !== newRootId) return [`${datacenter} still signs under the old root`];
    const left = sum(oldRoots(view).map((root) => report.LeavesByRoot[root.id] ?? 0));
    return left === 0 ? [] : [leafHoldText(report, left)];
  });
}

/** Why an old root can't go yet. */
function holdsOn(view: RotationView, root: RootRow): string[] {
  if (view.now > root.notAfter) return [];
  const found = leavesUnder(view, root);
  if (found.length > 0) return found;
  const since = view.clearSince.get(root.id) ?? view.now;
  return view.now < since + view.minDrainMs ? ['connections under the old root may still be being set up'] : [];
}

/** Where leaves under an old root are alive, or may be. */
export function leavesUnder(view: Omit<RotationView, 'clearSince'>, root: RootRow): string[] {
  const { now } = view;
  const found: string[] = [];
  const datacenters = new Set([view.own.Datacenter, ...view.known]);
  for (const row of view.datacenters) datacenters.add(row.datacenter);
  for (const row of view.issued) if (row.rootId === root.id && row.notAfter > now) datacenters.add(row.datacenter);
  for (const datacenter of datacenters) {
    const hold = datacenter === view.own.Datacenter ? ownHold(view, root) : remoteHold(view, root, datacenter);
    if (hold !== undefined) found.push(hold);
  }
  return found;
}

function ownHold(view: Omit<RotationView, 'clearSince'>, root: RootRow): string | undefined {
  if (view.now > root.supersededAt + root.leafTtlMs) return undefined;
  return leafHold(view.own, root);
}

function remoteHold(view: Omit<RotationView, 'clearSince'>, root: RootRow, datacenter: string): string | undefined {
  const row = view.datacenters.find((known) => known.datacenter === datacenter);
  const live = view.issued.some(
    (issued) => issued.datacenter === datacenter && issued.rootId === root.id && issued.notAfter > view.now,
  );
  if (!live) return undefined; // no leaf outlives the intermediate that signed it
  if (row === undefined) return `${datacenter} has an intermediate under the old root and has not reported`;
  if (row.report.ActiveRootID === root.id) return `${datacenter} still signs under the old root`;
  if (view.now > row.activeSince + root.leafTtlMs) return undefined;
  return leafHold(row.report, root);
}

function leafHold(report: DatacenterRotation, root: RootRow): string | undefined {
  const left = report.LeavesByRoot[root.id] ?? 0;
  return left === 0 ? undefined : leafHoldText(report, left);
}

function leafHoldText(report: DatacenterRotation, left: number): string {
  const names = report.Pending.length === 0 ? '' : `; not confirmed: ${report.Pending.join(', ')}`;
  return `${report.Datacenter} has ${left} certificate${left === 1 ? '' : 's'} under the old root${names}`;
}

/** The datacenters that a phase waits for: this one and those that are federated now. */
function awaited(view: RotationView): [datacenter: string, report: DatacenterRotation | undefined][] {
  const others = view.known.filter((datacenter) => datacenter !== view.own.Datacenter);
  return [
    [view.own.Datacenter, view.own],
    ...others.map((datacenter): [string, DatacenterRotation | undefined] => [
      datacenter,
      view.datacenters.find((row) => row.datacenter === datacenter)?.report,
    ]),
  ];
}

function reports(view: RotationView): DatacenterRotation[] {
  return [view.own, ...view.datacenters.map((row) => row.report)];
}

function movingSince(view: RotationView): number {
  return Math.max(0, ...oldRoots(view).map((root) => root.supersededAt));
}

function oldRoots(view: RotationView): RootRow[] {
  return view.roots.filter((root) => root.state === 'old');
}

/** Distribution is the first three tenths, moving the next six, draining the last. */
function progress(view: RotationView, moved: number, total: number): number {
  switch (view.rotation.phase) {
    case 'idle':
      return 1;
    case 'distributing': {
      const all = awaited(view);
      return round((0.3 * (all.length - missingRoot(view).length)) / all.length);
    }
    case 'moving':
      return round(0.3 + (total === 0 ? 0.6 : (0.6 * moved) / total));
    case 'draining':
      return 0.9;
  }
}

function round(share: number): number {
  return Math.round(share * 1_000) / 1_000;
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
