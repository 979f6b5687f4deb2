import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessAgent, startInProcess } from '../harness/in-process-agent.ts';
import { waitFor } from '../harness/wait-for.ts';

const ROOT = 'b1a7c0de-0000-4000-8000-000000000001';
const OF_AGENT = 'b1a7c0de-0000-4000-8000-000000000002';
const OF_FILES = 'b1a7c0de-0000-4000-8000-000000000003';

/** What the configuration says where nothing else does: about connections, and about what files define. */
describe('an agent with default_intention_policy and config_file_service_registration', () => {
  let agent: InProcessAgent;
  const ask = async <T>(method: string, path: string, body?: object): Promise<T> => {
    const answer = await agent.http(method, path, body, { 'x-consul-token': ROOT });
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
    return (answer.body === '' ? undefined : answer.json<T>()) as T;
  };
  const makeToken = async (SecretID: string, Rules: string): Promise<void> => {
    const { ID } = await ask<{ ID: string }>('PUT', '/v1/acl/policy', { Name: `p${SecretID.slice(-1)}`, Rules });
    await ask('PUT', '/v1/acl/token', { SecretID, Policies: [{ ID }] });
  };
  const services = async (): Promise<readonly string[]> =>
    Object.keys(await ask<object>('GET', '/v1/catalog/services'));

  beforeAll(async () => {
    const tokens = { initial_management: ROOT, agent: OF_AGENT, config_file_service_registration: OF_FILES };
    agent = await startInProcess({
      name: 'n1',
      datacenter: 'dc1',
      config: {
        acl: { enabled: true, default_policy: 'allow', tokens },
        default_intention_policy: 'deny',
        services: [{ name: 'web', port: 80 }],
        log_level: 'info',
      },
    });
    await makeToken(OF_AGENT, 'node "n1" { policy = "write" } service_prefix "" { policy = "deny" }');
    await makeToken(OF_FILES, 'node "n1" { policy = "read" } service "web" { policy = "write" }');
    // The tokens were not known when the agent started; one that is set is tried at once.
    await ask('PUT', '/v1/agent/token/agent', { Token: OF_AGENT });
  });
  afterAll(() => agent?.stop());

  it('denies connections that no intention allows, whatever tokens may by default', async () => {
    const allowed = async (): Promise<boolean> =>
      (await ask<{ Allowed: boolean }>('GET', '/v1/connect/intentions/check?source=api&destination=web')).Allowed;
    expect(await allowed()).toBe(false);
    await ask('PUT', '/v1/connect/intentions/exact?source=api&destination=web', {
      Action: 'allow',
      SourceType: 'consul',
    });
    expect(await allowed()).toBe(true);
  });

  it('registers what files define with the token for that, and nothing else', async () => {
    await waitFor(async () => (await services()).includes('web'), { what: 'the service of the file in the catalog' });
    await ask('PUT', '/v1/agent/service/register', { Name: 'worker', Token: OF_AGENT });
    await waitFor(async () => agent.log().includes('worker'), { what: 'the refusal of the other one' });
    expect(await services()).not.toContain('worker');
  });
});
