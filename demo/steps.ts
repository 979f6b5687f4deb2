import { ask, type LoadCounts, LongLived, startLoad } from '../test/harness/traffic.ts';
import { call, json, until } from './api.ts';
import type { Bed } from './bed.ts';
import type { Outcome, Screen } from './screen.ts';
import type { CaRoots, CaStatus, Explanation, RotationStatus } from './types.ts';

/** New connections each second and kept ones while the root rotates. */
const LOAD_PER_SECOND = 200;
const LOAD_KEPT = 50;
/** Certificates in each datacenter besides those of the sidecars, so that there is something to move. */
const CERTIFICATES = 100;

export async function federate(bed: Bed, screen: Screen): Promise<Outcome> {
  screen.status('starting dc1, the primary');
  await bed.startPrimary();
  screen.line(`dc1  API ${bed.dc1.http}   servers ${bed.dc1.server}`);
  screen.status('starting dc2');
  const started = Date.now();
  await bed.startSecondary();
  screen.line(`dc2  API ${bed.dc2.http}   servers ${bed.dc2.server}`);
  const status = await until(
    'dc2 getting its intermediate',
    30_000,
    () => json<CaStatus>(bed.dc2.http, 'GET', '/v1/connect/ca/status'),
    (answer) => answer.State === 'ready',
    (answer) => screen.status(`dc2's certificate authority: ${answer?.State ?? 'starting'} ${answer?.Reason ?? ''}`),
  );
  await until(
    'dc1 seeing dc2',
    30_000,
    () => json<string[]>(bed.dc1.http, 'GET', '/v1/catalog/datacenters'),
    (answer) => answer.length === 2,
  );
  const took = Date.now() - started;
  return {
    facts: `dc1 and dc2 are one mesh ${took} ms after dc2's start; trust domain ${status.TrustDomain}`,
    brief: `one mesh ${took} ms after dc2's start`,
  };
}

export async function connectServices(bed: Bed, screen: Screen): Promise<Outcome> {
  screen.status('registering db in dc2 and web in dc1, each with a sidecar');
  await bed.startServices();
  screen.line(`web's sidecar in dc1 offers db of dc2 at 127.0.0.1:${bed.upstreamPort}`);
  const answer = await until(
    'web reaching db',
    20_000,
    () => ask(bed.upstreamPort, 'hello from web'),
    (text) => text.startsWith('db:'),
    () => screen.status('web asks db through both sidecars'),
  );
  return {
    facts: `web (dc1) → sidecar → mutual TLS → sidecar → db (dc2): "${answer}"`,
    brief: 'answered through both sidecars',
  };
}

export async function denyAndAllow(bed: Bed, screen: Screen): Promise<Outcome> {
  const open = await LongLived.open(bed.upstreamPort);
  const pair = 'source=web&destination=db';
  const wrote = Date.now();
  await json(bed.dc1.http, 'PUT', `/v1/connect/intentions/exact?${pair}`, { SourceType: 'consul', Action: 'deny' });
  screen.status('a deny was written in dc1');
  await open.whenClosed;
  const closedAfter = Date.now() - wrote;
  await until(
    'the refusal',
    10_000,
    () =>
      ask(bed.upstreamPort, 'again').then(
        () => 'answered',
        () => 'refused',
      ),
    (outcome) => outcome === 'refused',
  );
  screen.line(`the deny written in dc1 closed the open connection in dc2 after ${closedAfter} ms and refuses new ones`);
  const why = await json<Explanation>(
    bed.dc2.http,
    'GET',
    '/v1/internal/explain?source=web&source-dc=dc1&destination=db&destination-dc=dc2',
  );
  if (why.Allowed) throw new Error('dc2 explains the refused connection as allowed');
  screen.line(`why (asked in dc2): ${why.Reason}`);
  if (why.ToAllow !== undefined) screen.line(`to allow it: ${why.ToAllow}`);
  const allowed = Date.now();
  await json(bed.dc2.http, 'PUT', `/v1/connect/intentions/exact?${pair}`, { SourceType: 'consul', Action: 'allow' });
  await until(
    'the allow',
    10_000,
    () => ask(bed.upstreamPort, 'please').catch(() => ''),
    (text) => text.startsWith('db:'),
  );
  const openAfter = Date.now() - allowed;
  return {
    facts: `an allow written in dc2 let web through again after ${openAfter} ms`,
    brief: `deny after ${closedAfter} ms, allow after ${openAfter} ms`,
  };
}

export async function rotateUnderLoad(bed: Bed, screen: Screen): Promise<Outcome> {
  screen.status('issuing certificates, opening connections');
  await bed.issueCertificates(CERTIFICATES);
  const load = await startLoad(bed.upstreamPort, LOAD_PER_SECOND, LOAD_KEPT);
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

export async function surviveCut(bed: Bed, screen: Screen): Promise<Outcome> {
  await bed.cutWan();
  screen.line('the WAN between the datacenters is cut: bytes vanish, nothing is reset');
  await json(bed.dc2.http, 'PUT', '/v1/agent/service/register', { Name: 'cache', Port: 6379 });
  screen.status('a new service in dc2 asks for its certificate');
  const leaf = await json<{ ServiceURI: string; ValidBefore: string }>(
    bed.dc2.http,
    'GET',
    '/v1/agent/connect/ca/leaf/cache',
  );
  const { pathname } = new URL(leaf.ServiceURI);
  screen.line(`new in dc2 while cut off: a certificate for ${pathname}, valid until ${leaf.ValidBefore}`);
  await ask(bed.upstreamPort, 'still there?');
  screen.line('web in dc1 still reaches db in dc2 over its own route');
  screen.status('waiting until dc1 notices that dc2 is out of reach');
  await until(
    'dc1 noticing the cut',
    30_000,
    () => call(bed.dc1.http, 'GET', '/v1/catalog/nodes?dc=dc2'),
    (answer) => answer.status === 500,
  );
  bed.healWan();
  const healed = Date.now();
  screen.status('the WAN is healed');
  await until(
    'dc2 deciding writes with the primary again',
    60_000,
    () =>
      call(bed.dc2.http, 'PUT', '/v1/connect/intentions/exact?source=web&destination=cache', {
        SourceType: 'consul',
        Action: 'allow',
      }),
    (answer) => answer.status === 200,
  );
  const took = Date.now() - healed;
  return {
    facts: `healed: dc2 writes through the primary again after ${took} ms`,
    brief: `whole again ${took} ms after healing`,
  };
}
