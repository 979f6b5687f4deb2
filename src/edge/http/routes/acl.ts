import { createHash } from 'node:crypto';
import { aclRead } from '../../../agent/access/rules.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import type { AclPolicyInput, AclRoleInput, AclTokenInput } from '../../../model/acl.ts';
import { ruleWarnings } from '../../../model/acl-rule-kinds.ts';
import {
  checkTemplatedPolicy,
  renderTemplate,
  templatedPolicies,
  templatedPolicy,
} from '../../../model/templated-policies.ts';
import {
  asAny,
  asBool,
  asDuration,
  asInt,
  asList,
  asString,
  asStruct,
  decodeBody,
  type StructOptions,
} from '../decode.ts';
import type { Query } from '../query.ts';
import { type ReadRouteDeps, readRoute } from '../read-route.ts';
import { type ApiRequest, jsonResponse, type QueryParameter, type Route } from '../route.ts';
import { withWarnings } from '../warnings.ts';
import { writeRoute } from '../write-route.ts';

const OF_POLICY: QueryParameter = { name: 'policy', about: 'Only those that name the policy with this ID.' };
const OF_ROLE: QueryParameter = { name: 'role', about: 'Only those that name the role with this ID.' };

const OF_SERVICE: QueryParameter = { name: 'servicename', about: 'Only those with an identity of this service.' };
const OF_METHOD: QueryParameter = { name: 'authmethod', about: 'Refused: there are no auth methods.' };

/** /v1/acl */
export function aclRoutes(deps: ReadRouteDeps): readonly Route[] {
  const none = (): Record<never, never> => ({});
  return [
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/acl/bootstrap',
      about: 'Make the first token, which may do everything; possible once.',
      acl: 'none',
      write: 'acl.bootstrap',
      args: none,
    }),
    readRoute(deps, {
      path: '/v1/acl/replication',
      about: 'How far policies, roles and tokens of the primary are replicated.',
      acl: 'none',
      read: 'acl.replication',
      args: none,
      meta: 'none',
    }),
    ...tokenRoutes(deps),
    ...policyRoutes(deps),
    ...roleRoutes(deps),
    ...templateRoutes(),
  ];
}

function templateRoutes(): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/acl/templated-policies',
      about: 'The templates of policies that tokens and roles can name, by name.',
      acl: 'acl:read',
      rule: aclRead,
      handle: () => jsonResponse(templatedPolicies()),
    },
    {
      method: 'GET',
      path: '/v1/acl/templated-policy/name/*name',
      about: 'One template.',
      acl: 'acl:read',
      rule: aclRead,
      handle: ({ params }) => jsonResponse(templatedPolicy(given(params.name, 'templated policy Name'))),
    },
    {
      method: 'POST',
      path: '/v1/acl/templated-policy/preview/*name',
      about: 'The policy that a template comes to with the variables of the body.',
      acl: 'acl:read',
      rule: aclRead,
      handle(request) {
        const { Name } = request.body.length === 0 ? {} : decodeBody(request, VARIABLES);
        const TemplateName = templatedPolicy(given(request.params.name, 'templated policy Name')).TemplateName;
        const policy = checkTemplatedPolicy(
          { TemplateName, TemplateVariables: { ...(Name && { Name }) } },
          'body',
          false,
        );
        const Rules = renderTemplate(policy);
        const Hash = createHash('sha256').update(Rules).digest('base64');
        const id = createHash('sha256').update(TemplateName).update(Rules).digest('hex').slice(0, 32);
        return jsonResponse({
          ID: id,
          Name: `synthetic-policy-${id}`,
          Description: `synthetic policy generated from templated policy: ${TemplateName}`,
          Rules,
          Hash,
          CreateIndex: 0,
          ModifyIndex: 0,
        });
      },
    },
  ];
}

function tokenRoutes(deps: ReadRouteDeps): readonly Route[] {
  const accessor = (params: Readonly<Record<string, string>>): string => given(params.accessor, 'token AccessorID');
  return [
    readRoute(deps, {
      path: '/v1/acl/tokens',
      about: 'All tokens, without their secrets.',
      acl: 'acl:read',
      read: 'acl.tokens',
      query: [OF_POLICY, OF_ROLE, OF_SERVICE, OF_METHOD],
      args(_params, query) {
        const method = query.text('authmethod');
        if (method !== '') throw badRequest(`there are no auth methods, so no token is of ${JSON.stringify(method)}`);
        const serviceName = query.text('servicename');
        return {
          ...textArg(query, 'policy'),
          ...textArg(query, 'role'),
          ...(serviceName === '' ? {} : { serviceName }),
        };
      },
      meta: 'index',
      metaOnError: true,
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/acl/token',
      about: 'Create a token; a global one is made by the primary.',
      acl: 'acl:write',
      write: 'acl.createToken',
      args: (request) => ({ token: tokenOf(request) }),
    }),
    readRoute(deps, {
      path: '/v1/acl/token/self',
      about: 'The token that the request carries.',
      acl: 'none',
      read: 'acl.tokenSelf',
      args: () => ({}),
      meta: 'index',
    }),
    readRoute(deps, {
      path: '/v1/acl/token/:accessor',
      about: 'One token by its accessor.',
      acl: 'acl:read',
      read: 'acl.token',
      args: (params) => ({ accessor: accessor(params) }),
      meta: 'index',
      metaOnError: true,
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/acl/token/:accessor',
      about: 'Change a token.',
      acl: 'acl:write',
      write: 'acl.updateToken',
      args(request) {
        const token = tokenOf(request);
        const AccessorID = accessor(request.params);
        if (token.AccessorID !== undefined && token.AccessorID !== '' && token.AccessorID !== AccessorID)
          throw badRequest('Token accessor ID in URL and payload do not match');
        return { token: { ...token, AccessorID } };
      },
    }),
    writeRoute(deps, {
      method: 'DELETE',
      path: '/v1/acl/token/:accessor',
      about: 'Delete a token.',
      acl: 'acl:write',
      write: 'acl.deleteToken',
      args: ({ params }) => ({ accessor: accessor(params) }),
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/acl/token/:accessor/clone',
      about: 'Create a token with the grants of another.',
      acl: 'acl:write',
      write: 'acl.cloneToken',
      args(request) {
        const description = request.body.length === 0 ? undefined : tokenOf(request).Description;
        return { accessor: accessor(request.params), ...(description === undefined ? {} : { description }) };
      },
    }),
  ];
}

function policyRoutes(deps: ReadRouteDeps): readonly Route[] {
  return [
    readRoute(deps, {
      path: '/v1/acl/policies',
      about: 'All policies, without their rules.',
      acl: 'acl:read',
      read: 'acl.policies',
      args: () => ({}),
      meta: 'index',
      metaOnError: true,
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/acl/policy',
      about: 'Create a policy; the primary decides.',
      acl: 'acl:write',
      write: 'acl.setPolicy',
      args: (request) => ({ policy: created(decodeBody(request, POLICY, POLICY_FAULT), 'policy') as AclPolicyInput }),
      render: (done, { policy }) => withWarnings(jsonResponse(done), ruleWarnings(policy.Rules ?? '')),
    }),
    readRoute(deps, {
      path: '/v1/acl/policy/:id',
      about: 'One policy by its ID.',
      acl: 'acl:read',
      read: 'acl.policy',
      args: (params) => ({ id: given(params.id, 'policy ID') }),
      meta: 'index',
      metaOnError: true,
    }),
    readRoute(deps, {
      path: '/v1/acl/policy/name/:name',
      about: 'One policy by its name.',
      acl: 'acl:read',
      read: 'acl.policy',
      args: (params) => ({ name: given(params.name, 'policy Name') }),
      meta: 'index',
      metaOnError: true,
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/acl/policy/:id',
      about: 'Change a policy; the primary decides.',
      acl: 'acl:write',
      write: 'acl.setPolicy',
      args: (request) => ({
        policy: identified(decodeBody(request, POLICY, POLICY_FAULT), request, 'Policy') as AclPolicyInput,
      }),
      render: (done, { policy }) => withWarnings(jsonResponse(done), ruleWarnings(policy.Rules ?? '')),
    }),
    writeRoute(deps, {
      method: 'DELETE',
      path: '/v1/acl/policy/:id',
      about: 'Delete a policy; the primary decides.',
      acl: 'acl:write',
      write: 'acl.deletePolicy',
      args: ({ params }) => ({ id: given(params.id, 'policy ID') }),
    }),
  ];
}

function roleRoutes(deps: ReadRouteDeps): readonly Route[] {
  return [
    readRoute(deps, {
      path: '/v1/acl/roles',
      about: 'All roles.',
      acl: 'acl:read',
      read: 'acl.roles',
      query: [OF_POLICY],
      args: (_params, query) => textArg(query, 'policy'),
      meta: 'index',
      metaOnError: true,
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/acl/role',
      about: 'Create a role; the primary decides.',
      acl: 'acl:write',
      write: 'acl.setRole',
      args: (request) => ({ role: created(decodeBody(request, ROLE, ROLE_FAULT), 'role') as AclRoleInput }),
    }),
    readRoute(deps, {
      path: '/v1/acl/role/:id',
      about: 'One role by its ID.',
      acl: 'acl:read',
      read: 'acl.role',
      args: (params) => ({ id: given(params.id, 'role ID') }),
      meta: 'index',
      metaOnError: true,
    }),
    readRoute(deps, {
      path: '/v1/acl/role/name/:name',
      about: 'One role by its name.',
      acl: 'acl:read',
      read: 'acl.role',
      args: (params) => ({ name: given(params.name, 'role Name') }),
      meta: 'index',
      metaOnError: true,
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/acl/role/:id',
      about: 'Change a role; the primary decides.',
      acl: 'acl:write',
      write: 'acl.setRole',
      args: (request) => ({ role: identified(decodeBody(request, ROLE, ROLE_FAULT), request, 'Role') as AclRoleInput }),
    }),
    writeRoute(deps, {
      method: 'DELETE',
      path: '/v1/acl/role/:id',
      about: 'Delete a role; the primary decides.',
      acl: 'acl:write',
      write: 'acl.deleteRole',
      args: ({ params }) => ({ id: given(params.id, 'role ID') }),
    }),
  ];
}

const POLICY_FAULT = 'Policy decoding failed: ';
const ROLE_FAULT = 'Role decoding failed: ';
const TOKEN_FAULT = 'Token decoding failed: ';

const LINKS = asList(
  asStruct('structs.ACLLink', { ID: asString, Name: asString }, { unknown: 'ignore' }),
  '[]structs.ACLLink',
);

/** Who may do what must not depend on a field that is not understood. */
const STRICT: StructOptions = { unknown: 'refuse' };

const VARIABLES = asStruct('structs.ACLTemplatedPolicyVariables', { Name: asString }, STRICT);

const GRANTS = {
  Policies: LINKS,
  ServiceIdentities: asList(
    asStruct('structs.ACLServiceIdentity', { ServiceName: asString, Datacenters: asList(asString) }, STRICT),
    '[]*structs.ACLServiceIdentity',
  ),
  NodeIdentities: asList(
    asStruct('structs.ACLNodeIdentity', { NodeName: asString, Datacenter: asString }, STRICT),
    '[]*structs.ACLNodeIdentity',
  ),
  TemplatedPolicies: asList(
    asStruct(
      'structs.ACLTemplatedPolicy',
      { TemplateID: asString, TemplateName: asString, TemplateVariables: VARIABLES, Datacenters: asList(asString) },
      STRICT,
    ),
    '[]*structs.ACLTemplatedPolicy',
  ),
};

/** What every object shows and no client sets; clients send it back. */
const SHOWN = { Hash: asAny, CreateIndex: asInt, ModifyIndex: asInt, Namespace: asString, Partition: asString };

const POLICY = asStruct(
  'structs.ACLPolicy',
  {
    ID: asString,
    Name: asString,
    Description: asString,
    Rules: asString,
    Datacenters: asList(asString),
    ...SHOWN,
  },
  STRICT,
);

const ROLE = asStruct(
  'structs.ACLRole',
  { ID: asString, Name: asString, Description: asString, ...GRANTS, ...SHOWN },
  STRICT,
);

const TOKEN = asStruct(
  'structs.ACLToken',
  {
    AccessorID: asString,
    SecretID: asString,
    Description: asString,
    ...GRANTS,
    Roles: LINKS,
    Local: asBool,
    ExpirationTime: asString,
    ExpirationTTL: asDuration,
    AuthMethod: asString,
    AuthMethodNamespace: asString,
    CreateTime: asString,
    ...SHOWN,
  },
  { ...STRICT, harmless: ['Name'] },
);

function tokenOf(request: ApiRequest): AclTokenInput {
  return decodeBody(request, TOKEN, TOKEN_FAULT) as AclTokenInput;
}

function created<T extends { readonly ID?: string }>(object: T, what: string): T {
  if (object.ID !== undefined && object.ID !== '')
    throw badRequest(`Cannot specify the ID when creating a new ${what}`);
  return object;
}

function identified<T extends { readonly ID?: string }>(object: T, { params }: ApiRequest, what: string): T {
  const id = given(params.id, `${what.toLowerCase()} ID`);
  if (object.ID !== undefined && object.ID !== '' && object.ID !== id)
    throw badRequest(`${what} ID in URL and payload do not match`);
  return { ...object, ID: id };
}

function given(value: string | undefined, what: string): string {
  if (value === undefined || value === '') throw badRequest(`Bad request: Missing ${what}`);
  return value;
}

function textArg<N extends string>(query: Query, name: N): { readonly [K in N]?: string } {
  const text = query.text(name);
  return (text === '' ? {} : { [name]: text }) as { readonly [K in N]?: string };
}

function badRequest(text: string): IsthmusError {
  return new IsthmusError('invalid_argument', text);
}
