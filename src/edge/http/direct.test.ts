import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { startTestEdge, type TestEdge } from '../../../test/fakes/http-edge.ts';
import { makeResult } from '../../rpc/contract/result.ts';
import { parseSimpleGet } from './simple-get.ts';

let edge: TestEdge | undefined;

afterEach(async () => {
  await edge?.stop();
});

const GET = 'GET /v1/catalog/services HTTP/1.1\r\nHost: x\r\n\r\n';
const PUT = 'PUT /v1/catalog/register HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{"Node":"n"}';

describe('simple GETs', () => {
  it('are recognized with their headers', () => {
    expect(
      parseSimpleGet('GET /v1/a?b=c HTTP/1.1\r\nHost: x\r\nX-Consul-Token:  t \r\nConnection: Keep-Alive\r\n\r\n'),
    ).toEqual({
      url: '/v1/a?b=c',
      rawHeaders: ['host', 'x', 'x-consul-token', 't', 'connection', 'Keep-Alive'],
    });
  });

  it('have no other space taken from a value than blanks and tabs, as in the parser of Node', () => {
    const values = parseSimpleGet('GET /v1/a HTTP/1.1\r\nHost:\t x \t\r\nX: \xa0y\xa0 \r\n\r\n')?.rawHeaders;
    expect(values).toEqual(['host', 'x', 'x', '\xa0y\xa0']);
  });

  it('take no time that grows with the square of their length', () => {
    const before = process.cpuUsage();
    for (const end of ['\0', 'y'])
      for (let n = 0; n < 100; n += 1)
        parseSimpleGet(`GET /v1/a HTTP/1.1\r\nHost: x\r\nX:y${' '.repeat(8_000)}${end}\r\n\r\n`);
    for (let n = 0; n < 100; n += 1)
      parseSimpleGet(`GET /v1/a HTTP/1.1\r\nHost: x\r\nX:${' '.repeat(8_000)}\0\r\n\r\n`);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1_000).toBeLessThan(1_000); // milliseconds for 300; it took 40 for one
  });

  it.each([
    ['a part of one', 'GET /v1/a HTTP/1.1\r\nHost: x\r\n'],
    ['two of them', GET + GET],
    ['a body that follows', `${GET}x`],
    ['no host', 'GET /v1/a HTTP/1.1\r\nX: y\r\n\r\n'],
    ['two hosts', 'GET /v1/a HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n'],
    ['an announced body', 'GET /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n'],
    ['chunks', 'GET /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['an upgrade', 'GET /v1/a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'],
    ['a connection to be closed', 'GET /v1/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'],
    ['an older version', 'GET /v1/a HTTP/1.0\r\nHost: x\r\n\r\n'],
    ['another method', 'HEAD /v1/a HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a whole URL', 'GET http://x/v1/a HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a bare line feed', 'GET /v1/a HTTP/1.1\r\nHost: x\nX: y\r\n\r\n'],
    ['a space before the colon', 'GET /v1/a HTTP/1.1\r\nHost : x\r\n\r\n'],
    ['a folded header', 'GET /v1/a HTTP/1.1\r\nHost: x\r\n y\r\n\r\n'],
    ['a control character', 'GET /v1/a HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n'],
  ])('leave the rest to the parser: %s', (_what, text) => {
    expect(parseSimpleGet(text)).toBeUndefined();
  });
});

describe('connections', () => {
  it('answer the same as the long way does', async () => {
    edge = await startTestEdge({ responseHeaders: { 'X-Own': '1' } });
    for (const path of [
      '/v1/catalog/services',
      '/v1/health/service/db?passing=x',
      '/v1/catalog/service/a%20b?pretty&cached',
    ]) {
      const [direct, long] = await Promise.all(
        ['', 'Connection: close\r\n'].map(async (line) => {
          const { socket, next } = open(edge as TestEdge);
          socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${line}\r\n`);
          return next();
        }),
      );
      const plain = (text = ''): string[] =>
        text.split('\r\n').filter((part) => !/^(Date|Connection|Keep-Alive|X-Cache|Age):/.test(part));
      expect(plain(direct)).toEqual(plain(long));
      expect(direct).toContain('Date: ');
    }
  });

  it('serve GETs, then writes, then GETs again', async () => {
    edge = await startTestEdge();
    const { socket, next } = open(edge);
    for (const request of [GET, GET, PUT, GET, PUT]) {
      socket.write(request);
      expect(await next()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    }
    expect(edge.contract.calls.map((call) => call.name)).toEqual([
      'catalog.services',
      'catalog.services',
      'catalog.register',
      'catalog.services',
      'catalog.register',
    ]);
  });

  it('answer pipelined requests in order', async () => {
    edge = await startTestEdge();
    edge.contract.onRead = ({ name }) => name;
    const { socket, next } = open(edge);
    const nodes = GET.replace('services', 'nodes');
    socket.write(GET + nodes);
    expect([await next(), await next()].map((text) => text?.split('\r\n\r\n')[1])).toEqual([
      '"catalog.services"',
      '"catalog.nodes"',
    ]);
    const other = open(edge);
    other.socket.write(GET);
    other.socket.write(nodes);
    expect([await other.next(), await other.next()].map((text) => text?.split('\r\n\r\n')[1])).toEqual([
      '"catalog.services"',
      '"catalog.nodes"',
    ]);
  });

  it('take a request that comes in pieces', async () => {
    edge = await startTestEdge();
    const { socket, next } = open(edge);
    socket.write(GET.slice(0, 20));
    await once(socket, 'connect');
    await new Promise((resolve) => setImmediate(resolve));
    socket.write(GET.slice(20));
    expect(await next()).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('pass on each request’s own token, also after one with the same URL', async () => {
    edge = await startTestEdge();
    for (const token of ['a', undefined, 'b']) {
      const { socket, next } = open(edge);
      socket.write(token === undefined ? GET : GET.replace('\r\n\r\n', `\r\nX-Consul-Token: ${token}\r\n\r\n`));
      await next();
    }
    expect(edge.contract.calls.map((call) => call.options.token)).toEqual(['a', undefined, 'b']);
  });

  it('close when nothing is asked for a while, but not while a query waits', async () => {
    edge = await startTestEdge({ limits: { headersMs: 100, keepAliveMs: 100 } });
    const silent = open(edge);
    await once(silent.socket, 'close');
    const idle = open(edge);
    idle.socket.write(GET);
    await idle.next();
    await once(idle.socket, 'close');
    let answer: (value: unknown) => void = () => undefined;
    edge.contract.onRead = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const waiting = open(edge);
    waiting.socket.write(GET.replace('services', 'services?index=5'));
    await expect.poll(() => edge?.contract.calls.length).toBe(2);
    const silentToo = open(edge);
    await once(silentToo.socket, 'close'); // the time has passed for all of them
    answer([]);
    expect(await waiting.next()).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('cut off a client that does not read', async () => {
    const clock = new FakeClock();
    edge = await startTestEdge({ clock, limits: { writeMs: 1_000 } });
    const size = 64 * 1024 * 1024;
    edge.contract.onRead = () => makeResult({ index: 2, json: Buffer.alloc(size, '1') });
    const socket = connect(edge.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.pause();
    socket.write(GET);
    await clock.waitArmed();
    await clock.advance(1_000);
    const closed = once(socket, 'close');
    socket.resume();
    await closed;
    expect(socket.bytesRead).toBeLessThan(size);
  });

  it('send a large answer whole to a slow reader, and go on', async () => {
    edge = await startTestEdge();
    const size = 8 * 1024 * 1024;
    edge.contract.onRead = () => makeResult({ index: 2, json: Buffer.alloc(size, '1') });
    const { socket, next } = open(edge);
    socket.pause();
    socket.write(GET);
    await expect.poll(() => edge?.contract.calls.length).toBe(1);
    socket.resume();
    expect((await next())?.length).toBeGreaterThan(size);
    edge.contract.onRead = () => 1;
    socket.write(GET);
    expect(await next()).toMatch(/\r\n\r\n1$/);
  });
});

/** A connection whose answers can be taken one by one. */
function open(to: TestEdge): { readonly socket: Socket; next(): Promise<string | undefined> } {
  const socket = connect(to.port, '127.0.0.1');
  socket.setEncoding('latin1');
  let text = '';
  let length = 0;
  const chunks: string[] = [];
  const wake: (() => void)[] = [];
  socket.on('data', (chunk: string) => {
    chunks.push(chunk);
    length += chunk.length;
    for (const tell of wake.splice(0)) tell();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    for (const tell of wake.splice(0)) tell();
  });
  let needed = 0;
  return {
    socket,
    async next() {
      for (;;) {
        if (length > 0 && length >= needed) {
          text += chunks.splice(0).join('');
          const head = text.indexOf('\r\n\r\n');
          const body = /\r\nContent-Length: (\d+)/.exec(text.slice(0, head))?.[1];
          needed = head < 0 || body === undefined ? text.length + 1 : head + 4 + Number(body);
          if (text.length >= needed) {
            const answer = text.slice(0, needed);
            text = text.slice(needed);
            length = text.length;
            needed = 0;
            return answer;
          }
        }
        if (socket.destroyed) return undefined;
        await new Promise<void>((resolve) => {
          wake.push(resolve);
        });
      }
    },
  };
}
