import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AgentProcess, httpRequest, startAgent, waitFor } from '../harness/index.ts';
import { loadRecordings, type Recording } from './recording.ts';
import { type KnownDifference, Replay } from './replay.ts';
import { knownDifferencesTest, replayTests } from './replay-tests.ts';

const ROOT = 'root-token';

/** Recordings that were made with the token which `token-create` had returned; most others with the root token. */
const WITH_WEB_TOKEN =
  /^(?:token-self.*|web-leaf|db-leaf-denied|register-.*|intentions-filtered|intention-create-denied|.*config-denied|policies-denied)$/;

const KNOWN: readonly KnownDifference[] = [
  ...['policy-list', 'policies-in-dc2'].map(
    (name): KnownDifference => ({
      file: 'acl',
      name,
      at: /body/,
      reason: 'builtin/global-read-only is there too, as in every Consul since 1.17',
    }),
  ),
  {
    file: 'acl',
    name: 'bootstrap-again',
    at: /body/,
    reason: 'the reset index is a revision of the store, and each store counts its own',
  },
  {
    file: 'acl',
    name: 'token-in-dc2',
    at: /body\.ModifyIndex/,
    reason: 'Consul’s secondary fetched the token after its change; here it has followed every change',
    sometimes: true,
  },
  {
    file: 'acl',
    name: 'token-self-in-dc2',
    at: /body\.ModifyIndex/,
    reason: 'Consul’s secondary fetched the token after its change; here it has followed every change',
    sometimes: true,
  },
];

/** Replays what the real Consul was asked with access control on, with and without tokens. */
describe('answers with access control on', () => {
  let agents: { readonly dc1: AgentProcess; readonly dc2: AgentProcess };
  let web = '';
  let current: Recording;
  const replay = new Replay(async (dc, method, path, body) => {
    const token = tokenOf(current, web);
    const answer = await httpRequest(`http://${agents[dc].ready.http}${path}`, {
      method,
      ...(body !== undefined && { body }),
      ...(token !== undefined && { headers: { 'x-consul-token': token } }),
    });
    if (current.name === 'token-create') web = answer.json<{ readonly SecretID: string }>().SecretID;
    return answer;
  }, KNOWN);

  beforeAll(async () => {
    const acl = {
      enabled: true,
      default_policy: 'deny',
      enable_token_replication: true,
      tokens: { master: ROOT, agent: ROOT, replication: ROOT },
    };
    const dc1 = await startAgent({ name: 'dc1-s1', datacenter: 'dc1', config: { primary_datacenter: 'dc1', acl } });
    const dc2 = await startAgent({
      name: 'dc2-s1',
      datacenter: 'dc2',
      config: { primary_datacenter: 'dc1', retry_join_wan: [dc1.ready.serf_wan], acl },
    });
    agents = { dc1, dc2 };
    await waitFor(
      async () => {
        const token = { 'x-consul-token': ROOT };
        const own = await dc2.http('GET', '/v1/acl/replication', undefined, token);
        const roots = await dc2.http('GET', '/v1/connect/ca/roots', undefined, token);
        return own.json<{ readonly Running: boolean }>().Running && roots.status === 200;
      },
      { what: 'replication of access control' },
    );
  });

  afterAll(async () => {
    await Promise.all([agents?.dc1.stop(), agents?.dc2.stop()]);
  });

  replayTests(replay, 'acl', loadRecordings('acl'), (recording) => {
    current = recording;
  });

  knownDifferencesTest(replay);

  it('no secret is in the logs', () => {
    for (const { log } of [agents.dc1, agents.dc2]) {
      expect(log()).not.toContain(ROOT);
      expect(log()).not.toContain(web);
    }
  });
});

function tokenOf({ name, request }: Recording, web: string): string | undefined {
  if (!('token' in request)) return undefined;
  if (name.startsWith('bad-token')) return '11111111-2222-3333-4444-555555555555';
  return WITH_WEB_TOKEN.test(name) ? web : ROOT;
}
