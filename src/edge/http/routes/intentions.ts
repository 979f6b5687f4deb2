import { IsthmusError } from '../../../lib/errors.ts';
import type { Intention } from '../../../model/intention.ts';
import type { ExplainArgs, IntentionPair } from '../../../model/requests.ts';
import { asAny, asInt, asList, asMap, asString, asStruct, decodeBody } from '../decode.ts';
import type { Query } from '../query.ts';
import { type ReadRouteDeps, readRoute } from '../read-route.ts';
import type { QueryParameter, Route } from '../route.ts';
import { writeRoute } from '../write-route.ts';
import { filterArgs } from './list-args.ts';

const PAIR: readonly QueryParameter[] = [
  { name: 'source', about: 'Source service, or *.' },
  { name: 'destination', about: 'Destination service, or *.' },
  { name: 'source-dc', about: 'Source datacenter; absent means any.' },
  { name: 'destination-dc', about: 'Destination datacenter; absent means any.' },
];

/** /v1/connect/intentions and /v1/internal/explain */
export function intentionRoutes(deps: ReadRouteDeps): readonly Route[] {
  return [
    readRoute(deps, {
      path: '/v1/connect/intentions',
      about: 'All intentions, those with the highest precedence first.',
      acl: 'intentions:read',
      read: 'intentions.list',
      query: [{ name: 'filter', about: 'Expression that each intention must fulfil.' }],
      args: (_params, query) => filterArgs(query),
      meta: 'index',
    }),
    writeRoute(deps, {
      method: 'POST',
      path: '/v1/connect/intentions',
      about: 'Create an intention; its ID is the answer.',
      acl: 'intentions:write',
      write: 'intentions.create',
      args: (request) => ({ intention: decodeBody(request, INTENTION) as Partial<Intention> }),
    }),
    readRoute(deps, {
      path: '/v1/connect/intentions/match',
      about: 'All intentions that name a service as their source or destination, wildcards included.',
      acl: 'intentions:read',
      read: 'intentions.match',
      query: [
        { name: 'by', about: 'source or destination.' },
        { name: 'name', about: 'Service; may be repeated.' },
      ],
      args: (_params, query) => matchArgs(query),
      meta: 'consistency',
      cached: true,
    }),
    readRoute(deps, {
      path: '/v1/connect/intentions/check',
      about: 'Whether a source may connect to a destination.',
      acl: 'intentions:read',
      read: 'intentions.check',
      query: PAIR,
      args: (_params, query) => pairArgs(query),
      meta: 'none',
    }),
    readRoute(deps, {
      path: '/v1/connect/intentions/exact',
      about: 'The intention with exactly this source and destination.',
      acl: 'intentions:read',
      read: 'intentions.exact',
      query: PAIR,
      args: (_params, query) => pairArgs(query),
      meta: 'none',
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/connect/intentions/exact',
      about: 'Create or replace the intention with exactly this source and destination.',
      acl: 'intentions:write',
      write: 'intentions.upsertExact',
      query: PAIR,
      args: (request) => ({
        ...pairArgs(request.query),
        intention: decodeBody(request, INTENTION, 'Bad request: Request decode failed: ') as Partial<Intention>,
      }),
    }),
    writeRoute(deps, {
      method: 'DELETE',
      path: '/v1/connect/intentions/exact',
      about: 'Delete the intention with exactly this source and destination, if there is one.',
      acl: 'intentions:write',
      write: 'intentions.deleteExact',
      query: PAIR,
      args: (request) => pairArgs(request.query),
    }),
    readRoute(deps, {
      path: '/v1/connect/intentions/*id',
      about: 'One intention by its ID.',
      acl: 'intentions:read',
      read: 'intentions.get',
      args: (params) => ({ id: params.id ?? '' }),
      meta: 'none',
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/connect/intentions/*id',
      about: 'Change an intention by its ID.',
      acl: 'intentions:write',
      write: 'intentions.update',
      args: (request) => ({
        id: request.params.id ?? '',
        intention: decodeBody(request, INTENTION) as Partial<Intention>,
      }),
    }),
    writeRoute(deps, {
      method: 'DELETE',
      path: '/v1/connect/intentions/*id',
      about: 'Delete an intention by its ID.',
      acl: 'intentions:write',
      write: 'intentions.delete',
      args: (request) => ({ id: request.params.id ?? '' }),
    }),
    readRoute(deps, {
      path: '/v1/internal/explain',
      about:
        'Whether a source may connect to a destination, or send a request, which rule decides it, and what would ' +
        'allow it.',
      acl: 'intentions:read',
      read: 'intentions.explain',
      query: [...PAIR, ...REQUEST],
      args: (_params, query) => ({ ...pairArgs(query), ...requestArgs(query) }),
      meta: 'index',
    }),
  ];
}

const INTENTION = asStruct(
  'structs.Intention',
  {
    ID: asString,
    Description: asString,
    SourceNS: asString,
    SourceName: asString,
    SourceDatacenter: asString,
    DestinationNS: asString,
    DestinationName: asString,
    DestinationDatacenter: asString,
    SourceType: asString,
    Action: asString,
    Permissions: asList(asMap(asAny, 'structs.IntentionPermission'), '[]*structs.IntentionPermission'),
    DefaultAddr: asString,
    DefaultPort: asInt,
    Meta: asMap(asString),
    Precedence: asInt,
    CreatedAt: asString,
    UpdatedAt: asString,
    Hash: asString,
    CreateIndex: asInt,
    ModifyIndex: asInt,
  },
  { unknown: 'refuse' },
);

function matchArgs(query: Query): { by: 'source' | 'destination'; names: readonly string[] } {
  const by = single(query, 'by');
  if (by !== 'source' && by !== 'destination')
    throw new IsthmusError('rejected', "'by' parameter must be one of 'source' or 'destination'");
  const names = query.all('name');
  if (names.length === 0) throw missing('name');
  return { by, names: names.map((name) => serviceName(name, 'name')) };
}

const REQUEST: readonly QueryParameter[] = [
  { name: 'path', about: 'Path of a request to be decided; absent: the connection is.' },
  { name: 'method', about: 'Its method; default GET.' },
  { name: 'header', about: 'A header of it, `name: value`; may be repeated.' },
];

function requestArgs(query: Query): Pick<ExplainArgs, 'request'> {
  const path = query.text('path');
  if (path === '') return {};
  return { request: { path, method: query.text('method') || 'GET', headers: query.all('header') } };
}

function pairArgs(query: Query): IntentionPair {
  const source = serviceName(single(query, 'source'), 'source');
  const destination = serviceName(single(query, 'destination'), 'destination');
  const sourceDatacenter = query.text('source-dc');
  const destinationDatacenter = query.text('destination-dc');
  return {
    source,
    destination,
    ...(sourceDatacenter === '' ? undefined : { sourceDatacenter }),
    ...(destinationDatacenter === '' ? undefined : { destinationDatacenter }),
  };
}

function single(query: Query, name: string): string {
  const values = query.all(name);
  if (values.length !== 1) throw missing(name);
  return values[0] as string;
}

/** Consul answers 500 to what is wrong with these parameters. */
function missing(name: string): IsthmusError {
  return new IsthmusError('rejected', `required query parameter '${name}' not set`);
}

/** Without the namespace, of which there is one: "default/web" is "web". */
function serviceName(text: string, parameter: string): string {
  const [first, second, ...more] = text.split('/');
  if (second === undefined) return text;
  const fault = more.length > 0 ? "input can contain at most one '/'" : 'there is no namespace but "default"';
  if (first !== 'default' || more.length > 0)
    throw new IsthmusError('rejected', `${parameter} ${JSON.stringify(text)} is invalid: ${fault}`);
  return second;
}
