import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2, createSecureServer } from 'node:http2';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Connect, createConnect } from '../../src/client/connect/index.ts';
import type { LeafCert, RotationStatus } from '../../src/model/ca.ts';
import type { Explanation } from '../../src/model/intention.ts';
import {
  ask,
  assertNoneLeft,
  type Bed,
  callAgent,
  type EchoApplication,
  type EnvoyService,
  envoyProgram,
  freePorts,
  type Load,
  LongLived,
  type MeshService,
  type NativeApplication,
  startBed,
  startEcho,
  startEnvoyService,
  startLoad,
  startNative,
  waitFor,
} from '../harness/index.ts';

const envoy = envoyProgram();

/**
 * Services of each kind in both datacenters, each a client of the native ones, and the native ones clients of each: one
 * set of processes for all tests.
 */
describe('applications linked natively', () => {
  let bed: Bed;
  let caller: NativeApplication;
  let near: NativeApplication;
  let far: NativeApplication;
  let builtIn: MeshService;
  const sidecars: EnvoyService[] = [];
  const applications: EchoApplication[] = [];
  /** Local ports of pairs. */
  const pairs: Record<string, number> = {};

  const application = async (name: string): Promise<number> => {
    const started = await startEcho(name);
    applications.push(started);
    return started.port;
  };
  const intend = (action: 'allow' | 'deny', source: string, destination: string): Promise<unknown> =>
    callAgent(bed.dc1, 'PUT', `/v1/connect/intentions/exact?source=${source}&destination=${destination}`, {
      Action: action,
    });

  /** The certificate that an application shows. */
  const shownBy = async ({ process: { ready } }: NativeApplication): Promise<string> => {
    const { serialNumber } = await new Promise<X509Certificate>((resolve, reject) => {
      const socket = connectTls({ port: ready.port ?? 0, host: '127.0.0.1', rejectUnauthorized: false });
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        const shown = socket.getPeerX509Certificate();
        socket.destroy();
        if (shown === undefined) reject(new Error('no certificate was shown'));
        else resolve(shown);
      });
    });
    return serialNumber;
  };

  beforeAll(async () => {
    bed = await startBed({ config: { ports: { grpc: 0 } } });
    await Promise.all([
      startNative(bed.dc1, 'near', { echo: 'near' }).then((started) => {
        near = started;
      }),
      startNative(bed.dc2, 'far', { echo: 'far' }).then((started) => {
        far = started;
      }),
      application('old').then((port) => bed.mesh(bed.dc2, 'old', { port })),
    ]);
    builtIn = await bed.mesh(bed.dc1, 'web', { upstream: { name: 'far', datacenter: 'dc2' } });
    if (!envoy.missing) {
      sidecars.push(await startEnvoyService(bed.dc2, 'db', { port: await application('db') }));
      sidecars.push(
        await startEnvoyService(bed.dc1, 'shop', {
          upstreams: [{ DestinationName: 'near' }, { DestinationName: 'far', Datacenter: 'dc2' }],
        }),
      );
      pairs['Envoy to native, within'] = sidecars[1]?.upstreamPorts.near ?? 0;
      pairs['Envoy to native, across'] = sidecars[1]?.upstreamPorts.far ?? 0;
    }
    await callAgent(bed.dc1, 'POST', '/v1/query', {
      Name: 'farther',
      Service: { Service: 'far', Failover: { Datacenters: ['dc2'] } },
    });
    caller = await startNative(bed.dc1, 'caller', {
      upstreams: [
        { service: 'near' },
        { service: 'far', datacenter: 'dc2' },
        { service: 'old', datacenter: 'dc2' },
        { query: 'farther' },
        ...(envoy.missing ? [] : [{ service: 'db', datacenter: 'dc2' }]),
      ],
    });
    const [toNear = 0, toFar = 0, toOld = 0, byQuery = 0, toDb] = caller.upstreamPorts;
    pairs['native to native, within'] = toNear;
    pairs['native to native, across'] = toFar;
    pairs['native to built-in, across'] = toOld;
    pairs['native to native, by a prepared query'] = byQuery;
    if (toDb !== undefined) pairs['native to Envoy, across'] = toDb;
    pairs['built-in to native, across'] = builtIn.upstreamPort;
    await Promise.all(
      Object.entries(pairs).map(([what, port]) => waitFor(() => ask(port, 'hello'), { what, timeout: 20_000 })),
    );
  });
  afterAll(async () => {
    await Promise.all([caller, near, far].map((each) => each?.stop()));
    await Promise.all(sidecars.map((service) => service.envoy.stop()));
    await bed?.stop();
    await Promise.all(applications.map((each) => each.close()));
    await assertNoneLeft();
  });

  it('carry connections between each other, from and to sidecars of both kinds', async () => {
    const answers = await Promise.all(
      Object.entries(pairs).map(async ([pair, port]) => [pair, await ask(port, 'hello')] as const),
    );
    for (const [pair, answer] of answers) expect(answer, pair).toMatch(/^(near|far|old|db): hello$/);
    expect(Object.keys(pairs)).toHaveLength(envoy.missing ? 5 : 8);
  });

  it('a deny refuses what is new and ends what is open within a second, nothing else, and is explained', async () => {
    // The client of each pair, and the service that it calls.
    const denied = Object.entries({
      'native to native, across': ['caller', 'far'],
      'native to built-in, across': ['caller', 'old'],
      'built-in to native, across': ['web', 'far'],
      'native to Envoy, across': ['caller', 'db'],
      'Envoy to native, across': ['shop', 'far'],
    } as const).filter(([pair]) => pairs[pair] !== undefined);
    const others = await Promise.all(
      Object.entries(pairs)
        .filter(([pair]) => pair.endsWith('within'))
        .map(([, port]) => LongLived.open(port)),
    );
    for (const [pair, [source, destination]] of denied) {
      const port = pairs[pair] ?? 0;
      const open = await Promise.all(Array.from({ length: 3 }, () => LongLived.open(port)));
      await intend('deny', source, destination);
      const startedAt = performance.now();
      await Promise.all(open.map(({ whenClosed }) => whenClosed));
      expect(performance.now() - startedAt, pair).toBeLessThan(1_000);
      await expect(ask(port, 'hello'), pair).rejects.toThrow();
      const question = `/v1/internal/explain?source=${source}&destination=${destination}`;
      await waitFor(async () => !(await callAgent<Explanation>(bed.dc2, 'GET', question)).Allowed, {
        what: `${pair} to be explained in dc2`,
      });
      await intend('allow', source, destination);
      await waitFor(() => ask(port, 'hello'), { what: `${pair} to be allowed again` });
    }
    for (const other of others) {
      await other.ask();
      other.close();
    }
    expect(caller.process.log()).toMatch(
      /"permission_denied","error":"service far in dc2: caller may not call far in dc2: intention caller => far \(deny, precedence 9\)/,
    );
  });

  it('a server ends what is open by itself, and says which intention it was', async () => {
    const leaf = await callAgent<LeafCert>(bed.dc1, 'GET', '/v1/agent/connect/ca/leaf/plain');
    const dial = (): TLSSocket => {
      const options = { key: leaf.PrivateKeyPEM, cert: leaf.CertPEM, rejectUnauthorized: false, host: '127.0.0.1' };
      const socket = connectTls({ ...options, port: far.process.ready.port ?? 0 });
      socket.on('error', () => undefined); // a refusal may be a reset
      return socket;
    };
    const open = dial();
    open.write('hello');
    expect(String((await once(open, 'data'))[0])).toBe('far: hello');
    const closed = once(open, 'close');
    const startedAt = performance.now();
    await intend('deny', 'plain', 'far');
    await closed;
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await once(dial().resume(), 'close');
    const why = 'Matched L4 intention: default/plain => default/far (Precedence: 9, Action: DENY)';
    const refusal = (wasOpen: boolean): string =>
      JSON.stringify({ refused: 'plain', datacenter: 'dc1', text: why, wasOpen });
    const said = far.process.log();
    expect(said).toContain(refusal(true));
    expect(said).toContain(refusal(false));
  });

  it('HTTP/2: the caller of a request is known, and a client shows what it is by any protocol', async () => {
    const port = (await freePorts(1)).first;
    await callAgent(bed.dc1, 'PUT', '/v1/agent/service/register', {
      ...{ Name: 'streams', Address: '127.0.0.1', Port: port, Connect: { Native: true } },
    });
    const agent = { address: bed.dc1.ready.http };
    const [streams, reader] = ['streams', 'reader'].map((service) => createConnect({ service, agent })) as [
      Connect,
      Connect,
    ];
    await Promise.all([streams.start(), reader.start()]);
    const server = streams.protect(
      createSecureServer(streams.serverOptions(), (request, response) => {
        response.end(streams.callerOf(request.socket)?.uri ?? '');
      }),
    );
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const socket = await reader.upstream({ service: 'streams', protocols: ['h2'] }).dial();
    const session = connectHttp2('https://streams', { createConnection: () => socket });
    const answer = session.request({ ':path': '/' });
    expect(String((await answer.toArray()).join(''))).toMatch(/^spiffe:\/\/.*\/dc\/dc1\/svc\/reader$/);
    session.close();
    await once(session, 'close');
    server.close();
    await Promise.all([streams.stop(), reader.stop()]);
  });

  it('a rotation of the root under load fails and closes nothing, and renews the certificates', async () => {
    const serial = async (): Promise<string> =>
      (await callAgent<LeafCert>(bed.dc2, 'GET', '/v1/agent/connect/ca/leaf/far')).SerialNumber;
    const before = await serial();
    const shownBefore = await shownBy(far);
    const loads: Load[] = await Promise.all(Object.values(pairs).map((port) => startLoad(port, 20, 4)));
    await callAgent(bed.dc1, 'PUT', '/v1/connect/ca/rotate');
    await waitFor(
      async () =>
        (await callAgent<RotationStatus>(bed.dc1, 'GET', '/v1/connect/ca/rotation')).Phase === 'idle' &&
        (await serial()) !== before,
      { what: 'the end of the rotation', timeout: 60_000 },
    );
    const [first] = loads;
    const target = (first?.counts.opened ?? 0) + 80; // beyond the grace of those that have not shown a new certificate
    await waitFor(async () => (first?.counts.opened ?? 0) >= target, { what: 'load after the rotation' });
    for (const [n, load] of loads.entries())
      expect(await load.stop(), Object.keys(pairs)[n]).toMatchObject({ failed: 0, longLivedFailed: 0, errors: [] });
    expect(await shownBy(far)).not.toBe(shownBefore);
  }, 90_000);

  it('a rotation waits for an application that has not got the new root, and goes on once it has', async () => {
    const rotation = (): Promise<RotationStatus> => callAgent(bed.dc1, 'GET', '/v1/connect/ca/rotation');
    near.process.signal('SIGSTOP');
    try {
      await callAgent(bed.dc1, 'PUT', '/v1/connect/ca/rotate');
      const { Phase } = await waitFor(
        async () => {
          const status = await rotation();
          return (
            status.Holds.some((text) => /verifiers without the new root: near-[0-9a-f-]{36}$/.test(text)) && status
          );
        },
        { what: 'the application alone to be waited for' },
      );
      expect(Phase).toBe('distributing');
    } finally {
      near.process.signal('SIGCONT');
    }
    await waitFor(async () => (await rotation()).Phase === 'idle', {
      what: 'the end of the rotation',
      timeout: 60_000,
    });
    await waitFor(() => ask(pairs['native to native, within'] ?? 0, 'hello'), { what: 'an answer after it' });
  }, 90_000);

  it('agents that are killed cost no connection; a deny holds at once when they are back', async () => {
    const port = pairs['native to native, across'] ?? 0;
    const open = await LongLived.open(port);
    await Promise.all(bed.agents.map((agent) => agent.kill9()));
    for (let n = 0; n < 20; n += 1) expect(await ask(port, 'hello')).toBe('far: hello');
    await Promise.all(bed.agents.map((agent) => agent.restart()));
    await open.ask();
    await waitFor(() => intend('deny', 'caller', 'far'), { what: 'the primary' });
    await open.whenClosed;
    await expect(ask(port, 'hello')).rejects.toThrow();
    await intend('allow', 'caller', 'far');
    await waitFor(() => ask(port, 'hello'), { what: 'the way to be allowed again' });
  });
});
