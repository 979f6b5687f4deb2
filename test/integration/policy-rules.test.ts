import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AccessWorld, ROOT, startAccessWorld } from './access-world.ts';

/** Rules of current Consul, as tokens and policies over HTTP. */

let world: AccessWorld;
beforeAll(async () => {
  world = await startAccessWorld({});
});
afterAll(() => world?.agent.stop());

function send(method: string, path: string, body: unknown, token: string): Promise<Response> {
  const headers = { 'X-Consul-Token': token };
  return fetch(`http://${world.agent.ready.http}${path}`, { method, headers, body: JSON.stringify(body) });
}

const ENTRIES = [
  { Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'tcp' } },
  { Kind: 'mesh', Name: 'mesh' },
  {
    Kind: 'jwt-provider',
    Name: 'okta',
    JSONWebKeySet: { Local: { JWKS: Buffer.from('{"keys":[]}').toString('base64') } },
  },
];

describe('a rule for the mesh', () => {
  it.each([
    ['mesh = "write"', 200],
    ['mesh = "write" operator = "deny"', 200],
    ['operator = "write"', 200],
    ['mesh = "read"', 403],
    ['mesh = "read" operator = "write"', 403],
    ['mesh = "deny" operator = "write"', 403],
    ['peering = "write"', 403],
    ['service_prefix "" { policy = "write" }', 403],
  ])('%s: writing entries of the whole mesh answers %i', async (rules, status) => {
    const token = await world.secretWith(rules);
    for (const entry of ENTRIES) {
      const answer = await send('PUT', '/v1/config', entry, token);
      expect(`${entry.Kind} ${answer.status} ${await answer.text()}`).toMatch(`${entry.Kind} ${status} `);
    }
  });

  it('grants nothing else of operators', async () => {
    const token = await world.secretWith('mesh = "write" peering = "write"');
    const body = { LastContactThreshold: '1s' };
    expect((await send('PUT', '/v1/operator/autopilot/configuration', body, token)).status).toBe(403);
    const asked = ['mesh', 'peering', 'operator'].map((Resource) => ({ Resource, Access: 'write' }));
    const answer = (await (await send('POST', '/v1/internal/acl/authorize', asked, token)).json()) as object[];
    expect(answer).toMatchObject([{ Allow: true }, { Allow: true }, { Allow: false }]);
  });
});

describe('a policy', () => {
  it('is taken with a warning for each rule that has no effect', async () => {
    const Rules = 'mesh = "read" identity "a" { policy = "write" } namespace "n" { acl = "write" } opreator = "read"';
    const made = await send('PUT', '/v1/acl/policy', { Name: 'other', Rules }, ROOT);
    expect(made.status).toBe(200);
    expect(made.headers.get('x-isthmus-warning')).toBe(
      'the rule "identity" has no effect: the v2 API is not here; the rule "namespace" has no effect: there are no ' +
        'namespaces; the rule "opreator" has no effect: there is no such rule',
    );
    const { ID } = (await made.json()) as { readonly ID: string };
    const changed = await send('PUT', `/v1/acl/policy/${ID}`, { Name: 'other', Rules: 'peering = "read"' }, ROOT);
    expect([changed.status, changed.headers.get('x-isthmus-warning')]).toEqual([200, null]);
  });

  it('is refused with a level that is none', async () => {
    for (const rule of ['mesh', 'peering']) {
      const answer = await send('PUT', '/v1/acl/policy', { Name: 'bad', Rules: `${rule} = "fly"` }, ROOT);
      expect(await answer.text()).toContain(`Invalid ${rule} policy: "fly"`);
      expect(answer.status).toBeGreaterThanOrEqual(400);
    }
  });
});
