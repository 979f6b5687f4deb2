import type { HeaderChanges } from './headers.ts';
import { matchesRequest, type RequestMatch } from './match.ts';
import { type HttpRequest, splitPath } from './request.ts';

/**
 * Where the requests to an upstream go: the one compiled form of routers, splitters and resolvers. Envoy's resources
 * are built from it, and the built-in sidecar evaluates it with the functions here, which do as Envoy does.
 */
export interface RouteTable {
  readonly service: string;
  readonly protocol: RequestProtocol;
  /** In order: the first that matches decides. The last one matches every request. */
  readonly routes: readonly Route[];
  /** By the ID of the target that is dialled first: what a split names. */
  readonly destinations: Readonly<Record<string, Destination>>;
  /** Everything that destinations name, by ID. */
  readonly targets: Readonly<Record<string, RouteTarget>>;
}

export type RequestProtocol = 'http' | 'http2' | 'grpc';

/** Whether requests can be told apart, and so routed, split and permitted one by one. */
export function isRequestProtocol(protocol: string): protocol is RequestProtocol {
  return protocol === 'http' || protocol === 'http2' || protocol === 'grpc';
}

export interface Route {
  readonly match: RequestMatch;
  /** Never empty. Weights add up to something above zero. */
  readonly splits: readonly Split[];
  /** Instead of the part of the path that `match.path` (exact or prefix) matched. */
  readonly prefixRewrite?: string;
  /** Until the whole answer is there, milliseconds; 0: for ever. */
  readonly requestTimeoutMs: number;
  /** Without a byte either way, milliseconds; 0: for ever. Absent: as the proxy does otherwise. */
  readonly idleTimeoutMs?: number;
  readonly retries?: Retries;
  readonly requestHeaders: HeaderChanges;
  readonly responseHeaders: HeaderChanges;
  /** What a request is hashed by, for a destination whose policy is by hash. */
  readonly hashPolicies: readonly HashPolicy[];
}

export interface Split {
  /** Hundredths of a percent. */
  readonly weight: number;
  readonly destination: string;
  /** Applied before those of the route. */
  readonly requestHeaders: HeaderChanges;
  readonly responseHeaders: HeaderChanges;
}

export interface Retries {
  /** After the first attempt. */
  readonly count: number;
  /** Envoy's conditions, `connect-failure` and `retriable-status-codes` among them. */
  readonly on: readonly string[];
  readonly statusCodes: readonly number[];
}

/** `terminal`: those after it only count when it says nothing about a request. */
export type HashPolicy = { readonly terminal?: true } & (
  | { readonly type: 'header' | 'query'; readonly name: string }
  | {
      readonly type: 'cookie';
      readonly name: string;
      /** A request without it is given one that lives this long, milliseconds; 0: for the browser's session. */
      readonly ttlMs?: number;
      readonly path?: string;
    }
  | { readonly type: 'source ip' }
);

export type Balancer =
  | { readonly policy: 'round_robin' | 'random' | 'maglev' }
  | { readonly policy: 'least_request'; readonly choices: number }
  | { readonly policy: 'ring_hash'; readonly minimumSize?: number; readonly maximumSize?: number };

/** Where a split leads: a target and what it fails over to. */
export interface Destination {
  /** IDs of targets in the order of preference; the first is the destination's own. */
  readonly targets: readonly string[];
  readonly connectTimeoutMs: number;
  readonly balancer: Balancer;
  /** How a target is left for the next one; absent: when none of its instances is healthy. */
  readonly failoverPolicy?: FailoverPolicy;
  /** Instances of the caller's zone, then of its region, go first. */
  readonly prioritizeByLocality?: true;
}

export interface FailoverPolicy {
  readonly mode: 'sequential' | 'order-by-locality';
  readonly regions: readonly string[];
}

export interface RouteTarget {
  readonly id: string;
  readonly service: string;
  readonly subset?: string;
  readonly datacenter: string;
  /** What the connection asks for by name; of an external service it is the service's own name. */
  readonly sni: string;
  readonly external?: true;
  /** Mode of the mesh gateway, when one is asked for. */
  readonly meshGateway?: string;
}

/** The route of a request. Undefined only for a table without a last route for all. */
export function matchRoute(table: RouteTable, request: HttpRequest): Route | undefined {
  return table.routes.find((route) => matchesRequest(route.match, request));
}

/** @param random in [0, 1) */
export function chooseSplit(route: Route, random: number): Split {
  const total = route.splits.reduce((sum, { weight }) => sum + weight, 0);
  let left = Math.floor(random * total);
  for (const split of route.splits) {
    if (left < split.weight) return split;
    left -= split.weight;
  }
  return route.splits.at(-1) as Split;
}

/**
 * The path as it is sent on. The matched part is replaced as it stands, as Envoy does: `/` for `/v2` makes `/x` of
 * `/v2x` and `//x` of `/v2/x`; `/v2/` is what should be matched then.
 */
export function rewrittenPath(route: Route, path: string): string {
  const { prefixRewrite, match } = route;
  if (prefixRewrite === undefined || match.path === undefined || match.path.type === 'regex') return path;
  const [plain, rest] = splitPath(path);
  const matched = match.path.type === 'exact' ? plain.length : match.path.value.length;
  return prefixRewrite + plain.slice(matched) + rest;
}
