import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { nameOf } from '../../../../agent/proxycfg/upstream-resolver.ts';
import type { HeaderChanges } from '../../../../model/layer7/headers.ts';
import type { HashPolicy, Retries, Route, RouteTable, Split } from '../../../../model/layer7/route-table.ts';
import type { SidecarUpstream } from '../../../../model/sidecar.ts';
import {
  HeaderValueOption_HeaderAppendAction as Append,
  type HeaderValueOption,
  HeaderValueOptionSchema,
} from '../../gen/envoy/config/core/v3/base_pb.ts';
import {
  type RetryPolicy,
  RetryPolicySchema,
  type RouteAction_HashPolicy,
  RouteAction_HashPolicySchema,
  RouteActionSchema,
  RouteSchema,
  type WeightedCluster_ClusterWeight,
  WeightedCluster_ClusterWeightSchema,
} from '../../gen/envoy/config/route/v3/route_components_pb.ts';
import { RouteConfigurationSchema } from '../../gen/envoy/config/route/v3/route_pb.ts';
import { type Resource, resource } from '../../resource.ts';
import type { ResourceBuilder } from '../builder.ts';
import { millis } from '../common.ts';
import { requestsOf } from '../destinations.ts';
import { destinationName, routesName } from '../names.ts';
import { routeMatch } from './matchers.ts';

/** Where the requests to upstreams go: resources of their own, so that a changed route ends nothing. */
export const outboundRoutes: ResourceBuilder = {
  inputs: (snapshot) => [
    snapshot.config.upstreams,
    snapshot.roots.TrustDomain,
    snapshot.refused,
    ...snapshot.config.upstreams.map((upstream) => requestsOf(upstream, snapshot)?.table),
  ],
  build(snapshot) {
    const { config, refused, roots } = snapshot;
    const made = new Map<string, Resource>();
    for (const upstream of config.upstreams) {
      const table = requestsOf(upstream, snapshot)?.table;
      const name = routesName(upstream, roots.TrustDomain);
      if (table !== undefined && !made.has(name))
        made.set(name, routesOf(name, table, upstream, roots.TrustDomain, refused.get(upstream.key) ?? []));
    }
    return [...made.values()];
  },
};

function routesOf(
  name: string,
  table: RouteTable,
  upstream: SidecarUpstream,
  trustDomain: string,
  refused: readonly string[],
): Resource {
  /** All that the destination leads to may not be connected to. */
  const denied = (id: string): boolean =>
    table.destinations[id]?.targets.every((target) => {
      const found = table.targets[target];
      return found !== undefined && refused.includes(nameOf(found));
    }) === true;
  const clusterOf = (id: string): string => destinationName(upstream, id, trustDomain);
  const routes = create(RouteConfigurationSchema, {
    name,
    virtualHosts: [
      {
        name: upstream.name,
        domains: ['*'],
        routes: table.routes.map((route) =>
          create(RouteSchema, {
            match: routeMatch(route.match),
            ...(route.splits.every(({ destination }) => denied(destination))
              ? ACCESS_DENIED
              : { action: { case: 'route', value: actionOf(route, clusterOf) } }),
            ...requestChanges(route.requestHeaders),
            ...responseChanges(route.responseHeaders),
          }),
        ),
      },
    ],
  });
  return resource('route', name, RouteConfigurationSchema, routes);
}

/** As the other side answers. */
const ACCESS_DENIED = {
  action: {
    case: 'directResponse' as const,
    value: { status: 403, body: { specifier: { case: 'inlineString' as const, value: 'RBAC: access denied' } } },
  },
};

function actionOf(route: Route, clusterOf: (id: string) => string) {
  const { splits, match, prefixRewrite, requestTimeoutMs, idleTimeoutMs, retries, hashPolicies } = route;
  const [only] = splits;
  const plain = splits.length === 1 && only !== undefined && !changes(only);
  return create(RouteActionSchema, {
    clusterSpecifier: plain
      ? { case: 'cluster', value: clusterOf(only.destination) }
      : { case: 'weightedClusters', value: { clusters: splits.map((split) => weighted(split, clusterOf)) } },
    ...(prefixRewrite === undefined || match.path === undefined || match.path.type === 'regex'
      ? {}
      : { prefixRewrite }),
    timeout: millis(requestTimeoutMs),
    ...(idleTimeoutMs === undefined ? {} : { idleTimeout: millis(idleTimeoutMs) }),
    retryPolicy: retryPolicy(retries),
    hashPolicy: hashPolicies.map(hashPolicy),
  });
}

function changes({ requestHeaders, responseHeaders }: Split): boolean {
  return [requestHeaders, responseHeaders].some(({ add, set, remove }) => add.length + set.length + remove.length > 0);
}

function weighted(split: Split, clusterOf: (id: string) => string): WeightedCluster_ClusterWeight {
  return create(WeightedCluster_ClusterWeightSchema, {
    name: clusterOf(split.destination),
    weight: split.weight,
    ...requestChanges(split.requestHeaders),
    ...responseChanges(split.responseHeaders),
  });
}

const CONNECT_FAILURE = 'connect-failure';
/** Beside the first attempt, for a request whose connection could not be made: nothing of it was sent. */
const CONNECT_RETRIES = 2;

/** Pauses long enough that an instance which failed was left out meanwhile, and another target is tried. */
function retryPolicy(retries: Retries | undefined): RetryPolicy {
  return create(RetryPolicySchema, {
    retryOn: [...new Set([...(retries?.on ?? []), CONNECT_FAILURE])].join(','),
    numRetries: retries?.count ?? CONNECT_RETRIES,
    retriableStatusCodes: [...(retries?.statusCodes ?? [])],
    retryBackOff: { baseInterval: millis(20), maxInterval: millis(200) },
  });
}

function hashPolicy(policy: HashPolicy): RouteAction_HashPolicy {
  const terminal = policy.terminal === true;
  const made = (policySpecifier: NonNullable<HashPolicyInit['policySpecifier']>): RouteAction_HashPolicy =>
    create(RouteAction_HashPolicySchema, { policySpecifier, terminal });
  switch (policy.type) {
    case 'header':
      return made({ case: 'header', value: { headerName: policy.name } });
    case 'query':
      return made({ case: 'queryParameter', value: { name: policy.name } });
    case 'cookie': {
      const { name, ttlMs, path = '' } = policy;
      const ttl = ttlMs === undefined ? {} : { ttl: millis(ttlMs) };
      return made({ case: 'cookie', value: { name, path, ...ttl } });
    }
    case 'source ip':
      return made({ case: 'connectionProperties', value: { sourceIp: true } });
  }
}

type HashPolicyInit = Exclude<MessageInitShape<typeof RouteAction_HashPolicySchema>, RouteAction_HashPolicy>;

function requestChanges({ add, set, remove }: HeaderChanges) {
  return { requestHeadersToAdd: [...lines(add, false), ...lines(set, true)], requestHeadersToRemove: [...remove] };
}

function responseChanges({ add, set, remove }: HeaderChanges) {
  return { responseHeadersToAdd: [...lines(add, false), ...lines(set, true)], responseHeadersToRemove: [...remove] };
}

function lines(given: HeaderChanges['add'], instead: boolean): readonly HeaderValueOption[] {
  return given.map(([key, value]) =>
    create(HeaderValueOptionSchema, {
      header: { key, value: value.replaceAll('%', '%%') }, // no command of Envoy's
      appendAction: instead ? Append.OVERWRITE_IF_EXISTS_OR_ADD : Append.APPEND_IF_EXISTS_OR_ADD,
      keepEmptyValue: true,
    }),
  );
}
