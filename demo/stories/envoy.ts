import { ask, type HttpAnswer, httpRequest, json, until } from '../../test/harness/index.ts';
import type { Bed } from '../bed.ts';
import type { Outcome, Screen } from '../screen.ts';
import type { Explanation } from '../types.ts';

/** It calls the others, which are in dc2. */
export const CALLER = 'shop';
const SERVICE = 'orders';
const CANARY = 'orders-canary';
/** One with plain connections. */
export const ECHO = 'ledger';
const REQUESTS = 500;
/** That asked for, and what chance may make of it: more than five standard deviations. */
const SHARE = 0.1;
const SHARE_BETWEEN = [0.03, 0.17] as const;
const AT_ONCE = 10;

const get = (bed: Bed, path = '/'): Promise<HttpAnswer> => {
  const port = bed.envoyOf('dc1', CALLER).upstreamPorts[SERVICE] ?? 0;
  return httpRequest(`http://127.0.0.1:${port}${path}`, { timeoutMs: 10_000 });
};
const entry = (bed: Bed, fields: Readonly<Record<string, unknown>>): Promise<unknown> =>
  json(bed.dc1.http, 'PUT', '/v1/config', fields);

/** Who answered how often. */
async function count(bed: Bed): Promise<{ readonly canary: number; readonly failed: number }> {
  let canary = 0;
  let failed = 0;
  let left = REQUESTS;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const { status, body } = await get(bed);
      if (status !== 200) failed += 1;
      else if (body === CANARY) canary += 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return { canary, failed };
}

export async function startEnvoys(bed: Bed, screen: Screen): Promise<Outcome> {
  for (const Name of [SERVICE, CANARY]) await entry(bed, { Kind: 'service-defaults', Name, Protocol: 'http' });
  screen.status('starting an Envoy beside each service');
  await bed.startBehindEnvoy('dc2', SERVICE, 'http');
  await bed.startBehindEnvoy('dc2', CANARY, 'http');
  await bed.startBehindEnvoy('dc2', ECHO, 'tcp');
  const ports = await bed.startCaller(CALLER, [SERVICE, ECHO]);
  screen.line(`shop's Envoy in dc1 offers orders at 127.0.0.1:${ports[SERVICE]}, ledger at 127.0.0.1:${ports[ECHO]}`);
  await until(
    'shop reaching orders',
    20_000,
    () => get(bed).catch(() => undefined),
    (answer) => answer?.status === 200 && answer.body === SERVICE,
  );
  const echo = await until(
    'shop reaching ledger',
    20_000,
    () => ask(ports[ECHO] ?? 0, 'hello').catch(() => ''),
    (text) => text.startsWith(`${ECHO}:`),
  );
  const info = JSON.parse(await bed.envoyOf('dc1', CALLER).envoy.ask('/server_info')) as { readonly version: string };
  const version = info.version.split('/')[1];
  return {
    facts: `requests reach orders, connections ledger ("${echo}"), through Envoy ${version} at both ends`,
    brief: `4 × Envoy ${version}`,
  };
}

/** A splitter gives the canary a share. No request fails when that changes. */
export async function canary(bed: Bed, screen: Screen): Promise<Outcome> {
  const split = (share: number): Promise<unknown> =>
    entry(bed, {
      Kind: 'service-splitter',
      Name: SERVICE,
      Splits: [{ Weight: (1 - share) * 100 }, { Weight: share * 100, Service: CANARY }],
    });
  const reached = (what: string, wanted: (answers: readonly HttpAnswer[]) => boolean): Promise<unknown> =>
    until(what, 20_000, () => Promise.all(Array.from({ length: AT_ONCE }, () => get(bed))), wanted);
  await split(SHARE);
  screen.line(`a splitter written in dc1: ${SHARE * 100} % of the requests to ${CANARY}`);
  await reached('the canary being asked', (answers) => answers.some(({ body }) => body === CANARY));
  const some = await count(bed);
  screen.line(`${REQUESTS} requests: ${some.canary} answered by ${CANARY}, ${some.failed} failed`);
  const [least, most] = SHARE_BETWEEN;
  if (some.canary < least * REQUESTS || some.canary > most * REQUESTS) throw new Error('that is not its share');
  await split(1);
  screen.line('the canary is good: 100 %');
  await reached('the canary getting all', (answers) => answers.every(({ body }) => body === CANARY));
  const all = await count(bed);
  screen.line(`${REQUESTS} requests: ${all.canary} answered by ${CANARY}, ${all.failed} failed`);
  await json(bed.dc1.http, 'DELETE', `/v1/config/service-splitter/${SERVICE}`);
  await reached('the split being gone', (answers) => answers.every(({ body }) => body === SERVICE));
  const failed = some.failed + all.failed;
  const facts = `${some.canary} and then ${all.canary} of ${REQUESTS} requests reached the canary; ${failed} failed`;
  if (failed > 0 || all.canary !== REQUESTS) throw new Error(facts);
  return { facts, brief: `${some.canary}, then ${all.canary} of ${REQUESTS}; ${failed} failed` };
}

/** Permissions decide about each request. */
export async function denyRequests(bed: Bed, screen: Screen): Promise<Outcome> {
  const wrote = Date.now();
  await entry(bed, {
    Kind: 'service-intentions',
    Name: SERVICE,
    Sources: [
      {
        Name: CALLER,
        Permissions: [
          { Action: 'deny', HTTP: { PathPrefix: '/admin' } },
          { Action: 'allow', HTTP: { PathPrefix: '/' } },
        ],
      },
    ],
  });
  const denied = await until(
    'the refusal',
    10_000,
    () => get(bed, '/admin/users'),
    ({ status }) => status === 403,
  );
  const after = Date.now() - wrote;
  screen.line(`an intention with permissions, written in dc1: GET /admin/users is ${denied.status} "${denied.body}"`);
  const allowed = await get(bed, '/list');
  screen.line(`GET /list: ${allowed.status}`);
  const pair = `source=${CALLER}&source-dc=dc1&destination=${SERVICE}&destination-dc=dc2`;
  // The Envoy hears of a change by another way than who explains it.
  const why = await until(
    'dc2 explaining the refusal',
    5_000,
    () => json<Explanation>(bed.dc2.http, 'GET', `/v1/internal/explain?${pair}&path=/admin/users`),
    ({ Permission }) => Permission === 0,
  );
  screen.line(`why (asked in dc2): ${why.Reason}`);
  if (allowed.status !== 200) throw new Error('a path that is allowed was refused');
  await json(bed.dc1.http, 'DELETE', `/v1/config/service-intentions/${SERVICE}`);
  await until(
    'the end of the refusal',
    10_000,
    () => get(bed, '/admin/users'),
    ({ status }) => status === 200,
  );
  return {
    facts: `/admin is denied after ${after} ms, all else goes on`,
    brief: `403 after ${after} ms, the rest 200`,
  };
}
