import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { startTestEdge, type TestEdge, type TestEdgeOptions } from '../../../test/fakes/http-edge.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { abortReason } from '../../lib/signals.ts';
import { makeResult } from '../../rpc/contract/result.ts';

const open: TestEdge[] = [];

async function start(options: TestEdgeOptions = {}): Promise<TestEdge> {
  const edge = await startTestEdge(options);
  open.push(edge);
  return edge;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((edge) => edge.stop()));
});

/** A read that waits until its signal aborts; resolves `asked` once it is waiting. */
function blockReads(edge: TestEdge): { readonly asked: Promise<void>; readonly aborted: Promise<void> } {
  let tellAsked: () => void = () => undefined;
  let tellAborted: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => {
    tellAsked = resolve;
  });
  const aborted = new Promise<void>((resolve) => {
    tellAborted = resolve;
  });
  edge.contract.onRead = ({ options }) =>
    new Promise((_resolve, reject) => {
      options.signal.addEventListener('abort', () => {
        tellAborted();
        reject(abortReason(options.signal));
      });
      tellAsked();
    });
  return { asked, aborted };
}

describe('headers of answers', () => {
  it('tells index, leader, contact and consistency of a read', async () => {
    const edge = await start();
    edge.contract.onRead = () => makeResult({ index: 42, value: [{ a: 1 }], lastContactMs: 3.4 });
    for (const [query, consistency] of [
      ['', 'leader'],
      ['?stale', 'stale'],
      ['?consistent', 'consistent'],
    ]) {
      const answer = await edge.get(`/v1/catalog/nodes${query}`);
      expect(answer).toMatchObject({ status: 200, body: '[{"a":1}]' });
      expect(answer.headers).toMatchObject({
        'content-type': 'application/json',
        'x-consul-default-acl-policy': 'allow',
        'x-consul-effective-consistency': consistency,
        'x-consul-index': '42',
        'x-consul-knownleader': 'true',
        'x-consul-lastcontact': '3',
      });
    }
  });

  it('tells which datacenter cannot be reached with the headers of a failed read', async () => {
    const edge = await start();
    edge.contract.onRead = () => {
      throw new IsthmusError('no_path', 'No path to datacenter');
    };
    const answer = await edge.get('/v1/catalog/nodes?dc=nowhere');
    expect(answer).toMatchObject({ status: 500, body: 'No path to datacenter' });
    expect(answer.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'x-consul-index': '1',
      'x-consul-knownleader': 'false',
      'x-consul-lastcontact': '0',
    });
    expect(answer.headers).not.toHaveProperty('x-consul-effective-consistency');
    expect(edge.contract.calls[0]?.options).toMatchObject({ datacenter: 'nowhere' });
  });

  it('keeps the index of an entry that does not exist, so that a client can wait for it', async () => {
    const edge = await start();
    edge.contract.onRead = () => {
      throw new IsthmusError('not_found', 'no such entry', { details: { index: 90 } });
    };
    const answer = await edge.get('/v1/config/service-defaults/none');
    expect(answer).toMatchObject({ status: 404, body: 'no such entry' });
    expect(answer.headers).toMatchObject({ 'x-consul-index': '90', 'x-consul-knownleader': 'true' });
    const intention = await edge.get('/v1/connect/intentions/exact?source=a&destination=b');
    expect(intention.status).toBe(404);
    expect(intention.headers).not.toHaveProperty('x-consul-index');
  });

  it('names what a written entry asks for and does not get', async () => {
    const edge = await start();
    const write = (entry: unknown) => edge.send('PUT', '/v1/config', JSON.stringify(entry));
    const asked = await write({ Kind: 'service-defaults', Name: 'web', MutualTLSMode: 'permissive' });
    expect(asked).toMatchObject({ status: 200, body: 'true' });
    expect(asked.headers['x-isthmus-warning']).toBe('MutualTLSMode has no effect: sidecars stay strict');
    expect((await write({ Kind: 'service-defaults', Name: 'web' })).headers).not.toHaveProperty('x-isthmus-warning');
  });

  it('says MISS, then HIT with an age, to ?cached', async () => {
    const edge = await start();
    const result = makeResult({ index: 2, value: [] });
    edge.contract.onRead = () => result;
    const path = '/v1/health/service/db?cached';
    expect((await edge.get(path)).headers).toMatchObject({ 'x-cache': 'MISS' });
    for (let i = 0; i < 3; i += 1) expect((await edge.get(path)).headers).toMatchObject({ 'x-cache': 'HIT', age: '0' });
    expect((await edge.get('/v1/health/service/db')).headers).not.toHaveProperty('x-cache');
  });

  it('gives those who ask for one result in several ways each their own answer', async () => {
    const edge = await start();
    const result = makeResult({ index: 9, value: [] });
    edge.contract.onRead = () => result;
    const path = '/v1/health/service/db';
    const plain = await edge.get(`${path}?index=1`);
    expect(await edge.get(`${path}?index=2`)).toMatchObject({ body: plain.body, status: 200 });
    expect((await edge.get(`${path}?index=3&stale`)).headers).toMatchObject({
      'x-consul-effective-consistency': 'stale',
    });
    expect((await edge.get(`${path}?index=4&pretty`)).body).toBe('[]\n');
    expect((await edge.get(`${path}?index=5&passing=what`)).status).toBe(400);
    expect((await edge.get(`${path}?index=6&cached`)).headers).toMatchObject({ 'x-cache': 'MISS' });
    expect((await edge.get(`${path}?index=7`)).headers).not.toHaveProperty('x-cache');
  });

  it('writes indented JSON when asked, and the bytes of the answer untouched otherwise', async () => {
    const edge = await start();
    edge.contract.onRead = () => makeResult({ index: 2, json: Buffer.from('{"a": [1]}') });
    expect((await edge.get('/v1/catalog/services')).body).toBe('{"a": [1]}');
    expect((await edge.get('/v1/catalog/services?pretty')).body).toBe('{\n    "a": [\n        1\n    ]\n}\n');
    expect((await edge.get('/v1/catalog/services?pretty')).body).toContain('    "a"');
  });

  it('sends configured headers with every answer', async () => {
    const edge = await start({ responseHeaders: { 'X-Frame-Options': 'DENY' }, defaultPolicy: 'deny' });
    const headers = { 'x-frame-options': 'DENY', 'x-consul-default-acl-policy': 'deny' };
    expect((await edge.get('/v1/catalog/nodes')).headers).toMatchObject(headers);
    expect((await edge.get('/v1/catalog/nodes?index=x')).headers).toMatchObject(headers);
    expect((await edge.send('POST', '/v1/catalog/nodes')).headers).toMatchObject(headers);
  });
});

describe('routing', () => {
  it('names the allowed methods', async () => {
    const edge = await start();
    const refused = await edge.send('DELETE', '/v1/catalog/nodes');
    expect(refused).toMatchObject({ status: 405, body: 'method DELETE not allowed' });
    expect(refused.headers).toMatchObject({ allow: 'OPTIONS,GET', 'content-type': 'text/plain; charset=utf-8' });
    const exact = await edge.send('OPTIONS', '/v1/connect/intentions/exact?source=a&destination=b');
    expect(exact).toMatchObject({ status: 200, body: '' });
    expect(exact.headers.allow).toBe('OPTIONS,GET,PUT,DELETE');
    const head = await edge.send('HEAD', '/v1/catalog/nodes');
    expect(head).toMatchObject({ status: 405, body: '' });
  });

  it('says that an unknown path is none', async () => {
    const edge = await start();
    for (const path of ['/v1/nope', '/', '/v1/catalog/nodes/', '/v2/catalog/nodes', '/v1//catalog/nodes']) {
      const answer = await edge.get(path);
      expect(answer).toMatchObject({ status: 404, body: `"${path}" is no endpoint of this API` });
    }
  });

  it('decodes what a path names, and takes the rest of it with slashes', async () => {
    const edge = await start();
    await edge.get('/v1/health/service/a%2Fb%20c');
    await edge.get('/v1/health/service/a/b');
    await edge.get('/v1/config/service-defaults/a/b');
    await edge.get(`/v1/health/node/${'n'.repeat(3_000)}`);
    expect(edge.contract.calls.map((call) => call.args)).toEqual([
      { service: 'a/b c' },
      { service: 'a/b' },
      { kind: 'service-defaults', name: 'a/b' },
      { node: 'n'.repeat(3_000) },
    ]);
    expect(await edge.get('/v1/catalog/service/')).toMatchObject({ status: 400, body: 'Missing service name' });
    expect(await edge.get('/v1/health/service/%zz')).toMatchObject({ status: 400 });
  });

  it('passes on conditions and the token', async () => {
    const edge = await start();
    const path = '/v1/health/connect/db?passing&tag=a&tag=b&node-meta=k:v&node-meta=x&near=_agent&filter=F==1';
    await edge.get(path, { 'x-consul-token': 'secret' });
    expect(edge.contract.calls[0]).toMatchObject({
      name: 'health.service',
      args: {
        service: 'db',
        connect: true,
        passing: true,
        tags: ['a', 'b'],
        nodeMeta: { k: 'v', x: '' },
        near: 'dc1-s1',
        filter: 'F==1',
      },
      options: { token: 'secret', consistency: 'default' },
    });
    await edge.get('/v1/catalog/nodes', { authorization: 'Bearer other' });
    expect(edge.contract.calls[1]?.options.token).toBe('other');
    await edge.get('/v1/catalog/nodes');
    expect(edge.contract.calls[2]?.options).not.toHaveProperty('token');
  });

  it('refuses blocked endpoints, and writes from elsewhere', async () => {
    const edge = await start({ blockEndpoints: ['/v1/agent'], allowWriteHttpFrom: ['10.0.0.0/8'] });
    expect(await edge.get('/v1/agent/self')).toMatchObject({ status: 403 });
    expect(await edge.get('/v1/catalog/nodes')).toMatchObject({ status: 200 });
    expect(await edge.send('PUT', '/v1/catalog/register', '{}')).toMatchObject({
      status: 403,
      body: 'Access is restricted',
    });
  });
});

describe('writes', () => {
  it('decodes the body and answers the value', async () => {
    const edge = await start();
    const register = await edge.send('PUT', '/v1/catalog/register?dc=dc2', '{"node":"n1","Service":{"Port":1}}');
    expect(register).toMatchObject({ status: 200, body: 'true' });
    expect(edge.contract.calls[0]).toMatchObject({
      name: 'catalog.register',
      args: { Node: 'n1', Service: { Port: 1 } },
      options: { datacenter: 'dc2' },
    });
    edge.contract.onWrite = () => null;
    const config = await edge.send('PUT', '/v1/connect/ca/configuration', '{"Provider":"consul","Config":{}}');
    expect(config).toMatchObject({ status: 200, body: '' });
    expect(config.headers).not.toHaveProperty('content-type');
  });

  it.each([
    ['PUT', '/v1/catalog/register', '', 400, 'Request decode failed: EOF'],
    ['PUT', '/v1/catalog/register', '{"Node":', 400, 'Request decode failed: unexpected EOF'],
    [
      'PUT',
      '/v1/config',
      '[]',
      400,
      'Bad request: Request decoding failed: json: cannot unmarshal array into Go value of type ' +
        'map[string]interface {}',
    ],
    ['PUT', '/v1/config?cas=x', '{}', 500, 'strconv.ParseUint: parsing "x": invalid syntax'],
    ['PUT', '/v1/connect/intentions/exact?source=a', '{}', 500, "required query parameter 'destination' not set"],
    [
      'POST',
      '/v1/connect/intentions',
      '{"Precedence":"x"}',
      400,
      'Request decode failed: json: cannot unmarshal string into Go struct field Intention.Precedence of type int',
    ],
  ])('%s %s with %j: %i', async (method, path, body, status, text) => {
    const edge = await start();
    expect(await edge.send(method, path, body)).toMatchObject({ status, body: text });
    expect(edge.contract.calls).toEqual([]);
  });

  it('turns error codes into statuses', async () => {
    const edge = await start();
    for (const [code, status] of [
      ['invalid_argument', 400],
      ['rejected', 500],
      ['permission_denied', 403],
      ['unavailable', 503],
      ['internal', 500],
    ] as const) {
      edge.contract.onWrite = () => {
        throw new IsthmusError(code, 'why');
      };
      const answer = await edge.send('PUT', '/v1/catalog/register', '{"Node":"a"}');
      expect(answer).toMatchObject({ status, body: 'why' });
    }
  });

  it('gives a write a limited time', async () => {
    const clock = new FakeClock();
    const edge = await start({ clock, limits: { decideMs: 1_000 } });
    edge.contract.onWrite = ({ options }) =>
      new Promise((_resolve, reject) => {
        options.signal.addEventListener('abort', () => reject(abortReason(options.signal)));
      });
    const answer = edge.send('PUT', '/v1/catalog/register', '{"Node":"a"}');
    await clock.waitArmed();
    await clock.advance(1_000);
    expect(await answer).toMatchObject({ status: 504, body: 'not decided within 1000 ms' });
  });
});

describe('limits', () => {
  it('refuses a body above the limit, announced or not', async () => {
    const edge = await start({ limits: { maxBodyBytes: 1_000 } });
    const body = 'x'.repeat(1_001);
    const text = 'Request body too large, max size: 1000 bytes';
    expect(await edge.send('PUT', '/v1/catalog/register', body)).toMatchObject({ status: 413, body: text });
    const chunked = await edge.raw(
      `PUT /v1/catalog/register HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: ` +
        `chunked\r\n\r\n3e9\r\n${body}\r\n0\r\n\r\n`,
    );
    expect(chunked).toMatch(/^HTTP\/1\.1 413 /);
    expect(chunked).toContain(text);
    expect(edge.contract.calls).toEqual([]);
  });

  it('refuses headers above the limit and what is not HTTP', async () => {
    const edge = await start({ limits: { maxHeaderBytes: 4_096 } });
    expect(await edge.raw(`GET /v1/catalog/nodes HTTP/1.1\r\nX: ${'y'.repeat(5_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 /,
    );
    expect(await edge.raw('\x16\x03\x01\x02\x00\x01\x00')).toMatch(/^HTTP\/1\.1 400 /);
    expect(await edge.raw('GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc')).toMatch(
      /^HTTP\/1\.1 400 /,
    );
    expect((await edge.get('/v1/catalog/nodes')).status).toBe(200);
  });

  it('cuts off a client that is too slow to send', async () => {
    const edge = await start({ limits: { headersMs: 100, requestMs: 200 } });
    expect(await edge.raw('GET /v1/catalog/nodes HTTP/1.1\r\nHost:')).toMatch(/^HTTP\/1\.1 408 /);
    expect(await edge.raw('PUT /v1/config HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{')).toMatch(
      /^HTTP\/1\.1 408 /,
    );
    expect(await edge.raw('')).not.toContain(' 200 ');
  });

  it('cuts off a client that does not read', async () => {
    const clock = new FakeClock();
    const edge = await start({ clock, limits: { writeMs: 1_000 } });
    edge.contract.onRead = () => makeResult({ index: 2, json: Buffer.alloc(64 * 1024 * 1024, '1') });
    const socket = connect(edge.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.pause();
    socket.write('GET /v1/catalog/nodes HTTP/1.1\r\nHost: x\r\n\r\n');
    await clock.waitArmed();
    await clock.advance(1_000);
    const closed = once(socket, 'close');
    socket.resume();
    await closed;
    expect(socket.bytesRead).toBeLessThan(64 * 1024 * 1024);
  });

  it('answers 429 above the number of connections of one client', async () => {
    const edge = await start({ limits: { maxConnectionsPerClient: 2 } });
    const held = [connect(edge.port, '127.0.0.1'), connect(edge.port, '127.0.0.1')];
    await Promise.all(
      held.map((socket) => {
        const answered = once(socket, 'data');
        socket.write('GET /v1/catalog/nodes HTTP/1.1\r\nHost: x\r\n\r\n');
        return answered;
      }),
    );
    edge.contract.calls.splice(0);
    await expect.poll(() => edge.raw('GET /v1/catalog/nodes HTTP/1.1\r\nHost: x\r\n\r\n')).toMatch(/^HTTP\/1\.1 429 /);
    expect(edge.contract.calls).toEqual([]);
    await Promise.all(
      held.map((socket) => {
        const closed = once(socket, 'close');
        socket.destroy();
        return closed;
      }),
    );
    await expect.poll(async () => (await edge.get('/v1/catalog/nodes')).status).toBe(200);
  });
});

describe('a flood of silent connections', () => {
  it('leaves others served, from the same address too', async () => {
    const edge = await start({ limits: { maxConnectionsPerClient: 50, maxConnections: 100 } });
    const silent = Array.from({ length: 300 }, (_, n) => {
      const socket = connect({ port: edge.port, host: '127.0.0.1', localAddress: `127.0.1.${n % 3}` });
      socket.on('error', () => undefined);
      return socket;
    });
    await Promise.all(silent.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
    const asked = Array.from({ length: 60 }, async (_, n) => {
      const socket = connect({ port: edge.port, host: '127.0.0.1', localAddress: `127.0.${n % 2}.1` });
      socket.write('GET /v1/catalog/nodes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      return answer.toString('latin1', 0, 12);
    });
    expect(new Set(await Promise.all(asked))).toEqual(new Set(['HTTP/1.1 200']));
    for (const socket of silent) socket.destroy();
  });
});

describe('watchers and requests in flight', () => {
  it('answers 429 above the limit of blocking queries of a client, on every way in, until one ends', async () => {
    const edge = await start({ limits: { maxWatchersPerClient: 1 } });
    const { asked, aborted } = blockReads(edge);
    const first = request({ port: edge.port, path: '/v1/catalog/nodes?index=5' });
    first.on('error', () => undefined);
    first.end();
    await asked;
    const refused = { status: 429, body: expect.stringContaining('limits.http_max_watchers_per_client') };
    expect(await edge.get('/v1/catalog/nodes?index=5')).toMatchObject(refused);
    expect(await edge.get('/v1/catalog/nodes?index=5', { connection: 'close' })).toMatchObject(refused);
    expect((await edge.get('/v1/catalog/nodes?index=6')).headers['retry-after']).toBe('1');
    edge.contract.onRead = () => [];
    expect((await edge.get('/v1/catalog/nodes')).status).toBe(200);
    first.destroy();
    await aborted;
    await expect.poll(async () => (await edge.get('/v1/catalog/nodes?index=5')).status).toBe(200);
    expect((await edge.get('/v1/catalog/nodes?index=5', { connection: 'close' })).status).toBe(200);
  });

  it('answers 503 above the requests in flight, and recovers', async () => {
    const edge = await start({ limits: { maxRequestsInFlight: 1 } });
    let answer: (value: unknown) => void = () => undefined;
    const asked = new Promise<void>((tell) => {
      edge.contract.onRead = () => {
        tell();
        return new Promise((resolve) => {
          answer = resolve;
        });
      };
    });
    const slow = edge.get('/v1/catalog/nodes');
    await asked;
    const refused = { status: 503, body: expect.stringContaining('limits.http_max_requests_in_flight') };
    expect(await edge.get('/v1/catalog/services')).toMatchObject(refused);
    expect(await edge.send('PUT', '/v1/catalog/register', '{}')).toMatchObject(refused);
    edge.contract.onRead = () => [];
    answer([]);
    expect((await slow).status).toBe(200);
    await expect.poll(async () => (await edge.get('/v1/catalog/services')).status).toBe(200);
  });
});

describe('waiting and stopping', () => {
  it('aborts a blocked read when its client goes away', async () => {
    const edge = await start();
    const { asked, aborted } = blockReads(edge);
    const sent = request({ port: edge.port, path: '/v1/catalog/nodes?index=5&wait=1m' });
    sent.on('error', () => undefined);
    sent.end();
    await asked;
    expect(edge.contract.calls[0]?.options).toMatchObject({ index: 5, waitMs: 60_000 });
    sent.destroy();
    await aborted;
  });

  it('answers blocked reads and closes kept-alive connections when it stops', async () => {
    const edge = await start();
    await edge.get('/v1/catalog/nodes');
    const idle = connect(edge.port, '127.0.0.1');
    idle.write('GET /v1/catalog/nodes HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(idle, 'data');
    const { asked } = blockReads(edge);
    const blocked = edge.get('/v1/catalog/nodes?index=5');
    await asked;
    const closed = once(idle, 'close');
    await edge.stop();
    await closed;
    expect(await blocked).toMatchObject({ status: 503, body: 'the agent is stopping' });
  });

  it('gives up on requests that do not end when it stops', async () => {
    const clock = new FakeClock();
    const edge = await start({ clock, limits: { drainMs: 500 } });
    let tellAsked: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => {
      tellAsked = resolve;
    });
    edge.contract.onRead = () => {
      tellAsked();
      return new Promise(() => undefined);
    };
    const hanging = edge.get('/v1/catalog/nodes?index=5').catch((error: unknown) => error);
    await asked;
    const stopped = edge.stop();
    await clock.waitArmed();
    await clock.advance(500);
    await stopped;
    expect(await hanging).toBeInstanceOf(Error);
  });

  it('refuses to start where something else listens', async () => {
    const edge = await start();
    const listeners = [{ kind: 'tcp' as const, host: '127.0.0.1', port: edge.port }];
    await expect(startTestEdge({ listeners } as TestEdgeOptions)).rejects.toMatchObject({ code: 'unavailable' });
  });
});
