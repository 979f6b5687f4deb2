import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  assertNoneLeft,
  type Bed,
  callAgent,
  type EchoApplication,
  type EnvoyService,
  envoyProgram,
  startBed,
  startEcho,
  startEnvoyService,
  waitFor,
} from '../harness/index.ts';

const envoy = envoyProgram();
const CONNECT_MS = 1_000;

/** web and db in dc1, db in dc2 as well, all behind Envoys; the resolver of db fails over to dc2. */
describe.skipIf(envoy.missing)(envoy.title('failover through Envoys'), () => {
  let bed: Bed;
  let web: EnvoyService;
  let near: EnvoyService;
  let far: EnvoyService;
  const applications: EchoApplication[] = [];
  const application = async (name: string): Promise<number> => {
    const started = await startEcho(name);
    applications.push(started);
    return started.port;
  };
  const db = (): Promise<string> => ask(web.upstreamPorts.db ?? 0, 'hello', 10_000);

  beforeAll(async () => {
    bed = await startBed({ config: { ports: { grpc: 0 } } });
    await callAgent(bed.dc1, 'PUT', '/v1/config', {
      Kind: 'service-resolver',
      Name: 'db',
      ConnectTimeout: `${CONNECT_MS}ms`,
      Failover: { '*': { Datacenters: ['dc2'] } },
    });
    await callAgent(bed.dc1, 'POST', '/v1/query', {
      Name: 'db-anywhere',
      Service: { Service: 'db', Connect: true, OnlyPassing: true, Failover: { Datacenters: ['dc2'] } },
    });
    near = await startEnvoyService(bed.dc1, 'db', { port: await application('near') });
    far = await startEnvoyService(bed.dc2, 'db', { port: await application('far') });
    web = await startEnvoyService(bed.dc1, 'web', {
      upstreams: [{ DestinationName: 'db' }, { DestinationType: 'prepared_query', DestinationName: 'db-anywhere' }],
    });
    await waitFor(async () => (await db()) === 'near: hello', { what: 'the way to the near db' });
    // The other datacenter is there as the second priority.
    await waitFor(async () => (await web.envoy.ask('/clusters')).match(/::priority::1$/m) !== null, {
      what: 'the second target',
    });
  });
  afterAll(async () => {
    await Promise.all([web, near, far].map((service) => service?.envoy.stop()));
    await bed?.stop();
    await Promise.all(applications.map((each) => each.close()));
    await assertNoneLeft();
  });

  it('a prepared query leads on while there is no instance here, and back', async () => {
    const query = (): Promise<string> => ask(web.upstreamPorts['db-anywhere'] ?? 0, 'hello', 10_000);
    await waitFor(async () => (await query()) === 'near: hello', { what: 'the way by the query' });
    const maintenance = (enable: boolean): Promise<unknown> =>
      callAgent(bed.dc1, 'PUT', `/v1/agent/service/maintenance/db-sidecar-proxy?enable=${enable}`);
    await maintenance(true);
    const answers: string[] = [];
    await waitFor(
      async () => {
        answers.push(await query()); // none fails meanwhile
        return answers.at(-1) === 'far: hello';
      },
      { what: 'the other datacenter' },
    );
    await maintenance(false);
    await waitFor(async () => (await query()) === 'near: hello', { what: 'the way back' });
  });

  it('a silent instance fails no connection: each waits for at most one attempt, later ones for none', async () => {
    await near.envoy.pause();
    const startedAt = performance.now();
    expect(await db()).toBe('far: hello');
    const first = performance.now() - startedAt;
    expect(first).toBeLessThan(CONNECT_MS + 2_000);
    const again = performance.now();
    expect(await db()).toBe('far: hello');
    expect(performance.now() - again).toBeLessThan(CONNECT_MS);
    near.envoy.signal('SIGCONT');
    await waitFor(async () => (await db()) === 'near: hello', { what: 'the way back', timeout: 20_000 });
  });

  it('an instance that ended fails no connection, not even the first', async () => {
    near.envoy.signal('SIGKILL');
    await near.envoy.process.exited; // what it had accepted in its last moment is reset, and can go nowhere else
    const answers: string[] = [];
    for (let at = 0; at < 20; at += 1) answers.push(await db());
    expect(new Set(answers)).toEqual(new Set(['far: hello']));
  });
});
