import { create } from '@bufbuild/protobuf';
import type { RequestMatch } from '../../../../model/layer7/match.ts';
import { type RouteLimit, rateLimits } from '../../../../model/layer7/rate-limits.ts';
import { isRequestProtocol } from '../../../../model/layer7/route-table.ts';
import { localOptions } from '../../../../model/proxy-options.ts';
import {
  type Route,
  type RouteAction,
  RouteActionSchema,
  RouteSchema,
} from '../../gen/envoy/config/route/v3/route_components_pb.ts';
import { RouteConfigurationSchema } from '../../gen/envoy/config/route/v3/route_pb.ts';
import { resource } from '../../resource.ts';
import type { ResourceBuilder } from '../builder.ts';
import { millis } from '../common.ts';
import { INBOUND_ROUTES, LOCAL_APP } from '../names.ts';
import { routeMatch } from './matchers.ts';
import { rateLimit } from './rate-limits.ts';

/** How requests from others are sent to the application. */
export const inboundRoutes: ResourceBuilder = {
  inputs: ({ config, protocol, entries }) => [config, protocol, entries.service],
  build({ config, protocol, entries }) {
    const { requestTimeoutMs, idleTimeoutMs } = localOptions(config.config);
    if (config.listen === undefined || config.local === undefined || !isRequestProtocol(protocol)) return [];
    // The caller's side bounds requests; none unless asked for, so that streams live.
    const action = create(RouteActionSchema, {
      clusterSpecifier: { case: 'cluster', value: LOCAL_APP },
      timeout: millis(requestTimeoutMs ?? 0),
      ...(idleTimeoutMs === undefined ? {} : { idleTimeout: millis(idleTimeoutMs) }),
    });
    const limits = rateLimits(entries.service);
    const routes = create(RouteConfigurationSchema, {
      name: INBOUND_ROUTES,
      virtualHosts: [
        {
          name: config.service,
          domains: ['*'],
          typedPerFilterConfig: rateLimit(limits),
          routes: [
            ...limits.routes.map((limit) => routeFor(matchOf(limit), action, rateLimit(limit))),
            routeFor({ headers: [], query: [], methods: [] }, action, {}),
          ],
        },
      ],
    });
    return [resource('route', INBOUND_ROUTES, RouteConfigurationSchema, routes)];
  },
};

function matchOf({ path }: RouteLimit): RequestMatch {
  return { path, headers: [], query: [], methods: [] };
}

function routeFor(
  match: RequestMatch,
  action: RouteAction,
  typedPerFilterConfig: Route['typedPerFilterConfig'],
): Route {
  return create(RouteSchema, {
    match: routeMatch(match),
    action: { case: 'route', value: action },
    typedPerFilterConfig,
  });
}
