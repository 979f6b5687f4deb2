import { ask, json, until } from '../../test/harness/index.ts';
import type { Bed } from '../bed.ts';
import type { Outcome, Screen } from '../screen.ts';
import type { CaStatus } from '../types.ts';

export async function federate(bed: Bed, screen: Screen): Promise<Outcome> {
  screen.status('starting dc1, the primary');
  await bed.start('dc1');
  screen.line(`dc1  API ${bed.dc1.http}   servers ${bed.dc1.server}`);
  screen.status('starting dc2');
  const started = Date.now();
  await bed.start('dc2');
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
  await bed.startDb('dc2');
  await bed.startWeb();
  return reachDb(bed, screen);
}

export async function reachDb(bed: Bed, screen: Screen): Promise<Outcome> {
  screen.line(`web's sidecar in dc1 offers db of dc2 at 127.0.0.1:${bed.upstreamPort}`);
  const answer = await until(
    'web reaching db',
    20_000,
    () => ask(bed.upstreamPort, 'hello from web'),
    (text) => text.startsWith('db '),
    () => screen.status('web asks db through both sidecars'),
  );
  return {
    facts: `web (dc1) → sidecar → mutual TLS → sidecar → db (dc2): "${answer}"`,
    brief: 'answered through both sidecars',
  };
}
