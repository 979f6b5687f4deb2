import type { ConfigEntry } from '../../../model/config-entry.ts';
import type { RouteDefinition } from '../../../model/discovery-chain.ts';
import type { HeaderMatchFields, QueryMatchFields } from '../../../model/layer7/match.ts';
import { COUNT, COUNTS, DURATION, type Fields, FLAG, NAME, TEXT, TEXTS } from '../schema.ts';
import { type KindSpec, rejected, requireName, validateMeta } from './kind.ts';

export const HEADER_MATCH: Fields = {
  Name: TEXT,
  Present: FLAG,
  Exact: TEXT,
  Prefix: TEXT,
  Suffix: TEXT,
  Regex: TEXT,
  Invert: FLAG,
};

export interface ServiceRouter extends ConfigEntry {
  readonly Kind: 'service-router';
  readonly Routes?: readonly RouteDefinition[];
}

/** Sends the requests of a service to others by path, header, query or method. */
export const serviceRouter: KindSpec<ServiceRouter> = {
  kind: 'service-router',
  fields: {
    Routes: {
      type: 'list',
      of: {
        Match: {
          type: 'object',
          fields: {
            HTTP: {
              type: 'object',
              fields: {
                PathExact: TEXT,
                PathPrefix: TEXT,
                PathRegex: TEXT,
                Header: { type: 'list', of: HEADER_MATCH },
                QueryParam: { type: 'list', of: { Name: TEXT, Present: FLAG, Exact: TEXT, Regex: TEXT } },
                Methods: TEXTS,
              },
            },
          },
        },
        Destination: {
          type: 'object',
          fields: {
            Service: NAME,
            ServiceSubset: TEXT,
            Namespace: TEXT,
            PrefixRewrite: TEXT,
            RequestTimeout: DURATION,
            NumRetries: COUNT,
            RetryOnConnectFailure: FLAG,
            RetryOnStatusCodes: COUNTS,
          },
        },
      },
    },
  },
  normalise(entry) {
    if (entry.Routes === undefined) return entry;
    return { ...entry, Routes: entry.Routes.map(normaliseRoute) };
  },
  validate(entry) {
    requireName(entry);
    validateMeta(entry.Meta);
    for (const [at, route] of (entry.Routes ?? []).entries()) validateRoute(route, `Route[${at}]`);
  },
  mentions: (entry) => [...new Set((entry.Routes ?? []).flatMap((route) => route.Destination?.Service ?? []))],
};

function normaliseRoute(route: RouteDefinition): RouteDefinition {
  const http = route.Match?.HTTP;
  if (http?.Methods === undefined) return route;
  return { ...route, Match: { HTTP: { ...http, Methods: http.Methods.map((method) => method.toUpperCase()) } } };
}

function validateRoute(route: RouteDefinition, where: string): void {
  const http = route.Match?.HTTP ?? {};
  const { PathExact, PathPrefix, PathRegex } = http;
  for (const [name, path] of Object.entries({ PathExact, PathPrefix })) {
    if (path !== undefined && !path.startsWith('/'))
      throw rejected(`${where} ${name} doesn't start with '/': ${JSON.stringify(path)}`);
  }
  if ([PathExact, PathPrefix, PathRegex].filter((path) => path !== undefined).length > 1)
    throw rejected(`${where} should only contain at most one of PathExact, PathPrefix, or PathRegex`);
  for (const [at, header] of (http.Header ?? []).entries())
    validateMatch(header, `${where} Header[${at}]`, ['Present', 'Exact', 'Prefix', 'Suffix', 'Regex']);
  for (const [at, param] of (http.QueryParam ?? []).entries())
    validateMatch(param, `${where} QueryParam[${at}]`, ['Present', 'Exact', 'Regex']);
  const methods = new Set<string>();
  for (const method of http.Methods ?? []) {
    if (methods.has(method)) throw rejected(`${where} Methods contains ${JSON.stringify(method)} more than once`);
    methods.add(method);
  }
  if (route.Destination?.PrefixRewrite !== undefined && PathExact === undefined && PathPrefix === undefined)
    throw rejected(`${where} cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix`);
}

/** Also the rule for the headers of an intention's permission. */
function validateMatch(match: HeaderMatchFields | QueryMatchFields, where: string, ways: readonly string[]): void {
  if (match.Name === undefined) throw rejected(`${where} missing required Name field`);
  if (ways.filter((way) => Object.hasOwn(match, way)).length > 1) {
    const list = `${ways.slice(0, -1).join(', ')}, or ${ways.at(-1)}`;
    throw rejected(`${where} should only contain one of ${list}`);
  }
}
