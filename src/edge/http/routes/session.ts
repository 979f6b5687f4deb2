import { tryParseDuration } from '../../../lib/duration.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import type { SessionRequest } from '../../../model/kv.ts';
import { asList, asString, asStruct, type Decoder, decodeBody } from '../decode.ts';
import { readRoute } from '../read-route.ts';
import { type ApiRequest, jsonResponse, type Route, textResponse } from '../route.ts';
import { writeRoute } from '../write-route.ts';
import type { CatalogRouteDeps } from './catalog.ts';
import { required } from './list-args.ts';

const MISSING = 'Missing session';

/** /v1/session */
export function sessionRoutes(deps: CatalogRouteDeps): readonly Route[] {
  const { nodeName } = deps;
  return [
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/session/create',
      about: 'Create a session, which can hold locks for as long as its node and its checks live.',
      acl: 'session:write',
      write: 'sessions.create',
      args: (request) => createArgs(request, nodeName),
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/session/destroy/*session',
      about: 'End a session and let go of its locks.',
      acl: 'session:write',
      write: 'sessions.destroy',
      args: ({ params }) => ({ id: required(params.session, MISSING) }),
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/session/renew/*session',
      about: 'Begin the time of a session with a TTL anew.',
      acl: 'session:write',
      write: 'sessions.renew',
      args: ({ params }) => ({ id: required(params.session, MISSING) }),
      render: (sessions, { id }) =>
        sessions.length === 0 ? textResponse(404, `Session id '${id}' not found`) : jsonResponse(sessions),
    }),
    readRoute(deps, {
      path: '/v1/session/info/*session',
      about: 'One session, in a list; an empty list when it does not exist.',
      acl: 'session:read',
      read: 'sessions.info',
      args: (params) => ({ id: required(params.session, MISSING) }),
      meta: 'index',
      metaOnError: true,
    }),
    readRoute(deps, {
      path: '/v1/session/node/*node',
      about: 'The sessions of a node.',
      acl: 'session:read',
      read: 'sessions.node',
      args: (params) => ({ node: required(params.node, 'Missing node name') }),
      meta: 'index',
      metaOnError: true,
    }),
    readRoute(deps, {
      path: '/v1/session/list',
      about: 'All sessions of a datacenter.',
      acl: 'session:read',
      read: 'sessions.list',
      args: () => ({}),
      meta: 'index',
      metaOnError: true,
    }),
  ];
}

/** The check of the node's own life, which a session depends on unless it says otherwise. */
const NODE_ALIVE = 'serfHealth';

function createArgs(request: ApiRequest, nodeName: string): SessionRequest {
  const given = request.body.length === 0 ? {} : decodeBody(request, SESSION);
  const { Name, Node, LockDelay, Behavior, TTL, ServiceChecks } = given;
  const NodeChecks = given.Checks !== undefined && given.Checks.length > 0 ? given.Checks : given.NodeChecks;
  return {
    Node: Node ?? nodeName,
    ...(Name === undefined ? undefined : { Name }),
    ...(LockDelay === undefined ? undefined : { LockDelay }),
    ...(Behavior === undefined ? undefined : { Behavior }),
    ...(TTL === undefined ? undefined : { TTL }),
    NodeChecks: NodeChecks ?? given.Checks ?? [NODE_ALIVE],
    ...(ServiceChecks === undefined
      ? undefined
      : {
          ServiceChecks: ServiceChecks.map(({ ID = '', Namespace }) =>
            Namespace === undefined ? { ID } : { ID, Namespace },
          ),
        }),
  };
}

/** Nanoseconds of a duration. As in Consul, what is less than 1,000 was meant in seconds. */
const LOCK_DELAY: Decoder<number> = {
  decode(value) {
    if (value === null) return undefined;
    if (typeof value !== 'number' && typeof value !== 'string')
      throw new IsthmusError('invalid_argument', 'LockDelay is a duration such as "15s", or a number');
    const ms = typeof value === 'string' ? tryParseDuration(value) : value / 1e6;
    if (ms === undefined) throw new IsthmusError('invalid_argument', `time: invalid duration ${JSON.stringify(value)}`);
    const ns = Math.round(ms * 1e6);
    return ns < 1_000 ? ns * 1e9 : ns;
  },
};

const SESSION = asStruct('structs.Session', {
  Name: asString,
  Node: asString,
  LockDelay: LOCK_DELAY,
  Behavior: asString,
  TTL: asString,
  Checks: asList(asString),
  NodeChecks: asList(asString),
  ServiceChecks: asList(
    asStruct('structs.ServiceCheck', { ID: asString, Namespace: asString }),
    '[]structs.ServiceCheck',
  ),
});
