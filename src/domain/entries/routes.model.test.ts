import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConfigEntry } from '../../model/config-entry.ts';
import { decodeEntry, validateEntry } from '../../model/entries/registry.ts';
import { compileRoutes } from '../../model/layer7/compile-routes.ts';
import type { HttpRequest } from '../../model/layer7/request.ts';
import { chooseSplit, matchRoute, rewrittenPath } from '../../model/layer7/route-table.ts';
import { compileChain } from './discovery-chain.ts';

/**
 * Random entries, compiled, against a slow model that walks the entries themselves for each request: which service a
 * request goes to, by which path, with which header, and where it fails over to.
 */

const SERVICES = ['a', 'b', 'c', 'd'] as const;
const service = fc.constantFrom(...SERVICES);
const PATHS = ['/', '/v1', '/v1/x', '/V1/x', '/v2/x/y', '/v10'];

interface Match {
  readonly PathExact?: string;
  readonly PathPrefix?: string;
  readonly PathRegex?: string;
  readonly CaseInsensitive?: boolean;
  readonly Header?: readonly { readonly Name: string; readonly Exact?: string; readonly Invert?: boolean }[];
  readonly QueryParam?: readonly { readonly Name: string; readonly Exact?: string }[];
  readonly Methods?: readonly string[];
}

const path: fc.Arbitrary<Match> = fc.oneof(
  fc.constant({}),
  fc.record({ PathExact: fc.constantFrom(...PATHS), CaseInsensitive: fc.boolean() }),
  fc.record({ PathPrefix: fc.constantFrom(...PATHS), CaseInsensitive: fc.boolean() }),
  fc.record({ PathRegex: fc.constantFrom('/v[12]/.*', '/v1|/', '.*') }),
);
const rest: fc.Arbitrary<Match> = fc.record(
  {
    Methods: fc.constantFrom(['GET'], ['PUT', 'POST']),
    QueryParam: fc.constantFrom([{ Name: 'q', Exact: '1' }]),
  },
  { requiredKeys: [] },
);
const header = fc.constantFrom([], [{ Name: 'x', Exact: '1' }], [{ Name: 'x', Exact: '1', Invert: true }]);
const route = fc.record({
  path,
  rest,
  header,
  to: fc.option(service),
  rewrite: fc.option(fc.constantFrom('/', '/new')),
});
type RouteSpec = typeof route extends fc.Arbitrary<infer R> ? R : never;

/** A splitter leads only to services after its own, so that there is no circle. */
const splitter = fc.record({ weight: fc.integer({ min: 0, max: 10_000 }), to: service });
const resolver = fc.record({
  redirect: fc.option(service),
  failover: fc.array(fc.constantFrom('dc2', 'dc3'), { maxLength: 2 }),
});

const world = fc.record({
  routes: fc.array(route, { maxLength: 5 }),
  splitters: fc.dictionary(service, splitter),
  resolvers: fc.dictionary(service, resolver),
});
type World = typeof world extends fc.Arbitrary<infer W> ? W : never;

const request = fc.record({
  method: fc.constantFrom('GET', 'PUT', 'DELETE'),
  path: fc
    .constantFrom(...PATHS)
    .chain((plain) => fc.constantFrom('', '?q=1', '?q=2&q=1', '?q').map((query) => plain + query)),
  headers: fc.constantFrom<HttpRequest['headers']>(
    [],
    [['x', '1']],
    [['x', '2']],
    [
      ['x', '1'],
      ['x', '1'],
    ],
  ),
  authority: fc.constant('a'),
});

const after = (from: string, to: string): boolean => from < to;

function matchFields({ path: where, rest: more, header: Header }: RouteSpec): Match {
  return { ...where, ...more, ...(Header.length === 0 ? {} : { Header }) };
}

function rewriteOf(spec: RouteSpec): string | undefined {
  const { PathExact, PathPrefix } = spec.path;
  return spec.rewrite !== null && (PathExact ?? PathPrefix) !== undefined ? spec.rewrite : undefined;
}

function entriesOf({ routes, splitters, resolvers }: World): ReadonlyMap<string, ConfigEntry> {
  const raw: unknown[] = [{ Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' } }];
  if (routes.length > 0)
    raw.push({
      Kind: 'service-router',
      Name: 'a',
      Routes: routes.map((spec) => ({
        Match: { HTTP: matchFields(spec) },
        Destination: { Service: spec.to ?? '', PrefixRewrite: rewriteOf(spec) ?? '' },
      })),
    });
  for (const [name, { weight, to }] of Object.entries(splitters))
    raw.push({
      Kind: 'service-splitter',
      Name: name,
      Splits: after(name, to)
        ? [
            { Weight: weight / 100, Service: to, RequestHeaders: { Set: { from: name } } },
            { Weight: (10_000 - weight) / 100, ServiceSubset: 'own' },
          ]
        : [{ Weight: 100, ServiceSubset: 'own' }],
    });
  for (const name of SERVICES) {
    const { redirect = null, failover = [] } = resolvers[name] ?? {};
    raw.push(
      redirect !== null && after(name, redirect) && splitters[name] === undefined
        ? { Kind: 'service-resolver', Name: name, Redirect: { Service: redirect } }
        : {
            Kind: 'service-resolver',
            Name: name,
            Subsets: { own: {} },
            ...(failover.length === 0 ? {} : { Failover: { '*': { Datacenters: failover } } }),
          },
    );
  }
  const decoded = raw.map((entry) => decodeEntry(entry));
  for (const entry of decoded) validateEntry(entry);
  return new Map(decoded.map((entry) => [`${entry.Kind}/${entry.Name}`, entry]));
}

interface Outcome {
  readonly target: string;
  readonly failover: readonly string[];
  readonly path: string;
  readonly from: string | undefined;
}

/** Walks the description of the world for one request: where it may go, each with its share. */
function model(given: World, asked: HttpRequest): ReadonlyMap<string, { share: number; outcome: Outcome }> {
  const found = given.routes.find((spec) => modelMatches(matchFields(spec), asked));
  const rewrite = found === undefined ? undefined : rewriteOf(found);
  const outcomes = new Map<string, { share: number; outcome: Outcome }>();
  const [plain = '', ...query] = asked.path.split('?');
  const tail = query.length === 0 ? '' : `?${query.join('?')}`;
  const matched = found?.path.PathExact !== undefined ? plain : (found?.path.PathPrefix ?? '');
  const sent = rewrite === undefined ? asked.path : rewrite + plain.slice(matched.length) + tail;
  const land = (name: string, subset: string, share: number, from: string | undefined): void => {
    const { redirect = null, failover = [] } = given.resolvers[name] ?? {};
    if (redirect !== null && after(name, redirect) && given.splitters[name] === undefined) {
      land(redirect, '', share, from);
      return;
    }
    const id = (dc: string): string => `${subset === '' ? '' : `${subset}.`}${name}.default.${dc}`;
    const outcome = { target: id('dc1'), failover: [...new Set(failover.map(id))], path: sent, from };
    const key = JSON.stringify(outcome);
    outcomes.set(key, { share: (outcomes.get(key)?.share ?? 0) + share, outcome });
  };
  const split = (name: string, share: number, from: string | undefined): void => {
    const rule = given.splitters[name];
    if (rule === undefined) land(name, '', share, from);
    else if (!after(name, rule.to)) land(name, 'own', share, from);
    else {
      split(rule.to, (share * rule.weight) / 10_000, name);
      land(name, 'own', (share * (10_000 - rule.weight)) / 10_000, from);
    }
  };
  split(found?.to ?? 'a', 1, undefined);
  return outcomes;
}

function modelMatches(match: Match, asked: HttpRequest): boolean {
  const fold = (text: string): string => (match.CaseInsensitive ? text.toLowerCase() : text);
  const plain = asked.path.split('?')[0] as string;
  if (match.PathExact !== undefined && fold(plain) !== fold(match.PathExact)) return false;
  if (match.PathPrefix !== undefined && !fold(plain).startsWith(fold(match.PathPrefix))) return false;
  if (match.PathRegex !== undefined && !new RegExp(`^(?:${match.PathRegex})$`).test(plain)) return false;
  if (match.Methods !== undefined && !match.Methods.includes(asked.method)) return false;
  for (const { Exact, Invert } of match.Header ?? []) {
    const value = asked.headers.length === 0 ? undefined : asked.headers.map((line) => line[1]).join();
    if (value === undefined || (value === Exact) === (Invert === true)) return false;
  }
  if (match.QueryParam !== undefined && !/\?q=1(?:&|$)/.test(asked.path)) return false;
  return true;
}

const THROWS = 200;

describe('compiled routes', () => {
  it('send each request where the entries say, in the shares that they say', () => {
    fc.assert(
      fc.property(world, fc.array(request, { minLength: 1, maxLength: 4 }), (given, requests) => {
        const entries = entriesOf(given);
        const options = { evaluateIn: 'dc1', own: 'dc1', trustDomain: 'td.consul' };
        const table = compileRoutes(compileChain((kind, name) => entries.get(`${kind}/${name}`), 'a', options));
        for (const asked of requests) {
          const expected = model(given, asked);
          const found = matchRoute(table, asked);
          expect(found).toBeDefined();
          if (found === undefined) return;
          const seen = new Map<string, number>();
          for (let n = 0; n < THROWS; n += 1) {
            const { destination, requestHeaders } = chooseSplit(found, (n + 0.5) / THROWS);
            const [target = '', ...failover] = table.destinations[destination]?.targets ?? [];
            const outcome: Outcome = {
              target,
              failover,
              path: rewrittenPath(found, asked.path),
              from: requestHeaders.set.find(([name]) => name === 'from')?.[1],
            };
            const key = JSON.stringify(outcome);
            seen.set(key, (seen.get(key) ?? 0) + 1);
          }
          for (const [key, { share }] of expected) if (share > 0.02) expect(seen.has(key), key).toBe(true);
          for (const [key, times] of seen) {
            expect(expected.has(key), `${key} of ${[...expected.keys()].join(' ')}`).toBe(true);
            // A split of a split is rounded to a hundredth of a percent; throws are coarser.
            expect(Math.abs(times / THROWS - (expected.get(key)?.share ?? 0))).toBeLessThan(0.02);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
