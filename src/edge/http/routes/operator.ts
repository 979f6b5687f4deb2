import { BY_SERVERS, operatorRead, operatorWrite } from '../../../agent/access/rules.ts';
import { formatDuration } from '../../../lib/duration.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import { AUTOPILOT_WITHOUT_EFFECT, type AutopilotConfigInput } from '../../../model/autopilot.ts';
import { parseUnsigned } from '../consistency.ts';
import { asBool, asDuration, asInt, asString, asStruct, type Decoder, decodeBody } from '../decode.ts';
import { type ReadRouteDeps, readRoute } from '../read-route.ts';
import { EMPTY, jsonResponse, type Method, type Route } from '../route.ts';
import { withWarnings } from '../warnings.ts';
import { callOptions, DATACENTER, writeRoute } from '../write-route.ts';

/** /v1/operator: what operators' tools ask about the servers. */
export function operatorRoutes(deps: ReadRouteDeps): readonly Route[] {
  const args = (): Record<never, never> => NO_ARGS;
  return [
    readRoute(deps, {
      path: '/v1/operator/raft/configuration',
      about: 'The datacenter’s servers in the form of Consul’s Raft configuration.',
      acl: 'operator:read',
      read: 'operator.raftConfiguration',
      args,
      meta: 'none',
    }),
    writeRoute(deps, {
      method: 'DELETE',
      path: '/v1/operator/raft/peer',
      about: 'Take a server that has failed off the list; one that lives is refused.',
      acl: 'operator:write',
      write: 'operator.removeServer',
      query: [
        { name: 'id', about: 'Node ID of the server.' },
        { name: 'address', about: 'Its address with port.' },
      ],
      args({ query }) {
        const [id, address] = [query.text('id'), query.text('address')];
        if (id === '' && address === '')
          throw badRequest("Must specify either ?id with the server's ID or ?address with IP:port of peer to remove");
        if (id !== '' && address !== '') throw badRequest('Must specify only one of ?id or ?address');
        return id === '' ? { address } : { id };
      },
      render: () => EMPTY,
    }),
    writeRoute(deps, {
      method: 'POST',
      path: '/v1/operator/raft/transfer-leader',
      about: 'The leader gives it up, and another server leads; which one can’t be chosen.',
      acl: 'operator:write',
      write: 'operator.transferLeader',
      query: [{ name: 'id', about: 'Refused: the server that is first leads.' }],
      args({ query }) {
        if (query.text('id') !== '')
          throw badRequest('the next leader can not be chosen: the first of the other servers leads; leave out ?id');
        return NO_ARGS;
      },
      render: () => jsonResponse({ Success: true }),
    }),
    readRoute(deps, {
      path: '/v1/operator/autopilot/configuration',
      about: 'Autopilot’s configuration as it was set; nothing acts on it.',
      acl: 'operator:read',
      read: 'operator.autopilotConfiguration',
      args,
      meta: 'none',
    }),
    {
      method: 'PUT',
      path: '/v1/operator/autopilot/configuration',
      about: 'Set autopilot’s configuration; it is kept and shown, and nothing acts on it.',
      acl: 'operator:write',
      rule: BY_SERVERS,
      query: [DATACENTER, { name: 'cas', about: 'Only over the configuration with this ModifyIndex.' }],
      async handle(request) {
        const config = decodeBody(request, AUTOPILOT, 'Bad request: Error parsing autopilot config: ');
        const { CreateIndex: _created, ModifyIndex: _modified, ...given } = config;
        const text = request.query.text('cas');
        const cas = text === '' ? undefined : parseUnsigned(text);
        if (text !== '' && cas === undefined)
          throw badRequest(
            `Error parsing cas value: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
          );
        const { value } = await deps.contract.write(
          'operator.setAutopilot',
          { config: given as AutopilotConfigInput, ...(cas === undefined ? {} : { cas }) },
          callOptions(request),
        );
        return withWarnings(jsonResponse(value), value ? [AUTOPILOT_WITHOUT_EFFECT] : []);
      },
    },
    readRoute(deps, {
      path: '/v1/operator/autopilot/health',
      about: 'Health of the datacenter’s servers.',
      acl: 'operator:read',
      read: 'operator.autopilotHealth',
      args,
      meta: 'none',
    }),
    readRoute(deps, {
      path: '/v1/operator/autopilot/state',
      about: 'The datacenter’s servers as Consul’s autopilot shows them.',
      acl: 'operator:read',
      read: 'operator.autopilotState',
      args,
      meta: 'none',
    }),
    readRoute(deps, {
      path: '/v1/operator/usage',
      about: 'How many nodes, services and instances there are in one datacenter.',
      acl: 'operator:read',
      read: 'operator.usage',
      args,
      meta: 'index',
    }),
    {
      method: 'GET',
      path: '/v1/operator/keyring',
      about: 'Keys of the gossip: there is no gossip, so there are none.',
      acl: 'operator:read',
      rule: operatorRead,
      handle: () => jsonResponse([]),
    },
    ...(['POST', 'PUT', 'DELETE'] as const).map(keyringChange),
  ];
}

function keyringChange(method: Method): Route {
  return {
    method,
    path: '/v1/operator/keyring',
    about: 'Refused: there is no gossip to be encrypted.',
    acl: 'operator:write',
    rule: operatorWrite,
    handle() {
      throw badRequest(
        'there is no gossip, so there are no keys: agents and servers talk TLS; see secure-transport.md',
      );
    },
  };
}

const NO_ARGS: Record<never, never> = Object.freeze({});

/** Text or a number of nanoseconds, as Go's text. */
const asDurationText: Decoder<string> = {
  decode(value, where) {
    const ms = asDuration.decode(value, where);
    return ms === undefined ? undefined : formatDuration(ms);
  },
};

const AUTOPILOT = asStruct('structs.AutopilotConfig', {
  CleanupDeadServers: asBool,
  LastContactThreshold: asDurationText,
  MaxTrailingLogs: asInt,
  MinQuorum: asInt,
  ServerStabilizationTime: asDurationText,
  RedundancyZoneTag: asString,
  DisableUpgradeMigration: asBool,
  UpgradeVersionTag: asString,
  CreateIndex: asInt,
  ModifyIndex: asInt,
});

function badRequest(text: string): IsthmusError {
  return new IsthmusError('invalid_argument', `Bad request: ${text}`);
}
