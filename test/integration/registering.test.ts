import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AccessWorld, ROOT, startAccessWorld } from './access-world.ts';

/** Whatever a registration says of another service takes the right to that service, whichever way it goes in. */

let world: AccessWorld;
/** May write `mine*`, its node and `other-node`, and nothing of secretsvc. */
let mine: string;
/** May also write secretsvc. */
let both: string;

const MINE = 'service_prefix "mine" { policy = "write" } node_prefix "" { policy = "write" }';

beforeAll(async () => {
  world = await startAccessWorld();
  mine = await world.secretWith(MINE);
  both = await world.secretWith(`${MINE} service_prefix "secretsvc" { policy = "write" }`);
});

afterAll(() => world?.agent.stop());

type Body = Readonly<Record<string, unknown>>;

/** Each kind of reference, in the agent's form of a service; `own` sets apart what one attempt registers. */
const REFERENCES: Readonly<Record<string, (own: string) => Body>> = {
  'its name': () => ({ Name: 'secretsvc', ID: 'secretsvc-new', Port: 1 }),
  'its name, in another letter case': () => ({ Name: 'SecretSvc', ID: 'secretsvc-new', Port: 1 }),
  'its name, of a native instance': () => ({
    Name: 'secretsvc',
    ID: 'secretsvc-new',
    Port: 1,
    Connect: { Native: true },
  }),
  'the destination of a proxy': (own) => proxy(own, { DestinationServiceName: 'secretsvc' }),
  'the destination of a proxy, in another letter case': (own) => proxy(own, { DestinationServiceName: 'SECRETSVC' }),
  'the instance behind a proxy': (own) =>
    proxy(own, { DestinationServiceName: 'mine', DestinationServiceID: 'secretsvc-1' }),
  'the instance that it takes the place of': () => ({ Name: 'mine', ID: 'secretsvc-1', Port: 1 }),
  'the check that it takes the place of': (own) => ({
    Name: 'mine',
    ID: own,
    Port: 1,
    Checks: [{ CheckID: 'secretsvc-check', Name: 'c', TTL: '1h' }],
  }),
};

function proxy(own: string, settings: Body): Body {
  return { Kind: 'connect-proxy', Name: 'mine-proxy', ID: own, Port: 1, Proxy: settings };
}

/** Each way in. Undefined: the reference can't be made by this way. */
const WAYS: Readonly<Record<string, (service: Body, own: string) => readonly [string, Body] | undefined>> = {
  'PUT /v1/agent/service/register': (service) => ['/v1/agent/service/register', service],
  'PUT /v1/agent/service/register in snake case': (service) => ['/v1/agent/service/register', snake(service)],
  'PUT /v1/agent/service/register as a sidecar': ({ ID, Kind, Checks, ...rest }, own) => {
    if (rest.Connect !== undefined || rest.Name === 'mine') return undefined;
    return ['/v1/agent/service/register', { Name: 'mine', ID: own, Port: 1, Connect: { SidecarService: rest } }];
  },
  'PUT /v1/catalog/register': (service) => ['/v1/catalog/register', ofCatalog(service, 'n1')],
  'PUT /v1/catalog/register in snake case': (service) => [
    '/v1/catalog/register',
    { ...ofCatalog(service, 'n1'), Service: snake(ofCatalog(service, 'n1').Service as Body) },
  ],
  'PUT /v1/catalog/register that leaves the node alone': (service) => [
    '/v1/catalog/register',
    { ...ofCatalog(service, 'n1'), SkipNodeUpdate: true },
  ],
};

function ofCatalog({ Name, Checks, ...service }: Body, node: string): Body {
  const checks = (Checks ?? []) as readonly Body[];
  return {
    Node: node,
    Address: '127.0.0.1',
    Service: { Service: Name, ...service },
    Checks: checks.map(({ TTL: _none, ...check }) => ({ ...check, Node: node, ServiceID: service.ID })),
  };
}

/** Keys as configuration files write them. */
function snake(value: Body): Body {
  const word = (key: string): string =>
    key
      .replace(/ID$/, '_id')
      .replace(/(?<=[a-z])([A-Z])/g, '_$1')
      .toLowerCase()
      .replaceAll('__', '_')
      .replace(/^_/, '');
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      word(key),
      typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? snake(inner as Body) : inner,
    ]),
  );
}

const cases = Object.keys(WAYS).flatMap((way) => Object.keys(REFERENCES).map((reference) => [way, reference] as const));

describe.each(cases)('%s, with %s of another service', (way, reference) => {
  it('takes the right to it', async () => {
    const own = `mine-${cases.findIndex(([a, b]) => a === way && b === reference)}`;
    const made = WAYS[way]?.(REFERENCES[reference]?.(own) as Body, own);
    if (made === undefined) return;
    // Anew each time, because those who may take its place do.
    const known = { Name: 'secretsvc', ID: 'secretsvc-1', Port: 9, Check: { CheckID: 'secretsvc-check', TTL: '1h' } };
    await world.asRoot('PUT', '/v1/agent/service/register', known);
    await world.asRoot('PUT', '/v1/catalog/register', {
      ...ofCatalog({ Name: 'secretsvc', ID: 'secretsvc-1', Port: 9 }, 'n1'),
      SkipNodeUpdate: true,
      Checks: [{ Node: 'n1', CheckID: 'secretsvc-check', Name: 'c', ServiceID: 'secretsvc-1', Status: 'critical' }],
    });
    const [path, body] = made;
    const ask = async (token: string) => {
      const { status, body: text } = await world.agent.http('PUT', path, body, { 'x-consul-token': token });
      return [status, text.slice(0, 200)];
    };
    expect(await ask(mine)).toEqual([403, expect.stringContaining('Permission denied')]);
    expect((await ask(both))[0]).toBe(200);
    for (const id of ['secretsvc-new', own, `${own}-sidecar-proxy`, 'secretsvc-1'])
      await world.agent.http('PUT', `/v1/agent/service/deregister/${id}`, undefined, { 'x-consul-token': ROOT });
  });
});

describe('a check registered on its own', () => {
  const known = { Name: 'secretsvc', ID: 'secretsvc-1', Port: 9, Check: { CheckID: 'secretsvc-check', TTL: '1h' } };
  const bodies: readonly (readonly [string, Body])[] = [
    ['/v1/agent/check/register', { Name: 'c', ServiceID: 'secretsvc-1', TTL: '1h' }],
    ['/v1/agent/check/register', { ID: 'secretsvc-check', Name: 'c', TTL: '1h' }],
    ['/v1/agent/check/register', { CheckID: 'secretsvc-check', Name: 'c', TTL: '1h' }],
    ['/v1/agent/check/register', { Name: 'secretsvc-check', TTL: '1h' }],
    [
      '/v1/catalog/register',
      { Node: 'n1', Address: '127.0.0.1', Check: { Node: 'n1', CheckID: 'x', Name: 'x', ServiceID: 'secretsvc-1' } },
    ],
    [
      '/v1/catalog/register',
      { Node: 'n1', Address: '127.0.0.1', Check: { Node: 'n1', CheckID: 'secretsvc-check', Name: 'x' } },
    ],
  ];
  it.each(bodies)('%s %j', async (path, body) => {
    await world.asRoot('PUT', '/v1/agent/service/register', known);
    await world.asRoot('PUT', '/v1/catalog/register', {
      ...ofCatalog({ Name: 'secretsvc', ID: 'secretsvc-1', Port: 9 }, 'n1'),
      SkipNodeUpdate: true,
      Check: { Node: 'n1', CheckID: 'secretsvc-check', Name: 'c', ServiceID: 'secretsvc-1', Status: 'critical' },
    });
    const ask = (token: string) => world.agent.http('PUT', path, body, { 'x-consul-token': token });
    expect((await ask(mine)).status).toBe(403);
    const answer = await ask(both);
    expect([answer.status, answer.body]).toEqual([200, expect.anything()]);
  });
});
