import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RotationStatus } from '../../src/model/ca.ts';
import type { EnvoyStatus } from '../../src/model/envoy.ts';
import { TestAuthority } from '../fakes/agent-certificates.ts';
import {
  type AgentProcess,
  ask,
  assertNoneLeft,
  callAgent,
  type EchoApplication,
  type EnvoyService,
  envoyProgram,
  isthmus,
  LongLived,
  startAgent,
  startEcho,
  startEnvoyService,
  waitFor,
} from '../harness/index.ts';

const envoy = envoyProgram();
/** Merged over what `isthmus connect envoy` writes. */
const STATE_OF_THE_WORLD = JSON.stringify({ dynamic_resources: { ads_config: { api_type: 'GRPC' } } });

/** web follows over TLS by the incremental protocol, db in plain text by state of the world. */
describe.skipIf(envoy.missing)(envoy.title('Envoys by xDS over TLS, and by state of the world'), () => {
  let agent: AgentProcess;
  let web: EnvoyService;
  let db: EnvoyService;
  const applications: EchoApplication[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-envoy-protocols-'));
  const statuses = (): Promise<readonly EnvoyStatus[]> =>
    callAgent<readonly EnvoyStatus[]>(agent, 'GET', '/v1/agent/connect/envoys');
  const hello = (): Promise<string> => ask(web.upstreamPorts.db ?? 0, 'hello');
  const allow = (Action: 'allow' | 'deny'): Promise<unknown> =>
    callAgent(agent, 'PUT', '/v1/connect/intentions/exact?source=web&destination=db', { Action });

  beforeAll(async () => {
    const authority = new TestAuthority();
    const { cert, key } = authority.make('server', { datacenter: 'dc1' });
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    agent = await startAgent({
      name: 'a',
      datacenter: 'dc1',
      config: {
        ports: { grpc: 0, grpc_tls: 0 },
        tls: { grpc: { cert_file: file('cert.pem', cert), key_file: file('key.pem', key) } },
      },
    });
    const application = await startEcho('db');
    applications.push(application);
    db = await startEnvoyService(agent, 'db', {
      port: application.port,
      args: ['--', '--config-yaml', STATE_OF_THE_WORLD],
    });
    const secure = ['-grpc-addr', `https://${agent.ready.grpc_tls}`, '-grpc-ca-file', file('ca.pem', authority.ca)];
    web = await startEnvoyService(agent, 'web', { upstreams: [{ DestinationName: 'db' }], args: secure });
    await waitFor(hello, { what: 'the way from web to db', timeout: 40_000 });
  }, 60_000);
  afterAll(async () => {
    await Promise.all([web, db].map((service) => service?.envoy.stop()));
    await agent?.stop();
    await Promise.all(applications.map((each) => each.close()));
    rmSync(folder, { recursive: true });
    await assertNoneLeft();
  });

  it('are shown with what they were sent and have confirmed', async () => {
    await waitFor(
      async () => {
        const all = await statuses();
        expect(all.map(({ ProxyID, Protocol }) => [ProxyID, Protocol]).sort()).toEqual([
          ['db-sidecar-proxy', 'state of the world'],
          ['web-sidecar-proxy', 'delta'],
        ]);
        for (const { Types, Rejected } of all) {
          expect(Rejected).toEqual([]);
          for (const { SentVersion, AcknowledgedVersion } of Object.values(Types))
            expect(AcknowledgedVersion).toBe(SentVersion);
        }
        return true;
      },
      { what: 'all being confirmed' },
    );
    const [shown] = (await statuses()).filter(({ ProxyID }) => ProxyID === 'db-sidecar-proxy');
    const printed = await isthmus(['connect', 'envoy', '-status', '-http-addr', agent.ready.http]);
    expect(printed.out).toContain(`confirmed ${shown?.Types.LDS?.AcknowledgedVersion} at`);
  });

  it('refuse and end what a deny names, and nothing after it is taken back', async () => {
    const open = await LongLived.open(web.upstreamPorts.db ?? 0);
    await allow('deny');
    await open.whenClosed;
    await expect(hello()).rejects.toThrow();
    await allow('allow');
    await waitFor(async () => (await hello()) === 'db: hello', { what: 'the way from web to db' });
  });

  it('confirm new roots in a rotation, which closes nothing', async () => {
    const open = await LongLived.open(web.upstreamPorts.db ?? 0);
    await callAgent(agent, 'PUT', '/v1/connect/ca/rotate');
    await waitFor(
      async () => {
        await hello();
        const { Phase } = await callAgent<RotationStatus>(agent, 'GET', '/v1/connect/ca/rotation');
        return Phase === 'idle';
      },
      { what: 'the end of the rotation', timeout: 60_000 },
    );
    await open.ask();
    open.close();
    expect(await hello()).toBe('db: hello');
    for (const { envoy: each } of [web, db])
      expect(await each.stat('sds.roots.update_success')).toBeGreaterThanOrEqual(3);
  }, 90_000);

  it('an Envoy that does not know the authority of the agent is given nothing', async () => {
    const stranger = join(folder, 'other.pem');
    writeFileSync(stranger, new TestAuthority().ca);
    const args = ['-grpc-addr', `https://${agent.ready.grpc_tls}`, '-grpc-ca-file', stranger];
    await callAgent(agent, 'PUT', '/v1/agent/service/register', { Name: 'lost', Connect: { SidecarService: {} } });
    const before = (await statuses()).length;
    const started = startEnvoyService(agent, 'lost', { args });
    await expect(started).rejects.toThrow('the Envoy of lost did not come');
    expect(await statuses()).toHaveLength(before);
  }, 60_000);
});
