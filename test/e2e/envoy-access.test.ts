import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestAuthority } from '../fakes/agent-certificates.ts';
import { type DeltaClient, deltaClient } from '../fakes/xds-client.ts';
import { type AgentProcess, startAgent, waitFor } from '../harness/index.ts';

const MANAGEMENT = '11111111-0000-0000-0000-000000000001';
const authority = new TestAuthority();

/** A real agent with access control, and clients of its xDS that try what they may not. */
describe('who may follow a proxy by xDS', () => {
  let agent: AgentProcess;
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-envoy-access-'));
  const clients: DeltaClient[] = [];

  const put = (path: string, body: object) => agent.http('PUT', path, body, { 'x-consul-token': MANAGEMENT });
  const token = async (service: string): Promise<{ readonly SecretID: string; readonly AccessorID: string }> =>
    (await put('/v1/acl/token', { ServiceIdentities: [{ ServiceName: service }] })).json();
  const stream = (secret: string | undefined, proxyId: string, secure = false): DeltaClient => {
    const address = (secure ? agent.ready.grpc_tls : agent.ready.grpc) ?? '';
    const client = deltaClient({
      address,
      ...(secret === undefined ? {} : { token: secret }),
      ...(secure ? { caPem: authority.ca } : {}),
    });
    clients.push(client);
    client.send({ type: 'secret', node: { id: proxyId }, resourceNamesSubscribe: ['leaf'] });
    return client;
  };

  beforeAll(async () => {
    const { cert, key } = authority.make('server', { datacenter: 'dc1' });
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    agent = await startAgent({
      name: 'a',
      datacenter: 'dc1',
      config: {
        primary_datacenter: 'dc1',
        acl: { enabled: true, default_policy: 'deny', tokens: { master: MANAGEMENT, agent: MANAGEMENT } },
        ports: { grpc: 0, grpc_tls: 0 },
        tls: { grpc: { cert_file: file('cert.pem', cert), key_file: file('key.pem', key) } },
      },
    });
    for (const name of ['web', 'db'])
      await put('/v1/agent/service/register', { Name: name, Port: 1, Connect: { SidecarService: {} } });
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    await agent?.stop();
    rmSync(folder, { recursive: true });
  });

  it('learns from the agent where', async () => {
    const { body } = await agent.http('GET', '/v1/agent/self', undefined, { 'x-consul-token': MANAGEMENT });
    const port = (address: string | undefined): number => Number(address?.split(':').at(-1));
    const [Plaintext, TLS] = [port(agent.ready.grpc), port(agent.ready.grpc_tls)];
    expect(JSON.parse(body).xDS).toMatchObject({ Port: TLS, Ports: { Plaintext, TLS } });
  });

  it('nobody without a token, with a wrong one, or with that of another service', async () => {
    const { SecretID } = await token('db');
    for (const secret of [undefined, '22222222-0000-0000-0000-000000000002', SecretID]) {
      const { code, details } = await stream(secret, 'web-sidecar-proxy').ended;
      expect(code).toBe(status.PERMISSION_DENIED);
      expect(details).not.toContain(secret ?? 'none');
    }
    expect((await stream(SecretID, 'absent').ended).code).toBe(status.NOT_FOUND);
  });

  it('whoever may write the service, over TLS too, until the right is gone', async () => {
    const { SecretID, AccessorID } = await token('web');
    const open = [stream(SecretID, 'web-sidecar-proxy'), stream(SecretID, 'web-sidecar-proxy', true)];
    for (const client of open) {
      const { resources } = await client.next();
      expect(resources.map(({ name }) => name)).toEqual(['leaf']);
    }
    const shown = await agent.http('GET', '/v1/agent/connect/envoys', undefined, { 'x-consul-token': SecretID });
    expect(shown.json<readonly object[]>()).toMatchObject([{ ProxyID: 'web-sidecar-proxy' }, { Service: 'web' }]);
    const other = await token('db');
    const hidden = await agent.http('GET', '/v1/agent/connect/envoys', undefined, { 'x-consul-token': other.SecretID });
    // A service's own token may read every service.
    expect(hidden.status).toBe(200);
    expect((await agent.http('GET', '/v1/agent/connect/envoys')).json()).toEqual([]);
    await agent.http('DELETE', `/v1/acl/token/${AccessorID}`, undefined, { 'x-consul-token': MANAGEMENT });
    for (const client of open) expect((await client.ended).code).toBe(status.PERMISSION_DENIED);
    await waitFor(
      async () => {
        const left = await agent.http('GET', '/v1/agent/connect/envoys', undefined, { 'x-consul-token': MANAGEMENT });
        return left.json<readonly object[]>().length === 0;
      },
      { what: 'the end of the streams' },
    );
    expect(agent.log()).not.toContain(SecretID);
  });
});
