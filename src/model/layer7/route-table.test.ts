import { describe, expect, it } from 'vitest';
import type { ChainNode, DiscoveryChain, RouteDefinition } from '../discovery-chain.ts';
import { compileRoutes } from './compile-routes.ts';
import { changeHeaders, compileHeaders } from './headers.ts';
import type { HttpMatchFields } from './match.ts';
import { patternFault } from './pattern.ts';
import type { HttpRequest } from './request.ts';
import { chooseSplit, matchRoute, type RouteTable, rewrittenPath } from './route-table.ts';

const target = (service: string) => ({
  ID: `${service}.default.dc1`,
  Service: service,
  Namespace: 'default' as const,
  Datacenter: 'dc1',
  MeshGateway: {},
  Subset: {},
  SNI: service,
  Name: service,
});

const resolver = (service: string, more: Partial<ChainNode & { Type: 'resolver' }> = {}): ChainNode => ({
  Type: 'resolver',
  Name: `${service}.default.dc1`,
  Resolver: { ConnectTimeout: '5s', Target: `${service}.default.dc1` },
  ...more,
});

function chain(start: string, nodes: Readonly<Record<string, ChainNode>>): DiscoveryChain {
  return {
    ServiceName: 'web',
    Namespace: 'default',
    Datacenter: 'dc1',
    Protocol: 'http',
    StartNode: start,
    Nodes: nodes,
    Targets: Object.fromEntries(['web', 'api'].map((name) => [`${name}.default.dc1`, target(name)])),
  };
}

/** A first route to api, all else to web. */
function routed(definition: RouteDefinition): RouteTable {
  const Routes = [
    { Definition: definition, NextNode: 'resolver:api' },
    { Definition: { Match: { HTTP: { PathPrefix: '/' } } }, NextNode: 'resolver:web' },
  ];
  return compileRoutes(
    chain('router', {
      router: { Type: 'router', Name: 'web', Routes },
      'resolver:api': resolver('api'),
      'resolver:web': resolver('web'),
    }),
  );
}

function request(path: string, headers: HttpRequest['headers'] = [], method = 'GET'): HttpRequest {
  return { method, path, authority: 'web', headers };
}

function matches(http: HttpMatchFields, given: HttpRequest): boolean {
  const table = routed({ Match: { HTTP: http } });
  return matchRoute(table, given) === table.routes[0];
}

describe('a route', () => {
  it('looks at the path without its query', () => {
    expect(matches({ PathExact: '/a' }, request('/a?b=/c'))).toBe(true);
    expect(matches({ PathExact: '/a' }, request('/A'))).toBe(false);
    expect(matches({ PathExact: '/a', CaseInsensitive: true }, request('/A?x'))).toBe(true);
    expect(matches({ PathPrefix: '/a' }, request('/ab'))).toBe(true);
    expect(matches({ PathPrefix: '/a?b' }, request('/a?b'))).toBe(false);
    expect(matches({ PathRegex: '/v[0-9]+/.*' }, request('/v12/x?y'))).toBe(true);
    expect(matches({ PathRegex: '/v[0-9]' }, request('/v1/x'))).toBe(false); // the whole path
    expect(matches({ PathRegex: '/a|/b' }, request('/bc'))).toBe(false);
  });

  it('compares all lines of a header as one, and what is not there matches only when its absence is asked for', () => {
    const given = request('/', [
      ['x', '1'],
      ['x', '2'],
    ]);
    expect(matches({ Header: [{ Name: 'X', Exact: '1,2' }] }, given)).toBe(true);
    expect(matches({ Header: [{ Name: 'x', Contains: ',' }] }, given)).toBe(true);
    expect(matches({ Header: [{ Name: 'x', Exact: '1' }] }, given)).toBe(false);
    expect(matches({ Header: [{ Name: 'x', Exact: '1', Invert: true }] }, given)).toBe(true);
    expect(matches({ Header: [{ Name: 'y', Exact: '1', Invert: true }] }, given)).toBe(false);
    expect(matches({ Header: [{ Name: 'y', Present: true, Invert: true }] }, given)).toBe(true);
    expect(
      matches(
        {
          Header: [
            { Name: 'x', Suffix: ',2' },
            { Name: 'x', Prefix: '1' },
          ],
        },
        given,
      ),
    ).toBe(true);
  });

  it('looks at query parameters as they were sent, the first of a name', () => {
    expect(matches({ QueryParam: [{ Name: 'a', Exact: '1' }] }, request('/?b&a=1&a=2'))).toBe(true);
    expect(matches({ QueryParam: [{ Name: 'a', Exact: '2' }] }, request('/?a=1&a=2'))).toBe(false);
    expect(matches({ QueryParam: [{ Name: 'a', Exact: ' ' }] }, request('/?a=%20'))).toBe(false);
    expect(matches({ QueryParam: [{ Name: 'a', Present: true }] }, request('/?a'))).toBe(true);
    expect(matches({ QueryParam: [{ Name: 'a', Regex: '[0-9]' }] }, request('/?a=12'))).toBe(false);
  });

  it('takes methods as they are written', () => {
    expect(matches({ Methods: ['PUT', 'GET'] }, request('/'))).toBe(true);
    expect(matches({ Methods: ['PUT'] }, request('/', [], 'put'))).toBe(false);
  });

  it('replaces the matched part of the path as it stands', () => {
    const rewritten = (http: HttpMatchFields, path: string, PrefixRewrite = '/'): string => {
      const table = routed({ Match: { HTTP: http }, Destination: { PrefixRewrite } });
      const route = matchRoute(table, request(path));
      return route === undefined ? '' : rewrittenPath(route, path);
    };
    expect(rewritten({ PathPrefix: '/v2' }, '/v2/x?a')).toBe('//x?a');
    expect(rewritten({ PathPrefix: '/v2/' }, '/v2/x')).toBe('/x');
    expect(rewritten({ PathPrefix: '/V2/', CaseInsensitive: true }, '/v2/x')).toBe('/x');
    expect(rewritten({ PathExact: '/old' }, '/old?a=1', '/new')).toBe('/new?a=1');
    expect(rewritten({ PathPrefix: '/v2/' }, '/other')).toBe('/other');
  });

  it('has the time, retries and headers of its destination', () => {
    const [route] = routed({
      Destination: {
        RequestTimeout: '-1s',
        IdleTimeout: '2s',
        NumRetries: 3,
        RetryOnConnectFailure: true,
        RetryOn: ['reset'],
        RetryOnStatusCodes: [503],
        RequestHeaders: { Add: { 'X-A': '1' }, Set: { B: '2' }, Remove: ['C'] },
      },
    }).routes;
    expect(route).toMatchObject({
      requestTimeoutMs: 0,
      idleTimeoutMs: 2_000,
      retries: { count: 3, on: ['reset', 'connect-failure', 'retriable-status-codes'], statusCodes: [503] },
    });
    const lines = [
      ['x-a', '0'],
      ['b', '0'],
      ['c', '0'],
    ] as const;
    expect(changeHeaders(lines, route?.requestHeaders ?? compileHeaders({}))).toEqual([
      ['x-a', '0'],
      ['x-a', '1'],
      ['b', '2'],
    ]);
    expect(routed({}).routes[0]).toMatchObject({ requestTimeoutMs: 15_000 });
  });
});

describe('splits', () => {
  it('are chosen by weight; requests are hashed by what the first balancer by hash asks for', () => {
    const LoadBalancer = {
      Policy: 'ring_hash',
      HashPolicies: [
        { SourceIP: true, Terminal: true },
        { Field: 'cookie', FieldValue: 'sid', CookieConfig: {} },
      ],
    };
    const table = compileRoutes(
      chain('splitter', {
        splitter: {
          Type: 'splitter',
          Name: 'web',
          Splits: [
            { Weight: 99.99, NextNode: 'web' },
            { Weight: 0.01, NextNode: 'api', Definition: { RequestHeaders: { Set: { V: '2' } } } },
          ],
        },
        web: resolver('web'),
        api: resolver('api', { LoadBalancer }),
      }),
    );
    const route = table.routes[0] as RouteTable['routes'][number];
    expect(chooseSplit(route, 0).destination).toBe('web.default.dc1');
    expect(chooseSplit(route, 0.9998).destination).toBe('web.default.dc1');
    expect(chooseSplit(route, 0.99991)).toMatchObject({
      destination: 'api.default.dc1',
      requestHeaders: { set: [['v', '2']] },
    });
    expect(route.hashPolicies).toEqual([
      { type: 'source ip', terminal: true },
      { type: 'cookie', name: 'sid' },
    ]);
    expect(table.destinations['api.default.dc1']?.balancer).toEqual({ policy: 'ring_hash' });
  });
});

describe('a resolver', () => {
  it('leads to targets in order; its time counts where the chain begins with it', () => {
    const node = resolver('web', {
      Resolver: {
        ConnectTimeout: '3s',
        RequestTimeout: '7s',
        Target: 'web.default.dc1',
        Failover: { Targets: ['api.default.dc1'] },
      },
      LoadBalancer: { Policy: 'least_request' },
    });
    const table = compileRoutes(chain('web', { web: node }));
    expect(table.routes).toMatchObject([{ requestTimeoutMs: 7_000 }]);
    expect(table.destinations).toEqual({
      'web.default.dc1': {
        targets: ['web.default.dc1', 'api.default.dc1'],
        connectTimeoutMs: 3_000,
        balancer: { policy: 'least_request', choices: 2 },
      },
    });
    expect(compileRoutes(chain('web', { web: node }))).not.toBe(table);
  });
});

describe('a pattern', () => {
  it('is one that both carriers read alike', () => {
    expect(patternFault('/v[12]/.*')).toBeUndefined();
    expect(patternFault('a)|(b')).toBeDefined();
    expect(patternFault('(?=x)')).toBeDefined();
    expect(patternFault('(a)\\1')).toBeDefined();
    expect(patternFault('\\C')).toBeDefined();
    expect(patternFault('a{1001}')).toBeDefined();
  });
});
