import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, callAgent, httpRequest, type MeshService, startBed, waitFor } from '../harness/index.ts';

/** web in dc1 asks db in dc2, whose requests go to db and to canary; all with the built-in sidecar. */
describe('requests between two datacenters', () => {
  let bed: Bed;
  let web: MeshService;
  let token = '';
  const servers: Server[] = [];
  let flaky = 0;

  async function app(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<number> {
    const server = createServer(answer);
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  const said = (name: string) => (request: IncomingMessage, response: ServerResponse) => {
    if (request.url === '/flaky') {
      flaky += 1;
      if (flaky % 3 !== 0) response.statusCode = 503;
    }
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ name, url: request.url, headers: request.headers }));
  };

  const entry = (body: object): Promise<unknown> => callAgent(bed.dc1, 'PUT', '/v1/config', { ...body });

  async function get(path: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string }> {
    const answer = await httpRequest(`http://127.0.0.1:${web.upstreamPort}${path}`, { method: 'GET', headers });
    return { status: answer.status, body: answer.body };
  }
  const answeredBy = async (path: string): Promise<string> =>
    (JSON.parse((await get(path)).body) as { name: string }).name;

  beforeAll(async () => {
    bed = await startBed();
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    token = await new SignJWT({ iss: 'issuer' })
      .setProtectedHeader({ alg: 'ES256' })
      .setExpirationTime('1h')
      .sign(privateKey);
    const keys = JSON.stringify({ keys: [await exportJWK(publicKey)] });
    await entry({ Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' } });
    await entry({
      Kind: 'jwt-provider',
      Name: 'issuer',
      Issuer: 'issuer',
      JSONWebKeySet: { Local: { JWKS: Buffer.from(keys).toString('base64') } },
    });
    await entry({ Kind: 'service-splitter', Name: 'db', Splits: [{ Weight: 50 }, { Weight: 50, Service: 'canary' }] });
    await entry({
      Kind: 'service-router',
      Name: 'db',
      Routes: [
        {
          Match: { HTTP: { PathPrefix: '/new/' } },
          Destination: { Service: 'canary', PrefixRewrite: '/', RequestHeaders: { Set: { 'x-route': 'new' } } },
        },
        {
          Match: { HTTP: { PathExact: '/flaky' } },
          Destination: { Service: 'canary', NumRetries: 2, RetryOn: ['5xx'] },
        },
      ],
    });
    for (const Name of ['db', 'canary'])
      await entry({
        Kind: 'service-intentions',
        Name,
        Sources: [
          {
            Name: 'web',
            Permissions: [
              { Action: 'deny', HTTP: { PathPrefix: '/admin' } },
              { Action: 'allow', HTTP: { PathPrefix: '/private' }, JWT: { Providers: [{ Name: 'issuer' }] } },
              { Action: 'deny', HTTP: { PathPrefix: '/private' } },
              { Action: 'allow', HTTP: { PathPrefix: '/' } },
            ],
          },
        ],
      });
    await bed.mesh(bed.dc2, 'db', { port: await app(said('db')) });
    await bed.mesh(bed.dc2, 'canary', { port: await app(said('canary')) });
    web = await bed.mesh(bed.dc1, 'web', { upstream: { name: 'db', datacenter: 'dc2' } });
    await waitFor(async () => (await get('/new/x')).status === 200 && (await get('/')).status === 200, {
      what: 'web reaching db and canary',
    });
  });

  afterAll(async () => {
    await bed?.stop();
    for (const server of servers) server.closeAllConnections();
    await Promise.all(servers.map((server) => new Promise((resolve) => void server.close(resolve))));
  });

  it('are split, rewritten and marked, and say who calls', async () => {
    const names = new Set<string>();
    for (let n = 0; n < 30; n += 1) names.add(await answeredBy('/'));
    expect([...names].sort()).toEqual(['canary', 'db']);
    const { name, url, headers } = JSON.parse((await get('/new/x?y=1')).body) as {
      name: string;
      url: string;
      headers: Record<string, string>;
    };
    expect({ name, url, route: headers['x-route'] }).toEqual({ name: 'canary', url: '/x?y=1', route: 'new' });
    expect(headers['x-forwarded-client-cert']).toMatch(
      /^By=spiffe:\/\/[^;]+\/dc\/dc2\/svc\/canary;Hash=[0-9a-f]{64};URI=spiffe:\/\/[^;]+\/dc\/dc1\/svc\/web$/,
    );
  });

  it('are sent again as the route says', async () => {
    flaky = 0;
    expect((await get('/flaky')).status).toBe(200);
    expect(flaky).toBe(3);
  });

  it('are refused by permission, with the reason; a token is let in; a change counts within a second', async () => {
    expect(await get('/admin/x')).toEqual({ status: 403, body: 'RBAC: access denied' });
    expect(await get('/x/%2e%2e/admin')).toEqual({ status: 403, body: 'RBAC: access denied' });
    expect((await get('/private')).status).toBe(403);
    expect((await get('/private', { authorization: 'Bearer nonsense' })).status).toBe(403);
    expect((await get('/private', { authorization: `Bearer ${token}` })).status).toBe(200);
    for (const Name of ['db', 'canary'])
      await entry({ Kind: 'service-intentions', Name, Sources: [{ Name: 'web', Action: 'deny' }] });
    await waitFor(async () => (await get('/')).status === 403, { what: 'the deny in dc2', timeout: 1_000 });
    for (const Name of ['db', 'canary'])
      await entry({ Kind: 'service-intentions', Name, Sources: [{ Name: 'web', Action: 'allow' }] });
    await waitFor(async () => (await get('/admin')).status === 200, { what: 'the allow in dc2', timeout: 2_000 });
  });
});
