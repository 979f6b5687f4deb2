import { BY_PART, checksRead, checkWrite } from '../../../agent/access/rules.ts';
import type { LocalState } from '../../../agent/local/types.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import { healthCheckFilter } from '../../../model/filter/schemas.ts';
import { checkDefinition } from '../../../model/registration/definitions.ts';
import { asString, asStruct, decodeBody } from '../decode.ts';
import { EMPTY, jsonResponse, type Route } from '../route.ts';

export interface AgentCheckRouteDeps {
  readonly local: LocalState;
}

const UPDATE = asStruct('agent.checkUpdate', { Status: asString, Output: asString });

/** /v1/agent/checks and /v1/agent/check */
export function agentCheckRoutes({ local }: AgentCheckRouteDeps): readonly Route[] {
  const verdict = (word: string, status: string): Route => ({
    method: 'PUT',
    path: `/v1/agent/check/${word}/*id`,
    about: `Say of a TTL check that it is ${status}.`,
    acl: 'service:write',
    rule: checkWrite,
    query: [{ name: 'note', about: 'Becomes the check’s output.' }],
    handle: ({ params, query }) => {
      local.updateTtl(params.id ?? '', status, query.text('note'));
      return EMPTY;
    },
  });
  return [
    {
      method: 'GET',
      path: '/v1/agent/checks',
      about: 'Checks registered with this agent, by ID.',
      acl: 'service:read',
      rule: checksRead,
      query: [{ name: 'filter', about: 'Only those that match the expression.' }],
      handle: ({ query }) => {
        const kept = healthCheckFilter.apply(query.get('filter'), local.checks());
        return jsonResponse(Object.fromEntries(kept.map((check) => [check.CheckID, check])));
      },
    },
    {
      method: 'PUT',
      path: '/v1/agent/check/register',
      about: 'Register a check of the node, or of a service of this agent.',
      acl: 'service:write',
      rule: BY_PART,
      handle: async (request) => {
        const definition = decodeBody(request, checkDefinition);
        await local.registerCheck(definition, request.token === undefined ? {} : { token: request.token });
        return EMPTY;
      },
    },
    {
      method: 'PUT',
      path: '/v1/agent/check/deregister/*id',
      about: 'Remove a check from this agent.',
      acl: 'service:write',
      rule: checkWrite,
      handle: async ({ params }) => {
        await local.deregisterCheck(params.id ?? '');
        return EMPTY;
      },
    },
    verdict('pass', 'passing'),
    verdict('warn', 'warning'),
    verdict('fail', 'critical'),
    {
      method: 'PUT',
      path: '/v1/agent/check/update/*id',
      about: 'Say how a TTL check is, with its output in the body.',
      acl: 'service:write',
      rule: checkWrite,
      handle: (request) => {
        const { Status = '', Output = '' } = decodeBody(request, UPDATE);
        if (!['passing', 'warning', 'critical'].includes(Status))
          throw new IsthmusError('invalid_argument', `Invalid check status: '${Status}'`);
        local.updateTtl(request.params.id ?? '', Status, Output);
        return EMPTY;
      },
    },
  ];
}
