import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, connect } from 'node:tls';
import { Client, credentials, Server as GrpcServer, ServerCredentials, status } from '@grpc/grpc-js';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CaRoots, LeafCert } from '../../src/model/ca.ts';
import { TestAuthority } from '../fakes/agent-certificates.ts';
import {
  type AgentProcess,
  ask,
  assertNoneLeft,
  callAgent,
  type EchoApplication,
  type EnvoyProcess,
  type EnvoyService,
  envoyProgram,
  freePorts,
  type HttpAnswer,
  httpRequest,
  LongLived,
  startAgent,
  startEcho,
  startEnvoy,
  startEnvoyService,
  waitFor,
} from '../harness/index.ts';

const envoy = envoyProgram();

interface Seen {
  readonly by: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** web asks two instances of api by HTTP/1.1, rpc by gRPC, and tcp by connections; all behind Envoys of one agent. */
describe.skipIf(envoy.missing)(envoy.title('settings of requests and connections, one by one'), () => {
  let agent: AgentProcess;
  let web: EnvoyService;
  const envoys: EnvoyProcess[] = [];
  const servers: (Server | GrpcServer)[] = [];
  const echoes: EchoApplication[] = [];
  let calls = 0;
  let socket = '';
  /** Where the Envoy of the first instance of api takes connections. */
  let apiPort = 0;

  const application = async (name: string): Promise<number> => {
    const server = createServer((asked, answer) => {
      if (asked.url === '/slow') return; // never
      if (asked.url === '/sick' && name === 'api-1') answer.statusCode = 500;
      answer.setHeader('x-secret', 'of the application');
      answer.end(JSON.stringify({ by: name, headers: asked.headers }));
    });
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const entry = (fields: Readonly<Record<string, unknown>>): Promise<unknown> =>
    callAgent(agent, 'PUT', '/v1/config', fields);
  const removed = (kind: string, name: string): Promise<unknown> =>
    callAgent(agent, 'DELETE', `/v1/config/${kind}/${name}`);
  const port = (name: string): number => web.upstreamPorts[name] ?? 0;
  const get = (path = '/', headers: Readonly<Record<string, string>> = {}): Promise<HttpAnswer> =>
    httpRequest(`http://127.0.0.1:${port('api')}${path}`, { headers, timeoutMs: 10_000 });
  const by = async (headers: Readonly<Record<string, string>> = {}): Promise<string> =>
    (await get('/', headers)).json<Seen>().by;
  const until = (what: string, test: () => Promise<unknown>): Promise<unknown> => waitFor(test, { what });
  const resolver = (LoadBalancer: object): Promise<unknown> =>
    entry({ Kind: 'service-resolver', Name: 'api', LoadBalancer });
  /** The cluster of api, as web's Envoy has it now. */
  const hasCluster = async (text: string): Promise<boolean> =>
    (await web.envoy.ask('/config_dump?resource=dynamic_active_clusters')).includes(text);
  const instance = async (id: string, config: object = {}): Promise<number> => {
    const { first: sidecar } = await freePorts(1);
    await callAgent(agent, 'PUT', '/v1/agent/service/register', {
      ID: id,
      Name: 'api',
      Port: await application(id),
      Connect: { SidecarService: { Port: sidecar, Proxy: { Config: config } } },
    });
    envoys.push(await startEnvoy({ agent, sidecarFor: id }));
    return sidecar;
  };
  const service = async (name: string, options: Parameters<typeof startEnvoyService>[2]): Promise<EnvoyService> => {
    const started = await startEnvoyService(agent, name, options);
    envoys.push(started.envoy);
    return started;
  };

  /** gRPC: the first call of each pair is refused as unavailable. */
  const grpcApplication = async (): Promise<number> => {
    const server = new GrpcServer();
    servers.push(server);
    const raw = (bytes: Buffer): Buffer => bytes;
    const method = (path: string) => ({
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: raw,
      requestDeserialize: raw,
      responseSerialize: raw,
      responseDeserialize: raw,
    });
    type Done = (error: object | null, answer?: Buffer) => void;
    server.addService(
      { Flaky: method('/test.Rpc/Flaky'), Plain: method('/test.Rpc/Plain') },
      {
        Flaky: (_call: unknown, done: Done) => {
          calls += 1;
          if (calls % 2 === 1) done({ code: status.UNAVAILABLE, details: 'not now' });
          else done(null, Buffer.from('flaky'));
        },
        Plain: (_call: unknown, done: Done) => done(null, Buffer.from('plain')),
      },
    );
    return new Promise((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
  };

  beforeAll(async () => {
    agent = await startAgent({ name: 'n1', datacenter: 'dc1', config: { ports: { grpc: 0 } } });
    for (const [Name, Protocol] of [
      ['api', 'http'],
      ['rpc', 'grpc'],
    ])
      await entry({ Kind: 'service-defaults', Name, Protocol });
    apiPort = await instance('api-1', { local_request_timeout_ms: 300, local_connect_timeout_ms: 1_234 });
    await instance('api-2', { local_request_timeout_ms: 300 });
    await service('rpc', { port: await grpcApplication() });
    const echo = await startEcho('tcp');
    echoes.push(echo);
    await service('tcp', { port: echo.port, config: { max_inbound_connections: 2 } });
    socket = join(agent.dataDir, 'tcp.sock');
    web = await service('web', {
      upstreams: [
        { DestinationName: 'api' },
        { DestinationName: 'rpc' },
        { DestinationName: 'tcp', LocalBindPort: 0, LocalBindSocketPath: socket, LocalBindSocketMode: '0600' },
        { DestinationName: 'tcp', Config: { balance_outbound_connections: 'exact_balance' } },
      ],
    });
    await until('the way to api', async () => (await get()).status === 200);
  }, 90_000);
  afterAll(async () => {
    await Promise.all(envoys.map((each) => each.stop()));
    await agent?.stop();
    for (const server of servers) {
      if (server instanceof GrpcServer) server.forceShutdown();
      else {
        server.closeAllConnections();
        server.close();
      }
    }
    await Promise.all(echoes.map((each) => each.close()));
    await assertNoneLeft();
  }, 30_000);

  it('headers of requests and answers are added, set and removed, by a router and by a splitter', async () => {
    const changes = (name: string): object => ({
      RequestHeaders: { Add: { 'x-add': name }, Set: { 'x-set': name }, Remove: ['x-gone'] },
      ResponseHeaders: { Add: { 'x-answer': `${name} 100%` }, Remove: ['x-secret'] },
    });
    const sent = { 'x-add': 'mine', 'x-set': 'mine', 'x-gone': 'mine' };
    const changed = async (name: string): Promise<void> => {
      await until(`the changes of the ${name}`, async () => (await get('/', sent)).headers['x-answer'] !== undefined);
      const answer = await get('/', sent);
      expect(answer.headers).toMatchObject({ 'x-answer': `${name} 100%` });
      expect(answer.headers).not.toHaveProperty('x-secret');
      const { headers } = answer.json<Seen>();
      expect(headers['x-add']).toMatch(new RegExp(`^mine, ?${name}$`));
      expect(headers['x-set']).toBe(name);
      expect(headers).not.toHaveProperty('x-gone');
    };
    await entry({
      Kind: 'service-router',
      Name: 'api',
      Routes: [{ Match: { HTTP: { PathPrefix: '/' } }, Destination: changes('router') }],
    });
    await changed('router');
    await removed('service-router', 'api');
    await until('no router', async () => (await get()).headers['x-answer'] === undefined);
    await entry({ Kind: 'service-splitter', Name: 'api', Splits: [{ Weight: 100, ...changes('splitter') }] });
    await changed('splitter');
    await removed('service-splitter', 'api');
    await until('no splitter', async () => (await get()).headers['x-answer'] === undefined);
  });

  it.each([
    ['least_request', 'LEAST_REQUEST'],
    ['round_robin', undefined],
    ['random', 'RANDOM'],
    ['ring_hash', 'RING_HASH'],
    ['maglev', 'MAGLEV'],
  ])('%s balances', async (Policy, name) => {
    await resolver({ Policy });
    if (name !== undefined) await until('the balancer', () => hasCluster(`"lb_policy": "${name}"`));
    else await until('the balancer', async () => !(await hasCluster('"lb_policy"')));
    const seen = new Set<string>();
    await until('both instances', async () => seen.add(await by()).size === 2);
    if (Policy !== 'round_robin') return;
    const both = await Promise.all([by(), by(), by(), by()]);
    expect(both.filter((each) => each === 'api-1')).toHaveLength(2);
  });

  it.each(['ring_hash', 'maglev'])(
    '%s: header, query, cookie and source address choose the instance',
    async (Policy) => {
      const lands = async (make: (n: number) => Promise<string>): Promise<number> => {
        const first = await Promise.all(Array.from({ length: 24 }, (_, n) => make(n)));
        const again = await Promise.all(Array.from({ length: 24 }, (_, n) => make(n)));
        expect(again).toEqual(first);
        return new Set(first).size;
      };
      const policy = (...HashPolicies: readonly object[]): Promise<unknown> => resolver({ Policy, HashPolicies });
      const dump = async (text: string): Promise<boolean> => (await web.envoy.ask('/config_dump')).includes(text);
      await policy({ Field: 'header', FieldValue: 'x-user' });
      await until('the policy', () => dump('"header_name": "x-user"'));
      expect(await lands((n) => by({ 'x-user': `user ${n}` }))).toBe(2);
      await policy({ Field: 'query_parameter', FieldValue: 'user' });
      await until('the policy', () => dump('"query_parameter"'));
      expect(await lands(async (n) => (await get(`/?user=${n}`)).json<Seen>().by)).toBe(2);
      await policy({ Field: 'cookie', FieldValue: 'stick', CookieConfig: { TTL: '60s', Path: '/' } });
      await until('the policy', () => dump('"name": "stick"'));
      const given = (await get()).headers['set-cookie'];
      expect(String(given)).toMatch(/^stick=.*Max-Age=60.*Path=\/|^stick=.*path=\/.*max-age=60/i);
      expect(await lands((n) => by({ cookie: `stick=${n}` }))).toBe(2);
      // Terminal: the header decides where it is there, the address of the caller otherwise.
      await policy({ Field: 'header', FieldValue: 'x-user', Terminal: true }, { SourceIP: true });
      await until('the policy', () => dump('"source_ip": true'));
      expect(await lands(() => by())).toBe(1);
      expect(await lands((n) => by({ 'x-user': `user ${n}` }))).toBe(2);
    },
  );

  it('gRPC: a call goes by its method, and is tried again when the answer says unavailable', async () => {
    await removed('service-resolver', 'api');
    await entry({
      Kind: 'service-router',
      Name: 'rpc',
      Routes: [
        {
          Match: { HTTP: { PathExact: '/test.Rpc/Flaky' } },
          Destination: { NumRetries: 3, RetryOn: ['unavailable'], RequestHeaders: { Set: { 'x-way': 'flaky' } } },
        },
      ],
    });
    const client = new Client(`127.0.0.1:${port('rpc')}`, credentials.createInsecure());
    const call = (name: string): Promise<string> =>
      new Promise((resolve, reject) =>
        client.makeUnaryRequest(
          `/test.Rpc/${name}`,
          (bytes: Buffer) => bytes,
          (bytes: Buffer) => bytes.toString(),
          Buffer.alloc(0),
          (error, answer) => (error === null ? resolve(answer ?? '') : reject(error)),
        ),
      );
    await until('the route', async () => (await web.envoy.ask('/config_dump')).includes('"x-way"'));
    expect(await call('Plain')).toBe('plain');
    for (let n = 0; n < 3; n += 1) expect(await call('Flaky')).toBe('flaky');
    client.close();
  });

  it('local_request_timeout_ms and local_connect_timeout_ms bound the application', async () => {
    const startedAt = performance.now();
    expect((await get('/slow')).status).toBe(504);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(await envoys[0]?.ask('/config_dump')).toContain('"connect_timeout": "1.234s"');
  });

  it('limits: what is too much at the same time is refused', async () => {
    const limited = await service('limited', {
      upstreams: [
        {
          DestinationName: 'api',
          Config: { limits: { max_connections: 1, max_pending_requests: 1, max_concurrent_requests: 1 } },
        },
      ],
    });
    const url = `http://127.0.0.1:${limited.upstreamPorts.api ?? 0}/slow`;
    await until('the way to api', async () => (await httpRequest(url.replace('/slow', '/'))).status === 200);
    const answers = await Promise.all(Array.from({ length: 8 }, () => httpRequest(url, { timeoutMs: 10_000 })));
    const statuses = answers.map((each) => each.status);
    expect(statuses).toContain(503);
    expect(statuses).toContain(504);
  });

  it('passive_health_check: an instance that answers 5xx is left out', async () => {
    const careful = await service('careful', {
      upstreams: [
        {
          DestinationName: 'api',
          Config: { passive_health_check: { max_failures: 2, interval: '100ms', base_ejection_time: '30s' } },
        },
      ],
    });
    const url = `http://127.0.0.1:${careful.upstreamPorts.api ?? 0}/sick`;
    const seen = new Set<number>();
    await until('the sick instance', async () => seen.add((await httpRequest(url)).status).has(500));
    await until('it to be left out', async () => {
      const answers = await Promise.all(Array.from({ length: 12 }, () => httpRequest(url)));
      return answers.every((each) => each.status === 200);
    });
  });

  it('max_inbound_connections, exact balance and a Unix socket', async () => {
    const open = [await LongLived.open(port('tcp')), await LongLived.open(port('tcp'))];
    await expect(ask(port('tcp'), 'hello')).rejects.toThrow();
    for (const each of open) each.close();
    await until('room', () => ask(port('tcp'), 'hello'));
    expect(await web.envoy.ask('/config_dump')).toContain('"exact_balance"');
    const dialled = connectPlain(socket);
    dialled.write('over the socket\n');
    const [answer] = (await once(dialled, 'data')) as [Buffer];
    expect(answer.toString()).toContain('tcp: over the socket');
    dialled.destroy();
  });

  it('mesh: versions of TLS and ciphers are what a caller gets', async () => {
    const leaf = await callAgent<LeafCert>(agent, 'GET', '/v1/agent/connect/ca/leaf/web');
    const { Roots } = await callAgent<CaRoots>(agent, 'GET', '/v1/agent/connect/ca/roots');
    const dial = async (options: ConnectionOptions): Promise<{ readonly cipher: string }> => {
      const dialled = connect({
        host: '127.0.0.1',
        port: apiPort,
        cert: leaf.CertPEM,
        key: leaf.PrivateKeyPEM,
        ca: Roots.map(({ RootCert }) => RootCert),
        checkServerIdentity: () => undefined,
        ...options,
      });
      try {
        await once(dialled, 'secureConnect');
        return { cipher: dialled.getCipher().standardName };
      } finally {
        dialled.destroy();
      }
    };
    const cipher = 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384';
    await entry({
      Kind: 'mesh',
      TLS: { Incoming: { TLSMinVersion: 'TLSv1_2', TLSMaxVersion: 'TLSv1_2', CipherSuites: [cipher] } },
    });
    await until('TLS 1.2', async () => {
      await expect(dial({ minVersion: 'TLSv1.3' })).rejects.toThrow();
      return true;
    });
    const picked = await dial({});
    expect(picked.cipher).toBe(cipher);
    await expect(dial({ ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' })).rejects.toThrow();
    expect((await get()).status).toBe(200);
    await removed('mesh', 'mesh');
    await until('TLS 1.3', () => dial({ minVersion: 'TLSv1.3' }));
  });

  it('keys of tokens are fetched over https from a server that the entry trusts, and from no other', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    const keys = JSON.stringify({ keys: [await exportJWK(publicKey)] });
    const authority = new TestAuthority();
    const pair = authority.make('server');
    const server = createSecureServer({ cert: pair.cert, key: pair.key }, (_asked, answer) => answer.end(keys));
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const provider = (Name: string, InlineString: string): Promise<unknown> =>
      entry({
        Kind: 'jwt-provider',
        Name,
        Issuer: Name,
        JSONWebKeySet: {
          Remote: {
            URI: `https://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
            CacheDuration: '1s',
            JWKSCluster: { DiscoveryType: 'STATIC', TLSCertificates: { TrustedCA: { InlineString } } },
          },
        },
      });
    await provider('trusted', authority.ca);
    await provider('untrusted', new TestAuthority().ca);
    const needs = (path: string, Name: string): object => ({
      Action: 'allow',
      HTTP: { PathPrefix: path },
      JWT: { Providers: [{ Name }] },
    });
    await entry({
      Kind: 'service-intentions',
      Name: 'api',
      Sources: [
        {
          Name: 'web',
          Permissions: [
            needs('/trusted', 'trusted'),
            needs('/untrusted', 'untrusted'),
            { Action: 'deny', HTTP: { PathPrefix: '/' } },
          ],
        },
      ],
    });
    const status = async (name: string): Promise<number> => {
      const token = await new SignJWT({ iss: name })
        .setProtectedHeader({ alg: 'ES256' })
        .setExpirationTime('1h')
        .sign(privateKey);
      return (await get(`/${name}`, { authorization: `Bearer ${token}` })).status;
    };
    const both = async (test: () => Promise<boolean>): Promise<boolean> => {
      for (let n = 0; n < 8; n += 1) if (!(await test())) return false; // whichever instance it is
      return true;
    };
    await until('the rules', () => both(async () => (await get('/other')).status === 403));
    await until('the keys', () => both(async () => (await status('trusted')) === 200));
    for (let n = 0; n < 8; n += 1) expect(await status('untrusted')).toBe(403);
    expect(await envoys[0]?.stat('cluster.jwks_cluster_untrusted.ssl.fail_verify_error')).toBeGreaterThan(0);
    await removed('service-intentions', 'api');
    await until('the way to api', async () => (await get()).status === 200);
  });
});
