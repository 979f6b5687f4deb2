import { Resolver } from 'node:dns/promises';
import { ask, isthmus, json, type Opened, startLoad, until } from '../../test/harness/index.ts';
import { type Bed, BINARY, type Name } from '../bed.ts';
import type { Outcome, Screen } from '../screen.ts';
import { columns, sparkline } from '../text.ts';
import type { QueryExecution, QueryForecast, QueryOutcome } from '../types.ts';

const QUERY = 'geo-db';
/** In this order, after the datacenter that is asked. */
const FAILOVER = ['dc2', 'dc3'];
const ALL: readonly Name[] = ['dc1', 'dc2', 'dc3'];
/** New connections each second. */
const LOAD_PER_SECOND = 100;
/** Back in full: this share of a second's connections, and how long that may take, milliseconds. */
const FULL_SHARE = 0.99;
const RAMP_WITHIN_MS = 60_000;

/** db runs in dc3 too, and web reaches it by a query. */
export async function serveFromTwo(bed: Bed, screen: Screen): Promise<Outcome> {
  screen.status('starting dc3');
  await bed.start('dc3');
  await until(
    'all datacenters knowing each other',
    30_000,
    () => Promise.all(ALL.map((name) => json<string[]>(bed.of(name).http, 'GET', '/v1/catalog/datacenters'))),
    (known) => known.every((datacenters) => datacenters.length === ALL.length),
  );
  await bed.startDb('dc3');
  for (const name of ALL)
    await json(bed.of(name).http, 'POST', '/v1/query', {
      Name: QUERY,
      Service: { Service: 'db', Failover: { Datacenters: FAILOVER } },
    });
  // Its sidecar's check may come late; until then nobody would serve without dc2.
  await until(
    'dc3 being ready to serve db',
    30_000,
    () => json<unknown[]>(bed.of('dc1').http, 'GET', '/v1/health/connect/db?passing&dc=dc3'),
    (instances) => instances.length > 0,
  );
  await bed.reachByQuery(QUERY);
  const answer = await until(
    'web reaching db by the query',
    20_000,
    () => ask(bed.queryPort, 'hello from web'),
    (text) => text.startsWith('db in dc2:'),
    () => screen.status(`web asks for ${QUERY}`),
  );
  for (const line of await table(bed, ALL)) screen.line(line);
  return {
    facts: `web's upstream is the query ${QUERY}, which now leads to dc2: "${answer}"`,
    brief: 'a query leads web to dc2',
  };
}

/** dc2 dies under load: what was foretold happens; it comes back, and so does the traffic. */
export async function failOver(bed: Bed, screen: Screen): Promise<Outcome> {
  const foretold = await foretell(bed, screen);
  const connections: Opened[] = [];
  const load = await startLoad(bed.queryPort, LOAD_PER_SECOND, 0, (opened) => connections.push(opened));
  try {
    await until(
      'load',
      10_000,
      async () => connections.length,
      (count) => count >= LOAD_PER_SECOND / 2,
    );
    const killedAt = Date.now();
    await bed.kill('dc2');
    screen.line(`all processes of dc2 were killed, under ${LOAD_PER_SECOND} new connections each second`);
    const found = await until(
      'the query leading to dc3',
      30_000,
      () => executed(bed, 'dc1'),
      ({ Datacenter }) => Datacenter === 'dc3',
    );
    const detectedAt = Date.now();
    mustBeEqual(foretold, found);
    await until(
      'load going on',
      20_000,
      async () => since(connections, detectedAt).length,
      (count) => count >= LOAD_PER_SECOND,
    );
    for (const line of await table(bed, ['dc1', 'dc3'])) screen.line(line);
    const after = since(connections, detectedAt);
    mustHold(after, detectedAt, 'dc1 knew that dc2 was lost');
    screen.line(
      `dc1 knew after ${detectedAt - killedAt} ms; none of the ${after.length} connections begun since failed; ` +
        'as foretold, dc3 serves',
    );
    const startedAt = Date.now();
    const backMs = await comeBack(bed, screen, connections, startedAt);
    await load.stop();
    mustHold(since(connections, detectedAt), startedAt, 'dc2 was started again');
    for (const line of await table(bed, ALL)) screen.line(line);
    const lost = failed(connections).length;
    return {
      facts:
        `dc2 serves all again ${backMs} ms after it was started; of ${connections.length} new connections ${lost} ` +
        `failed` +
        (lost > 0 ? ', begun before dc1 knew that dc2 was lost' : ''),
      brief: `dc3 after ${detectedAt - killedAt} ms, ${lost} failed; dc2 again in ${(backMs / 1_000).toFixed(1)} s`,
    };
  } finally {
    await load.stop();
  }
}

/** Shows the forecast of the command line; returns who would serve without dc2. */
async function foretell(bed: Bed, screen: Screen): Promise<QueryOutcome | null> {
  const forecast = (...more: readonly string[]) =>
    isthmus(['query', 'forecast', ...bed.cliFlags('dc1'), ...more, QUERY], BINARY);
  screen.line(`$ isthmus query forecast ${QUERY}`);
  for (const line of (await forecast()).out.trimEnd().split('\n')) screen.line(line);
  const { Lost } = JSON.parse((await forecast('-format=json')).out) as QueryForecast;
  return Lost.find(({ Datacenter }) => Datacenter === 'dc2')?.Outcome ?? null;
}

function mustBeEqual(foretold: QueryOutcome | null, { Service, Datacenter, Nodes, Failovers }: QueryExecution): void {
  const happened: QueryOutcome = { Service, Datacenter, Instances: Nodes.length, Failovers };
  const [before, after] = [foretold, happened].map((outcome) => JSON.stringify(outcome));
  if (before !== after) throw new Error(`the forecast was ${before}, what happened is ${after}`);
}

function failed(connections: readonly Opened[]): readonly Opened[] {
  return connections.filter(({ answer }) => answer === undefined);
}

/** Throws when one failed, with when that was. */
function mustHold(connections: readonly Opened[], from: number, event: string): void {
  const all = failed(connections);
  const [first] = all;
  if (first === undefined) return;
  const when = `${first.begunAt - from} ms after ${event}`;
  throw new Error(
    `${all.length} of ${connections.length} connections failed, the first one begun ${when}: ${first.error}`,
  );
}

/** Starts dc2 again; resolves with the milliseconds until it serves nearly every new connection. */
async function comeBack(bed: Bed, screen: Screen, connections: readonly Opened[], started: number): Promise<number> {
  screen.status('starting dc2 again');
  await bed.revive('dc2');
  await until(
    'the query leading to dc2',
    30_000,
    () => executed(bed, 'dc1'),
    ({ Datacenter }) => Datacenter === 'dc2',
  );
  screen.line(
    `dc2 was started again; the query led there ${Date.now() - started} ms later, and its share of the traffic grows:`,
  );
  const shares = (): readonly number[] => {
    const seconds = Math.floor((Date.now() - started) / 1_000);
    return Array.from({ length: seconds }, (_, second) => shareOf('dc2', connections, started + second * 1_000));
  };
  const grown = await until(
    'dc2 serving all again',
    RAMP_WITHIN_MS,
    async () => shares(),
    (each) => (each.at(-1) ?? 0) >= FULL_SHARE,
    (each) => screen.status(`dc2's share ${sparkline(each ?? [])}`),
  );
  const percent = (share: number): string => `${Math.round(share * 100)}`;
  screen.line(`${sparkline(grown)}  ${grown.map(percent).join(' ')} % of each second's new connections`);
  return Date.now() - started;
}

/** Of the new connections in the second from `from` on. */
function shareOf(name: Name, connections: readonly Opened[], from: number): number {
  const within = connections.filter(
    ({ begunAt, answer }) => begunAt >= from && begunAt < from + 1_000 && answer !== undefined,
  );
  return within.filter(({ answer }) => answer?.startsWith(`db in ${name}:`)).length / Math.max(1, within.length);
}

function since(connections: readonly Opened[], from: number): readonly Opened[] {
  return connections.filter(({ begunAt }) => begunAt >= from);
}

function executed(bed: Bed, name: Name): Promise<QueryExecution> {
  return json(bed.of(name).http, 'GET', `/v1/query/${QUERY}/execute`);
}

/** What each datacenter resolves the query to: by DNS, and by executing it. */
async function table(bed: Bed, names: readonly Name[]): Promise<readonly string[]> {
  const rows = names.map(async (name) => {
    const { Datacenter, Nodes, Failovers } = await executed(bed, name);
    return [name, await resolved(bed, name), `${Datacenter}, instances: ${Nodes.length}, failovers: ${Failovers}`];
  });
  return columns([['asked in', `DNS: ${QUERY}.query.consul`, 'the query'], ...(await Promise.all(rows))]);
}

async function resolved(bed: Bed, name: Name): Promise<string> {
  const resolver = new Resolver();
  resolver.setServers([bed.of(name).dns]);
  const [record] = await resolver.resolveSrv(`${QUERY}.query.consul`);
  if (record === undefined) return 'nothing';
  const addresses = await resolver.resolve4(record.name).catch(() => resolver.resolve6(record.name));
  return `${addresses[0]} port ${record.port}`;
}
