import type { ConfigEntry } from '../config-entry.ts';
import type { RouteDefinition } from '../discovery-chain.ts';
import { HEADER_MATCH, HEADER_MODIFIERS, validateRouteMatch } from './http-match.ts';
import { type KindSpec, rejected, requireName, validateMeta } from './kind.ts';
import { COUNT, COUNTS, DURATION, FLAG, NAME, TEXT, TEXTS } from './schema.ts';

export interface ServiceRouter extends ConfigEntry {
  readonly Kind: 'service-router';
  readonly Routes?: readonly RouteDefinition[];
}

const RETRY_CONDITIONS = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

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
                CaseInsensitive: FLAG,
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
            IdleTimeout: DURATION,
            NumRetries: COUNT,
            RetryOnConnectFailure: FLAG,
            RetryOn: TEXTS,
            RetryOnStatusCodes: COUNTS,
            RequestHeaders: { type: 'object', fields: HEADER_MODIFIERS },
            ResponseHeaders: { type: 'object', fields: HEADER_MODIFIERS },
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
  validateRouteMatch(http, where);
  if (route.Destination?.PrefixRewrite !== undefined && http.PathExact === undefined && http.PathPrefix === undefined)
    throw rejected(`${where} cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix`);
  for (const condition of route.Destination?.RetryOn ?? []) {
    if (!RETRY_CONDITIONS.has(condition))
      throw rejected(`${where} contains an invalid retry condition: ${JSON.stringify(condition)}`);
  }
}
