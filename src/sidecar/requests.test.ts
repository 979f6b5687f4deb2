import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ALLOW_ALL, denying } from '../../test/fakes/fake-mesh.ts';
import { ask, HTTP, httpApp, requestsTo, route, split } from '../../test/fakes/http-bench.ts';
import { DB, portOf, type RunningSidecar, SidecarBench } from '../../test/fakes/sidecar-bench.ts';
import type { Verdicts } from '../model/intention.ts';
import type { SidecarRequests, SidecarUpdate } from '../model/sidecar.ts';
import type { SidecarLimits } from './limits.ts';

let bench: SidecarBench;
beforeEach(() => {
  bench = new SidecarBench();
});
afterEach(() => bench.close());

/** The sidecar of db, behind which an application says what it was asked. */
async function db(name = 'db', parts: Omit<SidecarUpdate, 'version'> = {}): Promise<RunningSidecar> {
  const port = await httpApp(bench, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method, url, headers } = request;
      response.setHeader('content-type', 'application/json');
      response.setHeader('x-app', name);
      response.end(JSON.stringify({ name, method, url, headers, body: Buffer.concat(chunks).toString() }));
    });
  });
  return await bench.db(port, { parts: { inbound: HTTP, ...parts } });
}

async function web(
  requests: SidecarRequests,
  upstream = {},
  limits: Partial<SidecarLimits> = {},
): Promise<RunningSidecar> {
  return await bench.web([], { parts: { requests: { [DB.key]: requests }, endpoints: {} }, upstream, limits });
}

const said = (
  body: string,
): { name: string; method: string; url: string; headers: Record<string, string>; body: string } => JSON.parse(body);

describe('requests', () => {
  it('above the limit of the service are answered by 429, as Envoy does', async () => {
    const limits = { perSecond: 0.001, burst: 2, routes: [] };
    const one = await db('db', { inbound: { ...HTTP, limits } });
    const { address } = await web(requestsTo({ db: [one.address] }));
    const answers = [await ask(address, '/'), await ask(address, '/'), await ask(address, '/')];
    expect(answers.map((each) => each.status)).toEqual([200, 200, 429]);
    expect(answers[2]).toMatchObject({ body: 'local_rate_limited', headers: { 'x-envoy-ratelimited': 'true' } });
  });

  it('go through with their body, and name the caller to the application', async () => {
    const one = await db();
    const { address } = await web(requestsTo({ db: [one.address] }));
    const forged = { 'x-forwarded-client-cert': 'URI=spiffe://evil', connection: 'x-hop', 'x-hop': '1' };
    const answer = await ask(address, '/a/../b?c=1', {
      method: 'POST',
      body: 'hello',
      headers: { ...forged, host: 'db.example' },
    });
    expect(answer).toMatchObject({ status: 200 });
    const { headers, ...rest } = said(answer.body);
    expect(rest).toEqual({ name: 'db', method: 'POST', url: '/b?c=1', body: 'hello' });
    expect(headers).toMatchObject({ host: 'db.example' });
    expect(headers).not.toHaveProperty('x-hop');
    const identity = `spiffe://${bench.ca.trustDomain}/ns/default/dc`;
    expect(headers['x-forwarded-client-cert']).toMatch(
      new RegExp(`^By=${identity}/dc2/svc/db;Hash=[0-9a-f]{64};URI=${identity}/dc1/svc/web$`),
    );
  });

  it('use a connection again', async () => {
    const one = await db();
    const { address, sidecar } = await web(requestsTo({ db: [one.address] }));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let n = 0; n < 20; n += 1) expect((await ask(address, `/${n}`, { agent })).status).toBe(200);
    expect(sidecar.stats().outbound.connections).toBe(1);
    expect(one.sidecar.stats().inbound.connections).toBe(1);
    agent.destroy();
  });

  it('are routed, split, rewritten, and have their headers changed', async () => {
    const [one, two] = [await db('one'), await db('two')];
    const routes = [
      route({
        match: { path: { type: 'prefix', value: '/v2/' }, headers: [], query: [], methods: ['GET'] },
        splits: [split('two', 10_000, { responseHeaders: { add: [['x-split', '2']], set: [], remove: [] } })],
        prefixRewrite: '/',
        requestHeaders: { add: [], set: [['x-route', 'v2']], remove: ['x-secret'] },
        responseHeaders: { add: [], set: [], remove: ['x-app'] },
      }),
      route({ splits: [split('one', 5_000), split('two', 5_000)] }),
    ];
    const { address } = await web(requestsTo({ one: [one.address], two: [two.address] }, { routes }));
    const answer = await ask(address, '/v2/x', { headers: { 'x-secret': '1' } });
    expect(said(answer.body)).toMatchObject({ name: 'two', url: '/x', headers: { 'x-route': 'v2' } });
    expect(said(answer.body).headers).not.toHaveProperty('x-secret');
    expect(answer.headers).toMatchObject({ 'x-split': '2' });
    expect(answer.headers).not.toHaveProperty('x-app');
    const names = new Set<string>();
    for (let n = 0; n < 30; n += 1) names.add(said((await ask(address)).body).name);
    expect([...names].sort()).toEqual(['one', 'two']);
  });

  const permitting: Verdicts = {
    ...ALLOW_ALL,
    destination: 'db',
    defaultAction: 'deny',
    revision: 9,
    rules: [
      {
        source: 'web',
        destination: 'db',
        action: 'deny',
        precedence: 9,
        revision: 9,
        permissions: 2,
        requests: {
          Permissions: [
            { Action: 'deny', HTTP: { PathPrefix: '/admin' } },
            { Action: 'allow', HTTP: { Methods: ['GET'] } },
          ],
        },
      },
    ],
  };

  it('are refused by permissions with the reason; a change counts for the next on the same connection', async () => {
    const one = await db('db', { verdicts: permitting });
    const { address } = await web(requestsTo({ db: [one.address] }));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect((await ask(address, '/', { agent })).status).toBe(200);
    for (const path of ['/admin', '/x/../admin', '/%61dmin']) {
      expect(await ask(address, path, { agent })).toMatchObject({ status: 403, body: 'RBAC: access denied' });
    }
    expect((await ask(address, '/', { agent, method: 'POST', body: 'x' })).status).toBe(403);
    expect(one.log.refusals()[0]).toMatchObject({ reason: 'denied', permission: 0, revision: 9, precedence: 9 });
    expect(one.sidecar.stats().refused).toEqual({ denied: 4 });
    await one.source.put({ verdicts: ALLOW_ALL });
    expect((await ask(address, '/admin', { agent })).status).toBe(200);
    expect(one.sidecar.stats().inbound.connections).toBe(1);
    agent.destroy();
  });

  it('that are open end when their source is denied altogether, and no others', async () => {
    const port = await httpApp(bench, (_request, response) => void response.write('begun'));
    const one = await bench.db(port, { parts: { inbound: HTTP } });
    const { address } = await web(requestsTo({ db: [one.address] }));
    const [answer] = (await once(request({ host: '127.0.0.1', port: portOf(address) }).end(), 'response')) as [
      IncomingMessage,
    ];
    await once(answer, 'data');
    const open = new Promise((resolve) => {
      answer.once('error', () => resolve('cut'));
      answer.once('end', () => resolve('ended'));
      answer.resume();
    });
    expect(one.sidecar.stats().inbound.connections).toBe(1);
    await one.source.put({ verdicts: denying('other') });
    expect(one.sidecar.stats().inbound.connections).toBe(1);
    await one.source.put({ verdicts: denying('web') });
    expect(await open).toBe('cut');
    expect(one.sidecar.stats()).toMatchObject({ closedByChange: 1, inbound: { connections: 0 } });
    expect(await ask(address)).toMatchObject({ status: 403, body: 'RBAC: access denied' });
  });

  it('that are under way end well when the sidecars stop; idle connections are closed', async () => {
    const waiting: (() => void)[] = [];
    const port = await httpApp(bench, (request, response) => {
      if (request.url === '/slow') waiting.push(() => response.end('done'));
      else response.end();
    });
    const one = await bench.db(port, { parts: { inbound: HTTP }, limits: { drainMs: 20_000 } });
    const { address, sidecar } = await web(requestsTo({ db: [one.address] }), {}, { drainMs: 20_000 });
    const agent = new Agent({ keepAlive: true });
    await ask(address, '/', { agent });
    const slow = ask(address, '/slow');
    await expect.poll(() => waiting.length).toBe(1);
    const stopped = Promise.all([sidecar.stop(), one.sidecar.stop()]);
    for (const answer of waiting) answer();
    expect(await slow).toMatchObject({ status: 200, body: 'done', headers: { connection: 'close' } });
    await stopped; // long before the time to drain is over
    agent.destroy();
  }, 10_000);
});
