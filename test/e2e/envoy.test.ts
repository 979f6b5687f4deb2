import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RotationStatus } from '../../src/model/ca.ts';
import {
  ask,
  assertNoneLeft,
  type Bed,
  callAgent,
  type EchoApplication,
  type EnvoyService,
  envoyProgram,
  LongLived,
  type MeshService,
  startBed,
  startEcho,
  startEnvoyService,
  startLoad,
  waitFor,
} from '../harness/index.ts';

const envoy = envoyProgram();

/**
 * web in dc1 and db in dc2 behind Envoys; old in dc1 and api in dc2 behind the built-in sidecar. web dials db and api,
 * old dials db.
 */
describe.skipIf(envoy.missing)(envoy.title('Envoys as sidecars, over two datacenters'), () => {
  let bed: Bed;
  let web: EnvoyService;
  let db: EnvoyService;
  let old: MeshService;
  const applications: EchoApplication[] = [];
  const application = async (name: string): Promise<number> => {
    const started = await startEcho(name);
    applications.push(started);
    return started.port;
  };
  const allow = (action: 'allow' | 'deny', source: string, destination: string): Promise<unknown> =>
    callAgent(bed.dc1, 'PUT', `/v1/connect/intentions/exact?source=${source}&destination=${destination}`, {
      Action: action,
    });

  beforeAll(async () => {
    bed = await startBed({ config: { ports: { grpc: 0 } } });
    await bed.mesh(bed.dc2, 'api', { port: await application('api') });
    db = await startEnvoyService(bed.dc2, 'db', { port: await application('db') });
    web = await startEnvoyService(bed.dc1, 'web', {
      port: await application('web'),
      upstreams: [
        { DestinationName: 'db', Datacenter: 'dc2' },
        { DestinationName: 'api', Datacenter: 'dc2' },
      ],
    });
    old = await bed.mesh(bed.dc1, 'old', { upstream: { name: 'db', datacenter: 'dc2' } });
    await waitFor(() => ask(port('db'), 'hello'), { what: 'the way from web to db' });
    await waitFor(() => ask(port('api'), 'hello'), { what: 'the way from web to api' });
    await waitFor(() => ask(old.upstreamPort, 'hello'), { what: 'the way from old to db' });
  });
  afterAll(async () => {
    await Promise.all([web, db].map((service) => service?.envoy.stop()));
    await bed?.stop();
    await Promise.all(applications.map((each) => each.close()));
    await assertNoneLeft();
  });

  const port = (upstream: string): number => web.upstreamPorts[upstream] ?? 0;

  it('carry connections between each other, to the built-in sidecar and from it', async () => {
    expect(await ask(port('db'), 'hello')).toBe('db: hello');
    expect(await ask(port('api'), 'hello')).toBe('api: hello');
    expect(await ask(old.upstreamPort, 'hello')).toBe('db: hello');
  });

  it('a deny in the primary refuses new connections and ends open ones within a second, and no others', async () => {
    const denied = await Promise.all(Array.from({ length: 5 }, () => LongLived.open(port('db'))));
    const others = await Promise.all([
      ...Array.from({ length: 5 }, () => LongLived.open(port('api'))),
      ...Array.from({ length: 5 }, () => LongLived.open(old.upstreamPort)),
    ]);
    await allow('deny', 'web', 'db');
    const startedAt = performance.now();
    await Promise.all(denied.map(({ whenClosed }) => whenClosed));
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await expect(ask(port('db'), 'hello')).rejects.toThrow();
    for (const other of others) await other.ask();
    await allow('allow', 'web', 'db');
    await waitFor(() => ask(port('db'), 'hello'), { what: 'the way from web to db' });
    for (const other of others) {
      await other.ask();
      other.close();
    }
  });

  it('so does a deny between the built-in sidecar and an Envoy', async () => {
    const denied = await Promise.all(Array.from({ length: 5 }, () => LongLived.open(old.upstreamPort)));
    const other = await LongLived.open(port('db'));
    await allow('deny', 'old', 'db');
    const startedAt = performance.now();
    await Promise.all(denied.map(({ whenClosed }) => whenClosed));
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await expect(ask(old.upstreamPort, 'hello')).rejects.toThrow();
    await other.ask();
    other.close();
    await allow('allow', 'old', 'db');
    await waitFor(() => ask(old.upstreamPort, 'hello'), { what: 'the way from old to db' });
  });

  it('a rotation of the root fails and closes nothing, and waits for the Envoys to confirm the new one', async () => {
    const load = await startLoad(port('db'), 200, 25);
    const others = await startLoad(port('api'), 20, 25);
    await waitFor(async () => load.counts.opened >= 200, { what: 'load' });
    const before = await db.envoy.stat('sds.roots.update_success');
    await callAgent(bed.dc1, 'PUT', '/v1/connect/ca/rotate');
    await waitFor(
      async () => {
        const { Phase } = await callAgent<RotationStatus>(bed.dc1, 'GET', '/v1/connect/ca/rotation');
        return Phase === 'idle';
      },
      { what: 'the end of the rotation', timeout: 60_000 },
    );
    const target = load.counts.opened + 200;
    await waitFor(async () => load.counts.opened >= target, { what: 'load after the rotation' });
    const counts = [await load.stop(), await others.stop()];
    for (const each of counts) expect(each).toMatchObject({ failed: 0, longLivedFailed: 0, errors: [] });
    // Both roots, then the new one alone.
    expect((await db.envoy.stat('sds.roots.update_success')) - before).toBeGreaterThanOrEqual(2);
  }, 120_000);

  it('an agent that is killed and started again costs no connection', async () => {
    const load = await startLoad(port('db'), 50, 10);
    for (const agent of bed.agents) {
      await agent.kill9();
      const during = load.counts.opened + 50;
      await waitFor(async () => load.counts.opened >= during, { what: 'load without the agent' });
      await agent.restart();
    }
    for (const { envoy } of [web, db])
      await waitFor(async () => (await envoy.stat('control_plane.connected_state')) === 1, { what: 'its xDS stream' });
    const after = load.counts.opened + 50;
    await waitFor(async () => load.counts.opened >= after, { what: 'load afterwards' });
    expect(await load.stop()).toMatchObject({ failed: 0, longLivedFailed: 0, errors: [] });
  }, 120_000);
});
