import { call, json, until } from './api.ts';
import type { Bed } from './bed.ts';
import { bar, type Screen } from './screen.ts';
import { ask, LongLived, startLoad } from './traffic.ts';
import type { CaRoots, CaStatus, Explanation, RotationStatus } from './types.ts';

/** New connections each second and kept ones while the root rotates. */
const LOAD_PER_SECOND = 200;
const LOAD_KEPT = 50;

export async function federate(bed: Bed, screen: Screen): Promise<string> {
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
  return `dc1 and dc2 are one mesh ${Date.now() - started} ms after dc2's start, trust domain ${status.TrustDomain.slice(0, 8)}…`;
}

export async function connectServices(bed: Bed, screen: Screen): Promise<string> {
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
  return `web (dc1) → sidecar → mutual TLS → sidecar → db (dc2): "${answer}"`;
}

export async function denyAndAllow(bed: Bed, screen: Screen): Promise<string> {
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
  return `deny in force after ${closedAfter} ms, also for the open connection; an allow written in dc2 let web through after ${Date.now() - allowed} ms`;
}

export async function rotateUnderLoad(bed: Bed, screen: Screen): Promise<string> {
  const load = await startLoad(bed.upstreamPort, LOAD_PER_SECOND, LOAD_KEPT);
  try {
    await until(
      'load',
      20_000,
      async () => load.counts.opened,
      (opened) => opened >= LOAD_PER_SECOND,
    );
    const before = await json<CaRoots>(bed.dc1.http, 'GET', '/v1/connect/ca/roots');
    const started = Date.now();
    await json(bed.dc1.http, 'PUT', '/v1/connect/ca/rotate');
    const show = (status: RotationStatus | undefined): void => {
      if (status === undefined) return;
      screen.status(
        `${bar(status.Progress)} ${status.Phase}, ${status.LeavesMoved} of ${status.LeavesTotal} certificates moved · ` +
          `${load.counts.opened} connections, ${load.counts.failed + load.counts.longLivedFailed} failed`,
      );
    };
    const status = await until(
      'the rotation',
      120_000,
      () => json<RotationStatus>(bed.dc1.http, 'GET', '/v1/connect/ca/rotation'),
      (answer) => answer.Phase === 'idle' && answer.NewRootID !== '',
      show,
    );
    const took = Date.now() - started;
    for (const dc of [bed.dc1, bed.dc2]) {
      const roots = await until(
        `the new root in ${dc.datacenter}`,
        10_000,
        () => json<CaRoots>(dc.http, 'GET', '/v1/connect/ca/roots'),
        (answer) => answer.ActiveRootID !== before.ActiveRootID && answer.Roots.length === 1,
      );
      screen.line(`${dc.datacenter}: active root ${roots.ActiveRootID.slice(0, 17)}…, the old one is gone`);
    }
    await until(
      'load after the rotation',
      20_000,
      async () => load.counts.opened,
      (
        (target) => (opened: number) =>
          opened >= target
      )(load.counts.opened + LOAD_PER_SECOND),
    );
    const counts = await load.stop();
    const failed = counts.failed + counts.longLivedFailed;
    const facts =
      `rotated in ${took} ms under load: ${counts.opened} new connections and ${counts.longLived} kept ones ` +
      `(${counts.longLivedAnswers} answers), ${status.LeavesMoved} certificates re-issued, ${failed} failed`;
    if (failed > 0) throw new Error(`${facts}; last error: ${counts.lastError}`);
    return facts;
  } finally {
    await load.stop();
  }
}

export async function surviveCut(bed: Bed, screen: Screen): Promise<string> {
  await bed.cutWan();
  screen.line('the WAN between the datacenters is cut: bytes vanish, nothing is reset');
  await json(bed.dc2.http, 'PUT', '/v1/agent/service/register', { Name: 'cache', Port: 6379 });
  screen.status('a new service in dc2 asks for its certificate');
  const leaf = await json<{ ServiceURI: string; ValidBefore: string }>(
    bed.dc2.http,
    'GET',
    '/v1/agent/connect/ca/leaf/cache',
  );
  screen.line(`new in dc2 while cut off: ${leaf.ServiceURI}, valid until ${leaf.ValidBefore}`);
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
  return `dc2 issued certificates while cut off; ${Date.now() - healed} ms after healing it writes through the primary again`;
}
