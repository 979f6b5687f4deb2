import { isIP } from 'node:net';
import { IsthmusError } from '../../../lib/errors.ts';
import type { ExecuteArgs, QueryRequest } from '../../../model/prepared-query.ts';
import { asBool, asInt, asList, asMap, asString, asStruct, decodeBody } from '../decode.ts';
import type { Query } from '../query.ts';
import { readRoute, readRouteOf } from '../read-route.ts';
import { type ApiRequest, EMPTY, type Route } from '../route.ts';
import { translateExecution } from '../translate.ts';
import { writeRoute } from '../write-route.ts';
import type { CatalogRouteDeps } from './catalog.ts';

/** /v1/query */
export function queryRoutes(deps: CatalogRouteDeps): readonly Route[] {
  const agent = { node: deps.nodeName, segment: '' };
  const body = (request: ApiRequest): QueryRequest => decodeBody(request, QUERY) as QueryRequest;
  return [
    readRoute(deps, {
      path: '/v1/query',
      about: 'All prepared queries.',
      acl: 'query:read',
      read: 'queries.list',
      args: () => ({}),
      meta: 'consistency',
      metaOnError: true,
    }),
    writeRoute(deps, {
      method: 'POST',
      path: '/v1/query',
      about: 'Create a prepared query.',
      acl: 'query:write',
      write: 'queries.create',
      args: (request) => ({ query: body(request) }),
    }),
    readRoute(deps, {
      path: '/v1/query/:query',
      about: 'One prepared query by its ID.',
      acl: 'query:read',
      read: 'queries.get',
      args: (params) => ({ id: params.query ?? '' }),
      meta: 'consistency',
      metaOnError: true,
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/query/:query',
      about: 'Replace a prepared query.',
      acl: 'query:write',
      write: 'queries.update',
      args: (request) => ({ id: request.params.query ?? '', query: body(request) }),
      render: () => EMPTY,
    }),
    writeRoute(deps, {
      method: 'DELETE',
      path: '/v1/query/:query',
      about: 'Delete a prepared query.',
      acl: 'query:write',
      write: 'queries.delete',
      args: (request) => ({ id: request.params.query ?? '' }),
      render: () => EMPTY,
    }),
    toldFromAfar(
      deps,
      readRouteOf(
        deps,
        {
          path: '/v1/query/:query/execute',
          about: 'Healthy instances that a query leads to, by its ID or a name; fails over to other datacenters.',
          acl: 'node:read,service:read',
          read: 'queries.execute',
          translate: translateExecution,
          from: ({ Datacenter }) => Datacenter,
          query: [
            { name: 'limit', about: 'At most so many instances.' },
            { name: 'near', about: 'Node whose neighbours come first; _agent is the agent’s own, _ip the caller’s.' },
            { name: 'connect', about: 'true: instances that accept mesh connections.' },
          ],
          args: (params, query) => executeArgs(params.query ?? '', query, agent),
          meta: 'consistency',
          metaOnError: true,
          cached: true,
        },
        (request) => sourceOf(request.remoteAddress, request.header('x-forwarded-for')),
      ),
    ),
    toldFromAfar(
      deps,
      readRoute(deps, {
        path: '/v1/query/:query/explain',
        about: 'The query that an ID or a name leads to, with its template filled in.',
        acl: 'query:read',
        read: 'queries.explain',
        args: (params) => ({ query: params.query ?? '', agent }),
        meta: 'consistency',
        metaOnError: true,
      }),
    ),
    readRoute(deps, {
      path: '/v1/internal/query/:query/forecast',
      about: 'Who serves a query now, and who would if each datacenter were lost.',
      acl: 'query:read',
      read: 'queries.forecast',
      args: (params) => ({ query: params.query ?? '', agent }),
      meta: 'none',
    }),
  ];
}

/** The index of such an answer means nothing, so that it can't be blocked on; what another server says is marked. */
function toldFromAfar(deps: CatalogRouteDeps, route: Route): Route {
  const { prepare: _never, ...rest } = route;
  return {
    ...rest,
    async handle(request) {
      const answer = await route.handle(request);
      const datacenter = request.query.text('dc');
      const headers = { ...answer.headers, 'X-Consul-Index': '1' };
      if (answer.status !== 404 || datacenter === '' || datacenter === deps.datacenter) return { ...answer, headers };
      return { ...answer, headers, text: `rpc error making call: ${answer.text ?? ''}` };
    },
  };
}

/** Where the caller is, for `_ip`: behind proxies, what the first one says. */
function sourceOf(remoteAddress: string, forwardedFor = ''): Pick<ExecuteArgs, 'source'> {
  const [first = ''] = forwardedFor.split(',');
  const source = isIP(first.trim()) === 0 ? remoteAddress.replace(/^::ffff:/, '') : first.trim();
  return source === '' ? {} : { source };
}

function executeArgs(name: string, query: Query, agent: NonNullable<ExecuteArgs['agent']>): ExecuteArgs {
  const limit = parseLimit(query.text('limit'));
  const near = query.text('near');
  return {
    query: name,
    agent,
    ...(limit === undefined || limit === 0 ? undefined : { limit }),
    ...(near === '' ? undefined : { near }),
    ...(query.text('connect') === 'true' ? { connect: true } : undefined),
  };
}

function parseLimit(text: string): number | undefined {
  if (text === '') return undefined;
  if (!/^[-+]?[0-9]{1,15}$/.test(text))
    throw new IsthmusError('rejected', `Bad limit: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Math.max(0, Number(text));
}

const STRING_MAP = asMap(asString);

const QUERY = asStruct('structs.PreparedQuery', {
  ID: asString,
  Name: asString,
  Session: asString,
  Token: asString,
  Template: asStruct('structs.QueryTemplateOptions', {
    Type: asString,
    Regexp: asString,
    RemoveEmptyTags: asBool,
  }),
  Service: asStruct('structs.ServiceQuery', {
    Service: asString,
    Failover: asStruct('structs.QueryDatacenterOptions', {
      NearestN: asInt,
      Datacenters: asList(asString),
      Targets: asList(
        asStruct('structs.QueryFailoverTarget', { Service: asString, Tags: asList(asString), Datacenter: asString }),
        '[]structs.QueryFailoverTarget',
      ),
    }),
    OnlyPassing: asBool,
    IgnoreCheckIDs: asList(asString),
    Near: asString,
    Tags: asList(asString),
    NodeMeta: STRING_MAP,
    ServiceMeta: STRING_MAP,
    Connect: asBool,
  }),
  DNS: asStruct('structs.QueryDNSOptions', { TTL: asString }),
  CreateIndex: asInt,
  ModifyIndex: asInt,
});
