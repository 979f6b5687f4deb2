import { parseFlag } from '../consistency.ts';
import { readRoute } from '../read-route.ts';
import type { QueryParameter, Route } from '../route.ts';
import { textResponse } from '../route.ts';
import { translateInstances } from '../translate.ts';
import type { CatalogRouteDeps } from './catalog.ts';
import { filterArgs, LIST_PARAMETERS, listArgs, required, serviceArgs, TAG_PARAMETER } from './list-args.ts';

const PASSING: QueryParameter = { name: 'passing', about: 'Only instances whose checks all pass.' };

/** /v1/health */
export function healthRoutes(deps: CatalogRouteDeps): readonly Route[] {
  const { nodeName } = deps;
  const instances = (path: string, about: string, connect: boolean): Route =>
    readRoute(deps, {
      path,
      about,
      acl: 'node:read,service:read',
      read: 'health.service',
      translate: translateInstances,
      query: [...LIST_PARAMETERS, TAG_PARAMETER, PASSING],
      args: (params, query) => ({
        ...serviceArgs(params.service ?? '', query, nodeName),
        ...(connect ? { connect } : undefined),
        ...(query.has('passing') && parseFlag(query.text('passing')) ? { passing: true } : undefined),
      }),
      meta: 'consistency',
      metaOnError: true,
      cached: true,
      // Consul looks at ?passing after it has the answer, so this 400 carries the index headers.
      render: (_result, query) =>
        query.has('passing') && parseFlag(query.text('passing')) === undefined
          ? textResponse(400, 'Invalid value for ?passing')
          : undefined,
    });
  return [
    readRoute(deps, {
      path: '/v1/health/node/*node',
      about: 'Checks of a node and of its services.',
      acl: 'node:read,service:read',
      read: 'health.node',
      query: LIST_PARAMETERS.slice(0, 1),
      args: (params, query) => ({ node: required(params.node, 'Missing node name'), ...filterArgs(query) }),
      meta: 'consistency',
      metaOnError: true,
    }),
    readRoute(deps, {
      path: '/v1/health/checks/*service',
      about: 'Checks of all instances of a service.',
      acl: 'node:read,service:read',
      read: 'health.checks',
      query: LIST_PARAMETERS,
      args: (params, query) => ({
        service: required(params.service, 'Missing service name'),
        ...listArgs(query, nodeName),
      }),
      meta: 'consistency',
      metaOnError: true,
    }),
    instances('/v1/health/service/*service', 'Instances of a service with their nodes and checks.', false),
    instances(
      '/v1/health/connect/*service',
      'Instances that accept mesh connections for a service, with their nodes and checks.',
      true,
    ),
    readRoute(deps, {
      path: '/v1/health/state/*state',
      about: 'Checks in a state: any, passing, warning or critical.',
      acl: 'node:read,service:read',
      read: 'health.state',
      query: LIST_PARAMETERS,
      args: (params, query) => ({ state: required(params.state, 'Missing check state'), ...listArgs(query, nodeName) }),
      meta: 'consistency',
      metaOnError: true,
    }),
  ];
}
