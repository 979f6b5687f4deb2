import { describe, expect, it } from 'vitest';
import { guardedLocal } from '../../agent/access/guarded-local.ts';
import type { RightsOf } from '../../agent/access/rights-of.ts';
import { agentRead, BY_SERVERS } from '../../agent/access/rules.ts';
import type { LocalState } from '../../agent/local/types.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { ALL_RIGHTS, NO_RIGHTS, type Rights } from '../../model/rights.ts';
import { guardRoutes } from './guard-routes.ts';
import { allRoutes } from './reference.ts';
import type { ApiRequest, Route } from './route.ts';

/** Rights by name: `service:web:write`. */
function rightsTo(...granted: readonly string[]): Rights {
  return {
    everything: false,
    replication: false,
    may: (resource, name, access) =>
      granted.includes(`${resource}:${name}:${access}`) ||
      (access === 'read' && granted.includes(`${resource}:${name}:write`)),
    mayBelow: () => false,
    mayAny: () => false,
    mayAll: () => false,
  };
}

/** Tokens are the right that they carry; expired and deleted ones are not known, as the domain says it. */
const rights: RightsOf = async (token = 'none') => {
  if (token === 'expired' || token === 'deleted') throw new IsthmusError('permission_denied', 'ACL not found');
  if (token === 'none' || token === 'other') return token === 'none' ? NO_RIGHTS : rightsTo('key:x:write');
  return token === 'root' ? ALL_RIGHTS : rightsTo(...token.split(' '));
};

const registered: string[] = [];
const local = {
  synced: true,
  serviceForm: (id: string) => (id === 'web-1' ? { ID: 'web-1', Service: 'web' } : undefined),
  checks: () => [
    { CheckID: 'c-web', ServiceName: 'web' },
    { CheckID: 'c-node', ServiceName: '' },
  ],
  async registerService(definition: { Name?: string }) {
    registered.push(`service ${definition.Name}`);
  },
  async registerCheck(definition: { Name?: string }) {
    registered.push(`check ${definition.Name}`);
  },
} as unknown as LocalState;

interface Row {
  readonly route: string;
  readonly params?: Readonly<Record<string, string>>;
  readonly right: string;
  /** Lists are filtered, not refused: what those see who may see nothing. */
  readonly value?: unknown;
  readonly hidden?: unknown;
  readonly refusal?: string;
}

const WEB = { web: { Service: 'web', ServiceName: 'web' } };
const NO_WEB = 'Permission denied: Missing service:write on web';

const ROWS: readonly Row[] = [
  { route: 'GET /v1/agent/self', right: 'agent:n1:read' },
  { route: 'GET /v1/agent/metrics', right: 'agent:n1:read' },
  { route: 'GET /v1/agent/monitor', right: 'agent:n1:read' },
  { route: 'GET /v1/agent/members', right: 'node:n1:read', value: [{ Name: 'n1' }], hidden: [] },
  { route: 'PUT /v1/agent/reload', right: 'agent:n1:write' },
  { route: 'PUT /v1/agent/leave', right: 'agent:n1:write' },
  { route: 'PUT /v1/agent/join/*address', right: 'agent:n1:write' },
  { route: 'PUT /v1/agent/force-leave/*node', right: 'operator::write' },
  { route: 'PUT /v1/agent/token/:kind', right: 'agent:n1:write' },
  { route: 'GET /v1/agent/services', right: 'service:web:read', value: WEB, hidden: {} },
  { route: 'GET /v1/agent/checks', right: 'service:web:read', value: WEB, hidden: {} },
  { route: 'GET /v1/agent/service/*id', params: { id: 'web-1' }, right: 'service:web:read' },
  { route: 'GET /v1/agent/health/service/id/*id', params: { id: 'web-1' }, right: 'service:web:read' },
  { route: 'GET /v1/agent/health/service/name/*name', params: { name: 'web' }, right: 'service:web:read' },
  {
    route: 'PUT /v1/agent/service/deregister/*id',
    params: { id: 'web-1' },
    right: 'service:web:write',
    refusal: NO_WEB,
  },
  {
    route: 'PUT /v1/agent/service/maintenance/*id',
    params: { id: 'web-1' },
    right: 'service:web:write',
    refusal: NO_WEB,
  },
  { route: 'PUT /v1/agent/maintenance', right: 'node:n1:write' },
  ...['deregister', 'update', 'pass', 'warn', 'fail'].map((word) => ({
    route: `PUT /v1/agent/check/${word}/*id`,
    params: { id: 'c-web' },
    right: 'service:web:write',
    refusal: NO_WEB,
  })),
  {
    route: 'PUT /v1/agent/check/pass/*id',
    params: { id: 'c-node' },
    right: 'node:n1:write',
    refusal: 'Permission denied: Missing node:write on n1',
  },
  { route: 'GET /v1/internal/links', right: 'operator::read' },
];

async function ask({ route: text, params = {}, value = 'shown' }: Row, token?: string): Promise<unknown> {
  const [method = '', path = ''] = text.split(' ');
  let ran = false;
  const served = allRoutes().find((one) => one.method === method && one.path === path) as Route;
  const handle = () => {
    ran = true;
    return { json: value };
  };
  const [guarded] = guardRoutes([{ ...served, handle }], { rights, local, nodeName: 'n1' });
  const request = { params, signal: new AbortController().signal, token } as unknown as ApiRequest;
  try {
    return (await guarded?.handle(request))?.json;
  } catch (error) {
    expect(ran).toBe(false);
    expect(error).toMatchObject({ code: 'permission_denied' });
    return (error as IsthmusError).message;
  }
}

describe.each(ROWS)('$route', (row) => {
  const unseen = 'hidden' in row ? row.hidden : (row.refusal ?? 'Permission denied');
  it.each([
    ['no token', undefined, unseen],
    ['a token without the right', 'other', unseen],
    ['a token with the right', row.right, row.value ?? 'shown'],
    ['a token that may do everything', 'root', row.value ?? 'shown'],
    ['an expired token', 'expired', 'ACL not found'],
    ['a deleted token', 'deleted', 'ACL not found'],
  ])('with %s', async (_what, token, expected) => {
    expect(await ask(row, token)).toEqual(expected);
  });
});

it('leaves no prepared call that would go past the check', () => {
  const prepare = () => ({ waits: false, run: async () => ({}) });
  const base = { method: 'GET', about: '', acl: 'none', handle: () => ({}), prepare } as const;
  const routes: Route[] = [
    { ...base, path: '/v1/agent/self', rule: agentRead },
    { ...base, path: '/v1/catalog/nodes', rule: BY_SERVERS },
  ];
  const guarded = guardRoutes(routes, { rights, local, nodeName: 'n1' });
  expect(guarded.map((route) => route.prepare)).toEqual([undefined, prepare]);
});

describe('registrations', () => {
  const guarded = guardedLocal(local, rights, 'n1');
  const outcome = async (run: () => Promise<void>): Promise<string> => {
    const before = registered.length;
    try {
      await run();
      return registered.at(-1) ?? '';
    } catch (error) {
      expect(registered.length).toBe(before);
      return (error as Error).message;
    }
  };

  it.each([
    [{ Name: 'web' }, 'service:web:write', 'service web'],
    [{ Name: 'web' }, undefined, NO_WEB],
    [{ Name: 'web' }, 'expired', 'ACL not found'],
    [{ Name: 'web' }, 'root', 'service web'],
    [{ Name: 'db', ID: 'web-1' }, 'service:db:write', NO_WEB],
    [
      { Name: 'web', Connect: { SidecarService: {} } },
      'service:web:write',
      'Permission denied: Missing service:write on web-sidecar-proxy',
    ],
    [
      { Name: 'p', Proxy: { DestinationServiceName: 'db' } },
      'service:p:write',
      'Permission denied: Missing service:write on db',
    ],
  ])('of service %j with %s', async (definition, token, expected) => {
    const options = token === undefined ? {} : { token };
    expect(await outcome(() => guarded.registerService(definition as never, options))).toBe(expected);
  });

  it.each([
    [{ Name: 'c' }, 'node:n1:write', 'check c'],
    [{ Name: 'c' }, 'service:web:write', 'Permission denied: Missing node:write on n1'],
    [{ Name: 'c', ServiceID: 'web-1' }, 'service:web:write', 'check c'],
    [{ Name: 'c-web' }, 'node:n1:write', NO_WEB],
    [{ Name: 'c', ServiceID: 'web-1' }, 'deleted', 'ACL not found'],
  ])('of check %j with %s', async (definition, token, expected) => {
    expect(await outcome(() => guarded.registerCheck(definition, { token }))).toBe(expected);
  });
});

it('is named by every route: one without a rule does not compile', () => {
  // @ts-expect-error the rule is missing
  const route: Route = { method: 'GET', path: '/v1/agent/new', about: '', acl: 'none', handle: () => ({}) };
  expect(route).not.toHaveProperty('rule');
});
