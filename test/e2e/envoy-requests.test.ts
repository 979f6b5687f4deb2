import { once } from 'node:events';
import { Agent, createServer, request, type Server } from 'node:http';
import { type ClientHttp2Session, connect, createServer as createServer2, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  assertNoneLeft,
  type Bed,
  callAgent,
  type EnvoyService,
  envoyProgram,
  type HttpAnswer,
  httpRequest,
  startBed,
  startEnvoyService,
  waitFor,
} from '../harness/index.ts';

const envoy = envoyProgram();

interface Seen {
  readonly by: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** web in dc1 asks api by HTTP/1.1, which has a canary, and rpc by HTTP/2, in dc2; all behind Envoys. */
describe.skipIf(envoy.missing)(envoy.title('requests through Envoys'), () => {
  let bed: Bed;
  let web: EnvoyService;
  const services: EnvoyService[] = [];
  const servers: (Server | Http2Server)[] = [];
  /** Requests that came to `/flaky` of an application so far. */
  let flaky = 0;

  /** Answers what it was asked. */
  async function application(name: string): Promise<number> {
    const server = createServer((asked, answer) => {
      const seen = { by: name, method: asked.method, path: asked.url, headers: asked.headers };
      if (asked.url === '/flaky') {
        flaky += 1;
        answer.statusCode = flaky % 2 === 1 ? 503 : 200;
      }
      if (asked.url === '/slow') return; // never
      answer.setHeader('content-type', 'application/json');
      answer.end(JSON.stringify(seen));
    });
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  /** HTTP/2 without TLS: each piece of a stream comes back. */
  async function streams(): Promise<number> {
    const server = createServer2();
    server.on('stream', (stream) => {
      stream.on('error', () => undefined);
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    server.on('session', (session) => session.on('error', () => undefined));
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  const service = async (
    dc: 'dc1' | 'dc2',
    name: string,
    options: Parameters<typeof startEnvoyService>[2],
  ): Promise<EnvoyService> => {
    const started = await startEnvoyService(bed[dc], name, options);
    services.push(started);
    return started;
  };
  const entry = (fields: Readonly<Record<string, unknown>>): Promise<unknown> =>
    callAgent(bed.dc1, 'PUT', '/v1/config', fields);
  const removed = (kind: string, name: string): Promise<unknown> =>
    callAgent(bed.dc1, 'DELETE', `/v1/config/${kind}/${name}`);
  const get = (path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): Promise<HttpAnswer> =>
    httpRequest(`http://127.0.0.1:${web.upstreamPorts.api ?? 0}${path}`, { headers, method, timeoutMs: 10_000 });
  /** Once a request is answered as wanted. */
  const until = (what: string, test: () => Promise<boolean>): Promise<unknown> => waitFor(test, { what });
  const router = (...Routes: readonly unknown[]): Promise<unknown> =>
    entry({ Kind: 'service-router', Name: 'api', Routes });

  beforeAll(async () => {
    bed = await startBed({ config: { ports: { grpc: 0 } } });
    for (const [Name, Protocol] of [
      ['api', 'http'],
      ['canary', 'http'],
      ['rpc', 'http2'],
    ])
      await entry({ Kind: 'service-defaults', Name, Protocol });
    await Promise.all([
      service('dc2', 'api', { port: await application('api') }),
      service('dc2', 'canary', { port: await application('canary') }),
      service('dc2', 'rpc', { port: await streams() }),
    ]);
    for (const Name of ['api', 'canary', 'rpc'])
      await entry({ Kind: 'service-resolver', Name, Redirect: { Datacenter: 'dc2' } });
    web = await service('dc1', 'web', { upstreams: [{ DestinationName: 'api' }, { DestinationName: 'rpc' }] });
    await until('the way to api', async () => (await get('/')).status === 200);
  }, 60_000);
  afterAll(async () => {
    await Promise.all(services.map((each) => each.envoy.stop()));
    await bed?.stop();
    for (const server of servers) server.close();
    await assertNoneLeft();
  });

  it('reach the application, which learns by a header who called; one that the caller made up is gone', async () => {
    const answer = await get('/a?b=c', { 'x-forwarded-client-cert': 'URI=spiffe://made-up' });
    const seen = answer.json<Seen>();
    expect(seen).toMatchObject({ by: 'api', method: 'GET', path: '/a?b=c' });
    expect(seen.headers['x-forwarded-client-cert']).toMatch(/URI=spiffe:\/\/[^;]+\/dc\/dc1\/svc\/web/);
    expect(seen.headers['x-forwarded-client-cert']).not.toContain('made-up');
  });

  it('go by path, header, query and method, with a rewritten path, a timeout and retries', async () => {
    await router(
      { Match: { HTTP: { PathPrefix: '/v2/' } }, Destination: { Service: 'canary', PrefixRewrite: '/' } },
      { Match: { HTTP: { PathRegex: '/[0-9]+' } }, Destination: { Service: 'canary' } },
      {
        Match: { HTTP: { Header: [{ Name: 'x-canary', Exact: 'yes' }], Methods: ['PUT', 'DELETE'] } },
        Destination: { Service: 'canary' },
      },
      { Match: { HTTP: { QueryParam: [{ Name: 'canary', Present: true }] } }, Destination: { Service: 'canary' } },
      { Match: { HTTP: { PathExact: '/slow' } }, Destination: { RequestTimeout: '200ms' } },
      {
        Match: { HTTP: { PathExact: '/flaky' } },
        Destination: { NumRetries: 2, RetryOnStatusCodes: [503] },
      },
    );
    const by = async (...args: Parameters<typeof get>): Promise<string> => (await get(...args)).json<Seen>().by;
    await until('the routes', async () => (await by('/v2/x')) === 'canary');
    expect((await get('/v2/a/b?c')).json<Seen>().path).toBe('/a/b?c');
    expect(await by('/v2')).toBe('api');
    expect([await by('/12'), await by('/12a')]).toEqual(['canary', 'api']);
    const marked = { 'x-canary': 'yes' };
    expect([await by('/', marked, 'PUT'), await by('/', marked), await by('/', {}, 'PUT')]).toEqual([
      'canary',
      'api',
      'api',
    ]);
    expect([await by('/?canary'), await by('/?canary=1'), await by('/?other=canary')]).toEqual([
      'canary',
      'canary',
      'api',
    ]);
    const startedAt = performance.now();
    expect((await get('/slow')).status).toBe(504);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect((await get('/flaky')).status).toBe(200);
    expect(flaky).toBe(2);
    await removed('service-router', 'api');
  });

  it('are split by weights', async () => {
    await entry({
      Kind: 'service-splitter',
      Name: 'api',
      Splits: [{ Weight: 75 }, { Weight: 25, Service: 'canary' }],
    });
    await until('the split', async () => (await get('/')).json<Seen>().by === 'canary');
    const answers = await Promise.all(Array.from({ length: 400 }, async () => (await get('/')).json<Seen>().by));
    const canary = answers.filter((by) => by === 'canary').length;
    // 100 are expected; beyond 55 and 145 it is less than one in a million runs.
    expect(canary).toBeGreaterThan(55);
    expect(canary).toBeLessThan(145);
    await removed('service-splitter', 'api');
  });

  it('a permission decides by path and method; a new deny counts on a connection that is open', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<number | undefined>();
    const kept = (path: string): Promise<{ readonly status: number; readonly body: string }> =>
      new Promise((resolve, reject) => {
        const sent = request({ host: '127.0.0.1', port: web.upstreamPorts.api, path, agent }, (answer) => {
          ports.add(answer.socket.localPort);
          let body = '';
          answer.on('data', (chunk: Buffer) => {
            body += chunk.toString();
          });
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }));
        });
        sent.on('error', reject);
        sent.end();
      });
    expect(await kept('/admin')).toMatchObject({ status: 200 });
    const permissions = (...Permissions: readonly unknown[]): Promise<unknown> =>
      entry({ Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Permissions }] });
    const startedAt = performance.now();
    await permissions(
      { Action: 'allow', HTTP: { PathExact: '/admin/health', Methods: ['GET'] } },
      { Action: 'deny', HTTP: { PathPrefix: '/admin' } },
    );
    await until('the deny', async () => (await kept('/admin')).status === 403);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(await kept('/admin/users')).toEqual({ status: 403, body: 'RBAC: access denied' });
    expect(await kept('/admin/health')).toMatchObject({ status: 200 });
    expect(await kept('/other')).toMatchObject({ status: 200 });
    expect((await get('/admin/health', {}, 'POST')).status).toBe(403);
    expect(ports.size).toBe(1); // the same connection all along
    agent.destroy();
    await removed('service-intentions', 'api');
    await until('the way to api', async () => (await get('/admin')).status === 200);
  });

  it('a deny of the whole service is answered by 403', async () => {
    await entry({ Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'deny' }] });
    await until('the deny', async () => (await get('/')).status === 403);
    expect((await get('/')).body).toBe('RBAC: access denied');
    await removed('service-intentions', 'api');
    await until('the way to api', async () => (await get('/')).status === 200);
  });

  it('need a token where an intention says so, with keys of the entry or of a server', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    const keys = JSON.stringify({ keys: [await exportJWK(publicKey)] });
    const keyServer = createServer((_asked, answer) => answer.end(keys));
    servers.push(keyServer);
    keyServer.listen(0, '127.0.0.1');
    await once(keyServer, 'listening');
    const signed = (iss: string, claims: Readonly<Record<string, unknown>>): Promise<string> =>
      new SignJWT({ iss, ...claims }).setProtectedHeader({ alg: 'ES256' }).setExpirationTime('1h').sign(privateKey);
    await entry({
      Kind: 'jwt-provider',
      Name: 'inline',
      Issuer: 'inline',
      JSONWebKeySet: { Local: { JWKS: Buffer.from(keys).toString('base64') } },
    });
    await entry({
      Kind: 'jwt-provider',
      Name: 'fetched',
      Issuer: 'fetched',
      JSONWebKeySet: {
        Remote: {
          URI: `http://127.0.0.1:${(keyServer.address() as AddressInfo).port}/keys`,
          JWKSCluster: { DiscoveryType: 'STATIC' },
        },
      },
    });
    const admin = { Path: ['perms', 'role'], Value: 'admin' };
    await entry({
      Kind: 'service-intentions',
      Name: 'api',
      Sources: [
        {
          Name: 'web',
          Permissions: [
            {
              Action: 'allow',
              HTTP: { PathPrefix: '/inline' },
              JWT: { Providers: [{ Name: 'inline', VerifyClaims: [admin] }] },
            },
            { Action: 'allow', HTTP: { PathPrefix: '/fetched' }, JWT: { Providers: [{ Name: 'fetched' }] } },
            { Action: 'deny', HTTP: { PathPrefix: '/' } },
          ],
        },
      ],
    });
    const status = async (path: string, token?: string): Promise<number> =>
      (await get(path, token === undefined ? {} : { authorization: `Bearer ${token}` })).status;
    await until('the rules', async () => (await status('/inline')) === 403);
    const good = await signed('inline', { perms: { role: 'admin' } });
    expect(await status('/inline', good)).toBe(200);
    expect(await status('/inline', await signed('inline', { perms: { role: ['x', 'admin'] } }))).toBe(200);
    expect(await status('/inline', await signed('inline', { perms: { role: 'user' } }))).toBe(403);
    expect(await status('/inline', await signed('fetched', { perms: { role: 'admin' } }))).toBe(403);
    expect(await status('/inline', `${good.slice(0, -8)}AAAAAAAA`)).toBe(403);
    await until('the keys', async () => (await status('/fetched', await signed('fetched', {}))) === 200);
    expect(await status('/fetched', good)).toBe(403);
    await removed('service-intentions', 'api');
    await until('the way to api', async () => (await status('/')) === 200);
  });

  it('are limited by path, and cleaned as the mesh entry says', async () => {
    await entry({
      Kind: 'service-defaults',
      Name: 'api',
      Protocol: 'http',
      RateLimits: {
        InstanceLevel: {
          RequestsPerSecond: 1_000,
          Routes: [{ PathPrefix: '/few', RequestsPerSecond: 1, RequestsMaxBurst: 3 }],
        },
      },
    });
    await until('the limit', async () => (await get('/few')).status === 429);
    expect((await get('/many')).status).toBe(200);
    await entry({ Kind: 'service-defaults', Name: 'api', Protocol: 'http' });
    await entry({
      Kind: 'mesh',
      TLS: { Incoming: { TLSMinVersion: 'TLSv1_3' } },
      HTTP: {
        SanitizeXForwardedClientCert: true,
        Incoming: { RequestNormalization: { MergeSlashes: true, HeadersWithUnderscoresAction: 'DROP_HEADER' } },
      },
    });
    await until('the mesh entry', async () => {
      const answer = await get('/a//b', { a_b: '1', 'x-forwarded-client-cert': 'URI=spiffe://made-up' });
      return answer.status === 200 && answer.json<Seen>().path === '/a/b';
    });
    const { headers } = (await get('/a//b', { a_b: '1' })).json<Seen>();
    expect(headers).not.toHaveProperty('a_b');
    expect(headers).not.toHaveProperty('x-forwarded-client-cert');
    await removed('mesh', 'mesh');
    await until('no mesh entry', async () => (await get('/a//b')).json<Seen>().path === '/a//b');
  });

  it('20 streams of HTTP/2 go on during a rotation of the root, and end with a deny', async () => {
    const session: ClientHttp2Session = connect(`http://127.0.0.1:${web.upstreamPorts.rpc ?? 0}`);
    session.on('error', () => undefined);
    const open = Array.from({ length: 20 }, () => session.request({ ':method': 'POST', ':path': '/echo' }));
    const gone = Promise.all(open.map((stream) => new Promise<void>((resolve) => stream.on('close', () => resolve()))));
    for (const stream of open) stream.on('error', () => undefined);
    const echo = async (text: string): Promise<void> => {
      await Promise.all(
        open.map(async (stream) => {
          stream.write(text);
          const [chunk] = (await once(stream, 'data')) as [Buffer];
          expect(chunk.toString()).toBe(text);
        }),
      );
    };
    await echo('before');
    await callAgent(bed.dc1, 'PUT', '/v1/connect/ca/rotate');
    await waitFor(
      async () => (await callAgent<{ Phase: string }>(bed.dc1, 'GET', '/v1/connect/ca/rotation')).Phase === 'idle',
      { what: 'the end of the rotation', timeout: 60_000 },
    );
    await echo('after');
    expect(open.some((stream) => stream.closed)).toBe(false);
    const startedAt = performance.now();
    await entry({ Kind: 'service-intentions', Name: 'rpc', Sources: [{ Name: 'web', Action: 'deny' }] });
    await gone;
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    session.destroy();
  }, 90_000);
});
