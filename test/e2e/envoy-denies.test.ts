import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CaRoots, LeafCert } from '../../src/model/ca.ts';
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
  waitFor,
} from '../harness/index.ts';

const envoy = envoyProgram();
const EACH = 8;
/** What a deny may take to end what is open. */
const WITHIN_MS = 1_000;

/**
 * db in dc2 behind an Envoy, called from dc1 by web behind an Envoy, by old behind the built-in sidecar, and by
 * applications that speak TLS themselves and know nothing of intentions: scout and ranger, which are registered, and
 * stray, which is not. shop is behind Envoys in both datacenters; its upstream at web goes to dc2 when dc1 has none.
 */
describe.skipIf(envoy.missing)(envoy.title('what a deny ends'), () => {
  let bed: Bed;
  let web: EnvoyService;
  let old: MeshService;
  const services: EnvoyService[] = [];
  const applications: EchoApplication[] = [];
  const servers: Server[] = [];
  const open: LongLived[] = [];
  const addresses = new Map<string, number>();

  const echo = async (name: string): Promise<number> => {
    const started = await startEcho(name);
    applications.push(started);
    return started.port;
  };
  const serve = async (dc: 'dc1' | 'dc2', name: string, port: number): Promise<EnvoyService> => {
    const service = await startEnvoyService(bed[dc], name, { port });
    services.push(service);
    const [{ ServicePort } = { ServicePort: 0 }] = await callAgent<readonly { readonly ServicePort: number }[]>(
      bed[dc],
      'GET',
      `/v1/catalog/connect/${name}?consistent`,
    );
    addresses.set(`${name} in ${dc}`, ServicePort);
    return service;
  };
  const intend = (action: 'allow' | 'deny', source: string, destination = 'db'): Promise<unknown> =>
    callAgent(bed.dc1, 'PUT', `/v1/connect/intentions/exact?source=${source}&destination=${destination}`, {
      Action: action,
    });
  /** A TLS connection with the certificate of a service, as any program could make it. */
  const dial = async (source: string, to: string): Promise<TLSSocket> => {
    const leaf = await callAgent<LeafCert>(bed.dc1, 'GET', `/v1/agent/connect/ca/leaf/${source}`);
    const { Roots } = await callAgent<CaRoots>(bed.dc1, 'GET', '/v1/agent/connect/ca/roots');
    const socket = connect({
      host: '127.0.0.1',
      port: addresses.get(to) ?? 0,
      cert: leaf.CertPEM,
      key: leaf.PrivateKeyPEM,
      ca: Roots.map(({ RootCert }) => RootCert),
      checkServerIdentity: () => undefined,
    });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    return socket;
  };
  const several = async (one: () => Promise<LongLived>): Promise<readonly LongLived[]> => {
    const made = await Promise.all(Array.from({ length: EACH }, one));
    open.push(...made);
    return made;
  };
  const foreign = (source: string): Promise<readonly LongLived[]> =>
    several(async () => LongLived.over(await dial(source, 'db in dc2')));
  const until = (what: string, test: () => Promise<unknown>): Promise<unknown> => waitFor(test, { what });

  /** Ends these connections and no others, within a second. */
  const ends = async (deny: () => Promise<unknown>, denied: readonly LongLived[]): Promise<void> => {
    const others = open.filter((each) => !each.closed && !denied.includes(each));
    await deny();
    const startedAt = performance.now();
    await Promise.all(denied.map(({ whenClosed }) => whenClosed));
    expect(performance.now() - startedAt).toBeLessThan(WITHIN_MS);
    await Promise.all(others.map((each) => each.ask()));
    expect(others.filter(({ closed }) => closed)).toHaveLength(0);
  };

  beforeAll(async () => {
    bed = await startBed({ config: { ports: { grpc: 0 } } });
    for (const name of ['scout', 'ranger'])
      await callAgent(bed.dc1, 'PUT', '/v1/agent/service/register', { Name: name, Connect: { Native: true } });
    await serve('dc2', 'db', await echo('db'));
    for (const dc of ['dc1', 'dc2'] as const) await serve(dc, 'shop', await echo(`shop in ${dc}`));
    await callAgent(bed.dc1, 'PUT', '/v1/config', {
      Kind: 'service-resolver',
      Name: 'shop',
      Failover: { '*': { Datacenters: ['dc2'] } },
    });
    web = await startEnvoyService(bed.dc1, 'web', {
      upstreams: [{ DestinationName: 'db', Datacenter: 'dc2' }, { DestinationName: 'shop' }],
    });
    services.push(web);
    old = await bed.mesh(bed.dc1, 'old', { upstream: { name: 'db', datacenter: 'dc2' } });
    await until('the way from web to db', () => ask(port('db'), 'hello'));
    await until('the way from web to shop', () => ask(port('shop'), 'hello'));
    await until('the way from old to db', () => ask(old.upstreamPort, 'hello'));
    // The Envoy of db knows the callers of dc1 by now, as it answered them.
    await until('the callers', async () =>
      (await services[0]?.envoy.ask('/config_dump?resource=dynamic_listeners'))?.includes('scout in dc1'),
    );
  }, 60_000);
  afterAll(async () => {
    for (const each of open) each.close();
    await Promise.all(services.map((each) => each.envoy.stop()));
    await bed?.stop();
    await Promise.all(applications.map((each) => each.close()));
    for (const server of servers) server.close();
    await assertNoneLeft();
  }, 30_000);

  const port = (upstream: string): number => web.upstreamPorts[upstream] ?? 0;

  it('the connections of that pair, whoever made them, and no others', async () => {
    const scout = await foreign('scout');
    const ranger = await foreign('ranger');
    const behindEnvoy = await several(() => LongLived.open(port('db')));
    const behindBuiltIn = await several(() => LongLived.open(old.upstreamPort));
    await ends(() => intend('deny', 'scout'), scout);
    await ends(() => intend('deny', 'old'), behindBuiltIn);
    await ends(() => intend('deny', 'web'), behindEnvoy);
    await ends(() => intend('deny', 'ranger'), ranger);
    for (const name of ['scout', 'ranger', 'web', 'old']) await intend('allow', name);
    await until('scout to be let in again', async () => LongLived.over(await dial('scout', 'db in dc2')));
  }, 60_000);

  it('those of a caller that is not registered, too', async () => {
    const stray = await foreign('stray');
    await foreign('ranger');
    await ends(() => intend('deny', 'stray'), stray);
  });

  it('an allow, and a service that comes and goes, end nothing', async () => {
    const scout = await foreign('scout');
    await intend('allow', 'scout');
    await intend('deny', 'nobody');
    await callAgent(bed.dc1, 'PUT', '/v1/agent/service/deregister/scout');
    await callAgent(bed.dc1, 'PUT', '/v1/agent/service/register', { Name: 'late', Connect: { Native: true } });
    await until('the newcomer', async () =>
      (await services[0]?.envoy.ask('/config_dump?resource=dynamic_listeners'))?.includes('late in dc1'),
    );
    for (const each of scout) await each.ask();
    // What was let in last is ended by its name, registered or not.
    await ends(() => intend('deny', 'scout'), scout);
  });

  it('with an allow-list, those of a caller that is taken off it', async () => {
    for (const each of open.splice(0)) each.close();
    await intend('allow', 'ranger');
    await intend('allow', 'web');
    const late = await foreign('late');
    const ranger = await foreign('ranger');
    const behindEnvoy = await several(() => LongLived.open(port('db')));
    await ends(() => intend('deny', '*'), late);
    const remove = (source: string): Promise<unknown> =>
      callAgent(bed.dc1, 'DELETE', `/v1/connect/intentions/exact?source=${source}&destination=db`);
    await ends(() => remove('ranger'), ranger);
    await ends(() => remove('web'), behindEnvoy);
    await callAgent(bed.dc1, 'DELETE', '/v1/connect/intentions/exact?source=*&destination=db');
    await until('the way from web to db', () => ask(port('db'), 'hello'));
  });

  it('those to one datacenter, when it names one', async () => {
    const near = await several(() => LongLived.open(port('shop')));
    expect(near[0]?.answer).toContain('dc1');
    await callAgent(bed.dc1, 'PUT', '/v1/agent/service/maintenance/shop?enable=true');
    await until('dc2', async () => (await ask(port('shop'), 'hello')).includes('dc2'));
    const far = await several(() => LongLived.open(port('shop')));
    expect(far[0]?.answer).toContain('dc2');
    await ends(
      () =>
        callAgent(bed.dc1, 'PUT', '/v1/config', {
          Kind: 'service-intentions',
          Name: 'shop',
          Sources: [{ Name: 'web', Action: 'deny', DestinationDatacenters: ['dc1'] }],
        }),
      near,
    );
    await ends(() => intend('deny', 'web', 'shop'), far);
  });

  it('nothing of an application that speaks first reaches a caller that is denied', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write('welcome\n');
    });
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    await serve('dc2', 'greeter', (server.address() as AddressInfo).port);
    const hears = async (): Promise<string> => {
      const socket = await dial('ranger', 'greeter in dc2');
      let heard = '';
      socket.on('data', (chunk: Buffer) => {
        heard += chunk.toString();
        socket.destroy();
      });
      await once(socket, 'close');
      return heard;
    };
    expect(await hears()).toBe('welcome\n');
    await intend('deny', 'ranger', 'greeter');
    await until('the deny', async () => (await hears()) === '');
  });
});
