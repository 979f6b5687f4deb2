import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DiscoveryChain } from '../../src/model/discovery-chain.ts';
import type { ServiceIntentionsEntry } from '../../src/model/intention.ts';
import { compilePermissions } from '../../src/model/layer7/compile-permissions.ts';
import { compileRoutes } from '../../src/model/layer7/compile-routes.ts';
import { NORMALISED_BY_DEFAULT, normaliseRequest } from '../../src/model/layer7/normalise-request.ts';
import { evaluatePermissions, type PermissionRules } from '../../src/model/layer7/permissions.ts';
import type { HttpRequest } from '../../src/model/layer7/request.ts';
import { matchRoute, type RouteTable, rewrittenPath } from '../../src/model/layer7/route-table.ts';
import { compileVerdicts } from '../../src/model/verdicts.ts';
import {
  assertNoneLeft,
  type Bed,
  callAgent,
  type EnvoyService,
  envoyProgram,
  httpRequest,
  type MeshService,
  seeded,
  startBed,
  startEnvoyService,
  waitFor,
} from '../harness/index.ts';

const envoy = envoyProgram();
const SEQUENCES = Number(process.env.ISTHMUS_TEST_SEQUENCES ?? 25);
const REQUESTS = 20;
const random = seeded();

type Fields = Readonly<Record<string, unknown>>;

const PATHS = [
  ...[
    '/',
    '/a',
    '/a/b',
    '/A',
    '/ab',
    '/b',
    '/b/c?x=1',
    '/c?q=1&r=',
    '/c?q',
    '/c?q=x',
    '/%61',
    '/a/../b',
    '/a//b',
    '/x.y',
  ],
];
const maybe = (chance: number, make: () => Fields): Fields => (random.next() < chance ? make() : {});
const some = <T>(from: readonly T[]): readonly T[] => from.filter(() => random.next() < 0.5);

function path(): Fields {
  switch (random.between(0, 3)) {
    case 0:
      return { PathExact: random.pick(['/a', '/b', '/', '/a/b']) };
    case 1:
      return { PathPrefix: random.pick(['/a', '/b', '/a/', '/', '/c']) };
    case 2:
      return { PathRegex: random.pick(['/[ab]', '/a.*', '/(b|c)/?.*', '/x\\.y', '/']) };
    default:
      return {};
  }
}

function header(): Fields {
  const way = random.pick<Fields>([
    { Present: true },
    { Exact: '1' },
    { Prefix: '1' },
    { Suffix: '2' },
    { Contains: '2' },
    { Regex: '[0-9]+' },
  ]);
  return { Name: random.pick(['x-a', 'X-B']), ...way, ...maybe(0.3, () => ({ Invert: true })) };
}

function asked(): Fields {
  const methods = some(['GET', 'PUT', 'POST']);
  return {
    ...path(),
    ...maybe(0.3, () => ({ Header: [header()] })),
    ...(methods.length === 0 ? {} : { Methods: methods }),
  };
}

function route(): Fields {
  const http = asked();
  const query = random.pick<Fields>([{ Present: true }, { Exact: '1' }, { Regex: '[0-9]+' }]);
  return {
    Match: { HTTP: { ...http, ...maybe(0.2, () => ({ QueryParam: [{ Name: 'q', ...query }] })) } },
    Destination: {
      Service: random.pick(['api', 'canary']),
      ...('PathExact' in http || 'PathPrefix' in http
        ? maybe(0.5, () => ({ PrefixRewrite: random.pick(['/', '/z', '/b']) }))
        : {}),
    },
  };
}

interface Answer {
  readonly status: number;
  readonly by?: string;
  readonly path?: string;
}

/**
 * The callers web (Envoy) and old (built-in sidecar) ask api, whose requests go to api (Envoy) and to canary (built-in
 * sidecar): every pair. Each request is answered alike by both, and as the model says.
 */
describe.skipIf(envoy.missing)(envoy.title('generated requests through Envoys and built-in sidecars'), () => {
  let bed: Bed;
  let web: EnvoyService;
  let api: EnvoyService;
  let old: MeshService;
  const servers: Server[] = [];

  async function application(name: string): Promise<number> {
    const server = createServer((request, answer) => answer.end(JSON.stringify({ by: name, path: request.url })));
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }
  const entry = (fields: Fields): Promise<unknown> => callAgent(bed.dc1, 'PUT', '/v1/config', fields);
  const ask = async (port: number, { method, path: to, headers }: HttpRequest): Promise<Answer> => {
    const answer = await httpRequest(`http://127.0.0.1:${port}`, {
      method,
      rawPath: to,
      headers: Object.fromEntries(headers),
      timeoutMs: 10_000,
    });
    const { status } = answer;
    return status === 200 ? { ...answer.json<Answer>(), status } : { status };
  };
  const ports = (): readonly number[] => [web.upstreamPorts.api ?? 0, old.upstreamPort];

  beforeAll(async () => {
    bed = await startBed({ config: { ports: { grpc: 0 } } });
    await entry({ Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' } });
    api = await startEnvoyService(bed.dc1, 'api', { port: await application('api') });
    await bed.mesh(bed.dc1, 'canary', { port: await application('canary') });
    web = await startEnvoyService(bed.dc1, 'web', { upstreams: [{ DestinationName: 'api' }] });
    old = await bed.mesh(bed.dc1, 'old', { upstream: { name: 'api', datacenter: 'dc1' } });
  }, 60_000);
  afterAll(async () => {
    await Promise.all([web, api].map((service) => service?.envoy.stop()));
    await bed?.stop();
    for (const server of servers) server.close();
    await assertNoneLeft();
  });

  /** Writes the entries of one step and waits until all four proxies have them. */
  async function step(n: number): Promise<{ readonly table: RouteTable; readonly rules: PermissionRules }> {
    const markers = ['api', 'canary'].flatMap((service) =>
      ['yes', 'no'].map((word) => [`/__${service}/${word}/${n}`, service, `/__${word}/${n}`] as const),
    );
    const Permissions = [
      { Action: 'allow', HTTP: { PathExact: `/__yes/${n}` } },
      { Action: 'deny', HTTP: { PathExact: `/__no/${n}` } },
      ...Array.from({ length: random.between(0, 4) }, () => {
        const HTTP = asked();
        return {
          Action: random.pick(['allow', 'deny']),
          HTTP: Object.keys(HTTP).length === 0 ? { PathPrefix: '/' } : HTTP,
        };
      }),
    ];
    await entry({
      Kind: 'service-router',
      Name: 'api',
      Routes: [
        ...markers.map(([PathExact, Service, PrefixRewrite]) => ({
          Match: { HTTP: { PathExact } },
          Destination: { Service, PrefixRewrite },
        })),
        ...Array.from({ length: random.between(1, 6) }, route),
      ],
    });
    for (const Name of ['api', 'canary'])
      await entry({ Kind: 'service-intentions', Name, Sources: [{ Name: '*', Permissions }] });
    for (const port of ports())
      for (const [path] of markers)
        await waitFor(
          async () =>
            (await ask(port, { method: 'GET', path, authority: '', headers: [] })).status ===
            (path.includes('yes') ? 200 : 403),
          { what: `step ${n} of seed ${random.seed} at ${path}`, interval: 5 },
        );
    const { Chain } = await callAgent<{ Chain: DiscoveryChain }>(bed.dc1, 'GET', '/v1/discovery-chain/api');
    const intentions = await callAgent<ServiceIntentionsEntry>(bed.dc1, 'GET', '/v1/config/service-intentions/api');
    const verdicts = compileVerdicts({
      destination: 'api',
      destinationDatacenter: 'dc1',
      entries: [{ entry: intentions, revision: 1 }],
      defaultAction: 'allow',
    });
    return { table: compileRoutes(Chain), rules: compilePermissions(verdicts) };
  }

  function expected(table: RouteTable, rules: PermissionRules, request: HttpRequest): Answer {
    const chosen = matchRoute(table, request);
    const target = table.targets[chosen?.splits[0]?.destination ?? ''];
    if (chosen === undefined || target === undefined) throw new Error('a table has a route for all');
    const sent = { ...request, path: rewrittenPath(chosen, request.path) };
    const seen = normaliseRequest(sent, NORMALISED_BY_DEFAULT);
    if (seen.action !== 'forward') return { status: 400 };
    const tokens = new Map<string, unknown>();
    const { allowed } = evaluatePermissions(rules, {
      service: 'web',
      datacenter: 'dc1',
      request: seen.request,
      tokens,
    });
    return allowed ? { status: 200, by: target.service, path: seen.request.path } : { status: 403 };
  }

  it(
    `go where the model says and are decided as it does (seed ${random.seed})`,
    async () => {
      const kinds = { allowed: 0, denied: 0 };
      for (let n = 0; n < SEQUENCES; n += 1) {
        const { table, rules } = await step(n);
        for (let at = 0; at < REQUESTS; at += 1) {
          const request: HttpRequest = {
            method: random.pick(['GET', 'PUT', 'POST', 'DELETE']),
            path: random.pick(PATHS),
            authority: 'api',
            headers: some(['x-a', 'x-b']).map((name) => [name, random.pick(['1', '12', 'x2', 'x'])]),
          };
          const wanted = expected(table, rules, request);
          kinds[wanted.status === 200 ? 'allowed' : 'denied'] += 1;
          const answers = await Promise.all(ports().map((port) => ask(port, request)));
          expect(answers, `step ${n}: ${JSON.stringify({ request, table, rules })}`).toEqual([wanted, wanted]);
        }
      }
      expect(kinds.allowed).toBeGreaterThan(SEQUENCES);
      expect(kinds.denied).toBeGreaterThan(SEQUENCES);
      const rejected = await Promise.all([web, api].map((each) => each.envoy.ask('/stats?filter=update_rejected')));
      for (const line of rejected
        .join('\n')
        .split('\n')
        .filter((text) => text !== ''))
        expect(line).toMatch(/: 0$/);
    },
    30_000 + SEQUENCES * 2_000,
  );
});
