import { json, type LoadCounts, startLoad, until } from '../../test/harness/index.ts';
import type { Bed } from '../bed.ts';
import type { Outcome, Screen } from '../screen.ts';
import type { CaRoots, RotationStatus } from '../types.ts';

/** New connections each second and kept ones while the root rotates. */
const LOAD_PER_SECOND = 200;
const LOAD_KEPT = 50;
/** Certificates in each datacenter besides those of the sidecars, so that there is something to move. */
const CERTIFICATES = 100;

/** @param port where the load's connections go */
export async function rotateUnderLoad(bed: Bed, screen: Screen, port = bed.upstreamPort): Promise<Outcome> {
  screen.status('issuing certificates, opening connections');
  await bed.issueCertificates(CERTIFICATES);
  const load = await startLoad(port, LOAD_PER_SECOND, LOAD_KEPT);
  try {
    await until(
      'load',
      20_000,
      async () => load.counts.opened,
      (opened) => opened >= LOAD_PER_SECOND,
    );
    screen.line(`load: ${LOAD_PER_SECOND} new connections each second, ${LOAD_KEPT} kept ones`);
    const { movedMs, goneMs, moved } = await rotate(bed, screen, load.counts);
    screen.line(`the old root was removed after ${goneMs} ms, once no handshake could need it any more`);
    const target = load.counts.opened + LOAD_PER_SECOND;
    await until(
      'load after the rotation',
      20_000,
      async () => load.counts.opened,
      (opened) => opened >= target,
    );
    const counts = await load.stop();
    const failed = counts.failed + counts.longLivedFailed;
    const facts =
      `meanwhile ${counts.opened} new connections and ${counts.longLived} kept ones with ` +
      `${counts.longLivedAnswers} answers: ${failed} failed`;
    if (failed > 0) throw new Error(`${facts}; last error: ${counts.errors[0]}`);
    return { facts, brief: `${moved} certificates in ${movedMs} ms, ${failed} failures` };
  } finally {
    await load.stop();
  }
}

interface Rotated {
  /** Until every certificate was under the new root. */
  readonly movedMs: number;
  /** Until the old root was removed everywhere. */
  readonly goneMs: number;
  readonly moved: number;
}

async function rotate(bed: Bed, screen: Screen, counts: LoadCounts): Promise<Rotated> {
  const before = await json<CaRoots>(bed.dc1.http, 'GET', '/v1/connect/ca/roots');
  const started = Date.now();
  await json(bed.dc1.http, 'PUT', '/v1/connect/ca/rotate');
  let movedMs: number | undefined;
  const status = await until(
    'the rotation',
    120_000,
    () => json<RotationStatus>(bed.dc1.http, 'GET', '/v1/connect/ca/rotation'),
    (answer) => answer.Phase === 'idle' && answer.NewRootID !== '',
    (answer) => {
      if (answer === undefined) return;
      const { Phase, LeavesMoved, LeavesTotal } = answer;
      const isMoved = LeavesMoved === LeavesTotal && (Phase === 'draining' || Phase === 'idle');
      if (isMoved && movedMs === undefined) {
        movedMs = Date.now() - started;
        screen.line(`all ${LeavesMoved} certificates of both datacenters moved to the new root within ${movedMs} ms`);
      }
      const failed = counts.failed + counts.longLivedFailed;
      const certificates = `${LeavesMoved}/${LeavesTotal} certificates`;
      screen.progress(answer.Progress, `${Phase} · ${certificates} · ${counts.opened} connections, ${failed} failed`);
    },
  );
  for (const { datacenter, http } of [bed.dc1, bed.dc2]) {
    await until(
      `the new root in ${datacenter}`,
      10_000,
      () => json<CaRoots>(http, 'GET', '/v1/connect/ca/roots'),
      (roots) => roots.ActiveRootID !== before.ActiveRootID && roots.Roots.length === 1,
    );
  }
  const goneMs = Date.now() - started;
  return { movedMs: movedMs ?? goneMs, goneMs, moved: status.LeavesMoved };
}
