import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestEdge, type TestEdge } from '../../../test/fakes/http-edge.ts';
import { systemClock } from '../../lib/clock.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import { createHttpEdge, type HttpEdge } from './edge.ts';
import { allRoutes } from './reference.ts';

let edge: TestEdge;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isthmus-guard-'));
  edge = await startTestEdge({
    hosts: ['node-1.example.com', '*.consul', '*.ops.example.com'],
    allowOrigins: ['https://Console.example.com'],
    listeners: [
      { kind: 'tcp', host: '127.0.0.1', port: 0 },
      { kind: 'unix', path: join(folder, 'socket') },
    ],
  });
});
afterAll(async () => {
  await edge.stop();
  await rm(folder, { recursive: true });
});

const PATH = '/v1/connect/intentions/exact?source=a&destination=b';
const put = (headers: Readonly<Record<string, string>>) => edge.send('PUT', PATH, '{"Action":"deny"}', headers);

describe('the Host of a request', () => {
  it.each([
    ...['127.0.0.1:8500', '[::1]:8500', 'localhost', 'agent.localhost:1', 'consul:8500', 'LOCALHOST.'],
    ...['node-1.example.com', 'Node-1.Example.COM:8500', 'server.dc1.consul', 'a.b.ops.example.com.'],
  ])('is taken: %s', async (host) => {
    expect((await edge.get('/v1/catalog/nodes', { host })).status).toBe(200);
    expect((await put({ host })).status).toBe(200);
  });

  it.each([
    ...['attacker.example', 'attacker.example:8500', '127.0.0.1.nip.io', 'consul.attacker.example'],
    ...['evil-node-1.example.com', 'ops.example.com', 'localhost.attacker.example', 'xconsul.net'],
  ])('is refused, for reads too, on a new connection and one that is kept: %s', async (host) => {
    const refused = { status: 403, body: expect.stringContaining('http_config.allow_hosts') };
    expect(await edge.get('/v1/catalog/nodes', { host })).toMatchObject(refused);
    expect(await edge.get('/v1/catalog/service/web?index=7', { host })).toMatchObject(refused);
    expect(await put({ host })).toMatchObject(refused);
    expect(await edge.send('OPTIONS', PATH, undefined, { host })).toMatchObject(refused);
    const good = 'GET /v1/catalog/nodes HTTP/1.1\r\nHost: localhost\r\n\r\n';
    const kept = await twoRequests(
      good,
      `GET /v1/catalog/nodes HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
    );
    expect(kept.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 403']);
  });

  it('does not matter on a Unix socket', async () => {
    const status = await new Promise((resolve, reject) => {
      const options = { socketPath: join(folder, 'socket'), path: '/v1/catalog/nodes', headers: { host: 'a.b' } };
      httpRequest(options, (response) => resolve(response.resume().statusCode))
        .on('error', reject)
        .end();
    });
    expect(status).toBe(200);
    expect((await edge.get('/v1/catalog/nodes', { host: 'a.b' })).status).toBe(403);
  });
});

describe('a change that a browser sends', () => {
  const own = () => `127.0.0.1:${edge.port}`;
  const FORM = 'application/x-www-form-urlencoded';

  it.each([
    ['curl', {}],
    ['curl -d', { 'content-type': FORM, 'user-agent': 'curl/8.5.0' }],
    ['fetch in Node', { 'content-type': 'text/plain;charset=UTF-8', 'sec-fetch-mode': 'cors', 'user-agent': 'node' }],
    ['Go', { 'user-agent': 'Go-http-client/1.1' }],
    ['a page of an allowed origin', { origin: 'https://console.example.com', 'sec-fetch-site': 'cross-site' }],
    ['a form of an allowed origin', { origin: 'https://console.example.com', 'sec-fetch-site': 'cross-site' }],
    ['a page that names no one', { 'sec-fetch-site': 'none', 'user-agent': 'Mozilla/5.0' }],
  ])('is carried out: %s', async (_who, headers) => {
    expect((await put(headers)).status).toBe(200);
  });

  it('is carried out for a page of this agent', async () => {
    expect((await put({ origin: `http://${own()}`, 'sec-fetch-site': 'same-origin' })).status).toBe(200);
    expect((await put({ referer: `http://${own()}/ui/`, 'user-agent': 'Mozilla/5.0' })).status).toBe(200);
  });

  it.each([
    ['another page', { origin: 'https://attacker.example' }],
    ['a page on another port', { origin: 'http://127.0.0.1:1' }],
    ['a page without an origin', { origin: 'null' }],
    ['a page that begins like an allowed one', { origin: 'https://console.example.com.attacker.example' }],
    ['another site, by Sec-Fetch-Site', { 'sec-fetch-site': 'cross-site' }],
    ['a neighbour, by Sec-Fetch-Site', { 'sec-fetch-site': 'same-site' }],
    ['another page, by Referer', { referer: 'https://attacker.example/x' }],
    ['a form', { 'content-type': FORM, 'user-agent': 'Mozilla/5.0 (X11)' }],
    ['a form of parts', { 'content-type': 'Multipart/Form-Data; boundary=x', 'user-agent': 'Mozilla/5.0' }],
    ['plain text', { 'content-type': 'text/plain;charset=UTF-8', 'user-agent': 'Mozilla/5.0' }],
  ])('is refused: %s', async (_who, headers) => {
    const before = edge.contract.calls.length;
    for (const method of ['PUT', 'POST', 'DELETE', 'PATCH']) {
      const body = method === 'DELETE' ? undefined : '{"Action":"deny"}';
      const answer = await edge.send(method, PATH, body, headers);
      expect(answer).toMatchObject({ status: 403, body: expect.stringContaining('http_config.allow_origins') });
    }
    expect(edge.contract.calls).toHaveLength(before);
  });

  it('may read what it may read', async () => {
    const answer = await edge.get('/v1/catalog/nodes', { origin: 'https://attacker.example' });
    expect(answer.status).toBe(200);
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
  });
});

describe('names of namespaces, partitions and peers', () => {
  let all: HttpEdge;

  beforeAll(async () => {
    const deps = { routes: allRoutes(), clock: systemClock, log: noLog, metrics: noMetrics };
    const listeners = [{ kind: 'tcp', host: '127.0.0.1', port: 0 }] as const;
    all = createHttpEdge(deps, { listeners, defaultPolicy: 'allow' });
    await all.start(new AbortController().signal);
  });
  afterAll(() => all.stop());

  const ask = async (method: string, path: string, init: RequestInit = {}) => {
    const answer = await fetch(`http://127.0.0.1:${all.addresses[0]?.port}${path}`, { method, ...init });
    return `${answer.status} ${await answer.text()}`;
  };

  it('are refused by every route, as a parameter and as a header', async () => {
    for (const route of allRoutes()) {
      const { method } = route;
      const path = route.path.replace(/[:*]\w+/g, 'x');
      for (const parameter of ['ns=team', 'partition=p', 'peer=other', 'ns=default&ns=team'])
        expect(await ask(method, `${path}?${parameter}`), `${method} ${path}`).toMatch(
          /^400 Bad request: Invalid query/,
        );
      for (const header of ['X-Consul-Namespace', 'X-Consul-Partition']) {
        const headers = { [header]: 'team' };
        expect(await ask(method, path, { headers }), `${method} ${path}`).toMatch(/^400 Bad request: Invalid header/);
      }
      if (method !== 'GET') expect(await ask(method, `${path}?ns=*`)).toMatch(/^400 Bad request: Invalid query/);
    }
  });

  it.each([
    ['/v1/agent/service/register', { Name: 'n', Namespace: 'team' }],
    ['/v1/agent/service/register', { Name: 'n', Partition: 'p' }],
    ['/v1/agent/service/register', { Name: 'n', Check: { TTL: '1s', Namespace: 'team' } }],
    ['/v1/agent/service/register', { Name: 'n', Connect: { SidecarService: { Namespace: 'team' } } }],
    ['/v1/agent/service/register', { Name: 'n', Proxy: { Upstreams: [{ DestinationNamespace: 'team' }] } }],
    ['/v1/agent/service/register', { Name: 'n', Proxy: { Upstreams: [{ DestinationPeer: 'other' }] } }],
    ['/v1/agent/check/register', { Name: 'n', TTL: '1s', Namespace: 'team' }],
  ])('are refused in what is registered with the agent: %s %o', async (path, body) => {
    expect(await ask('PUT', path, { body: JSON.stringify(body) })).toMatch(/^400 .*there (?:is|are) no /);
  });

  it('are taken when they are the ones that exist', async () => {
    for (const query of ['?ns=default', '?ns=', '?ns=*', '?partition=default', '?ns=Default&partition='])
      expect((await edge.get(`/v1/catalog/nodes${query}`)).status, query).toBe(200);
    for (const headers of [{ 'X-Consul-Namespace': 'default' }, { 'X-Consul-Partition': '' }])
      expect((await edge.get('/v1/catalog/nodes', headers)).status).toBe(200);
    const answer = await edge.get('/v1/catalog/nodes?ns=team');
    expect(answer).toMatchObject({
      status: 400,
      body:
        'Bad request: Invalid query parameter: "ns" - there is no namespace "team" here: a datacenter has one, ' +
        '"default"',
    });
  });

  it.each([
    ['PUT', '/v1/catalog/register', { Node: 'n', Address: '1.1.1.1', Partition: 'p' }],
    ['PUT', '/v1/catalog/register', { Node: 'n', Address: '1.1.1.1', Service: { Service: 'a', Namespace: 'team' } }],
    ['PUT', '/v1/catalog/register', { Node: 'n', Address: '1', Check: { Name: 'a', Namespace: 'team' } }],
    ['PUT', '/v1/catalog/register', upstream({ DestinationNamespace: 'team' })],
    ['PUT', '/v1/catalog/register', upstream({ destination_partition: 'p' })],
    ['PUT', '/v1/catalog/register', upstream({ DestinationPeer: 'other' })],
    ['PUT', '/v1/catalog/deregister', { Node: 'n', Namespace: 'team' }],
    ['POST', '/v1/connect/intentions', { SourceName: 'a', SourceNS: 'team', DestinationName: 'b', Action: 'deny' }],
    ['PUT', PATH, { DestinationNS: 'team', Action: 'deny' }],
    ['PUT', PATH, { SourcePeer: 'other', Action: 'deny' }],
    ['POST', '/v1/query', { Name: 'q', Service: { Service: 'a', Namespace: 'team' } }],
    ['POST', '/v1/query', { Name: 'q', Service: { Service: 'a', Peer: 'other' } }],
    ['POST', '/v1/query', { Name: 'q', Service: { Service: 'a', Failover: { Targets: [{ Partition: 'p' }] } } }],
    ['PUT', '/v1/acl/token', { Namespace: 'team' }],
    ['PUT', '/v1/acl/policy', { Name: 'a', Namespace: 'team' }],
    ['PUT', '/v1/acl/role', { Name: 'a', ServiceIdentities: [{ ServiceName: 'a', Namespace: 'team' }] }],
    ['PUT', '/v1/coordinate/update', { Node: 'a', Partition: 'p' }],
  ])('are refused in a body: %s %s %o', async (method, path, body) => {
    const before = edge.contract.calls.length;
    const answer = await edge.send(method, path, JSON.stringify(body));
    expect(answer).toMatchObject({
      status: 400,
      body: expect.stringMatching(/there (?:is|are) no (?:name|part|peer)/),
    });
    expect(edge.contract.calls).toHaveLength(before);
    const empty = JSON.stringify(body).replaceAll(/"(?:team|p|other)"/g, '""');
    expect((await edge.send(method, path, empty)).body).not.toMatch(/there (?:is|are) no|unknown field/);
  });
});

function upstream(more: object) {
  const proxy = { DestinationServiceName: 'a', Upstreams: [{ DestinationName: 'b', LocalBindPort: 1, ...more }] };
  return { Node: 'n', Address: '1.1.1.1', Service: { Kind: 'connect-proxy', Service: 'a', Port: 1, Proxy: proxy } };
}

/** Sends the second when the first was answered. */
function twoRequests(first: string, second: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(edge.port, '127.0.0.1', () => socket.write(first));
    socket.setEncoding('latin1');
    socket.once('data', () => socket.write(second));
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}
