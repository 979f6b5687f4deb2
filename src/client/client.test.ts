import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { IsthmusError } from '../lib/errors.ts';
import { createClient } from './client.ts';
import { clientOptions } from './env.ts';
import { encodeQuery, parseAddress } from './options.ts';
import { watch } from './watch.ts';

interface Seen {
  readonly line: string;
  readonly token: string | undefined;
  readonly body: string;
}

const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(handler: Handler, path?: string): Promise<{ address: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const token = request.headers['x-consul-token'];
      seen.push({
        line: `${request.method} ${request.url}`,
        token: typeof token === 'string' ? token : undefined,
        body: Buffer.concat(chunks).toString(),
      });
      handler(request, response);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) =>
    path === undefined ? server.listen(0, '127.0.0.1', resolve) : server.listen(path, resolve),
  );
  if (path !== undefined) return { address: `unix://${path}`, seen };
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

async function failure(promise: Promise<unknown>): Promise<IsthmusError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(IsthmusError);
  return error as IsthmusError;
}

describe('createClient', () => {
  it('sends query, token and body, and reads value and index', async () => {
    const { address, seen } = await serve((_request, response) => {
      response.setHeader('x-consul-index', '7').end('[]');
    });
    const client = createClient({ address, token: 't', datacenter: 'dc2', stale: true });
    const answer = await client.health.service('a b', { passing: true, tags: ['x', 'y'] }, { index: 3, wait: '1s' });
    expect(answer).toEqual({ value: [], index: 7 });
    await client.agent.registerService({ Name: 'web' }, { datacenter: 'dc3' });
    expect(seen).toEqual([
      {
        line: 'GET /v1/health/service/a%20b?dc=dc2&index=3&passing=&stale=&tag=x&tag=y&wait=1s',
        token: 't',
        body: '',
      },
      { line: 'PUT /v1/agent/service/register?dc=dc3&stale=', token: 't', body: '{"Name":"web"}' },
    ]);
    client.close();
  });

  it("tells a refusal in Consul's words, with a code", async () => {
    const { address } = await serve((_request, response) => {
      response.statusCode = 500;
      response.end('No path to datacenter');
    });
    const error = await failure(createClient({ address }).catalog.nodes());
    expect(error.message).toBe('Unexpected response code: 500 (No path to datacenter)');
    expect(error.code).toBe('rejected');
  });

  it('reports that no agent listens', async () => {
    const error = await failure(createClient({ address: '127.0.0.1:1' }).agent.members({ segment: '_all' }));
    expect(error.code).toBe('unavailable');
    expect(error.message).toBe(
      'Get "http://127.0.0.1:1/v1/agent/members?segment=_all": dial tcp 127.0.0.1:1: connect: connection refused',
    );
    const socket = join(tmpdir(), `isthmus-absent-${process.pid}.sock`);
    const missing = await failure(createClient({ address: `unix://${socket}` }).operator.leader());
    expect(missing.message).toContain(`dial unix ${socket}: connect: no such file or directory`);
  });

  it('speaks over a unix socket', async () => {
    const { address } = await serve(
      (_request, response) => response.end('"10.0.0.1:8300"'),
      join(tmpdir(), `isthmus-${process.pid}.sock`),
    );
    expect(await createClient({ address }).operator.leader()).toBe('10.0.0.1:8300');
  });

  it('stops waiting when the signal aborts', async () => {
    const controller = new AbortController();
    const { address } = await serve(() => controller.abort());
    const error = await failure(createClient({ address }).catalog.services({ index: 1, signal: controller.signal }));
    expect(error.code).toBe('cancelled');
  });

  it('notices answers that are cut or no JSON', async () => {
    const cut = await serve((_request, response) => {
      response.setHeader('content-length', '100');
      response.write('[');
      response.destroy();
    });
    expect((await failure(createClient({ address: cut.address }).catalog.nodes())).code).toBe('unavailable');
    const html = await serve((_request, response) => response.end('<html>'));
    expect((await failure(createClient({ address: html.address }).catalog.nodes())).message).toMatch(/not JSON/);
  });

  it('takes an absent intention as undefined', async () => {
    const { address } = await serve((_request, response) => {
      response.statusCode = 404;
      response.end('Intention not found');
    });
    expect(await createClient({ address }).intentions.getExact({ source: 'a', destination: 'b' })).toBeUndefined();
  });
});

describe('watch', () => {
  it('yields changes only, follows an index that goes back, and ends with its signal', async () => {
    const indexes = [5, 5, 9, 2];
    const controller = new AbortController();
    const asked: (number | undefined)[] = [];
    const values = watch(
      async (call) => {
        asked.push(call.index);
        const index = indexes.shift();
        if (index === undefined) {
          controller.abort();
          throw new IsthmusError('cancelled', 'cancelled');
        }
        return { value: index, index };
      },
      controller.signal,
      '1s',
    );
    const seen: number[] = [];
    for await (const value of values) seen.push(value);
    expect(seen).toEqual([5, 9, 2]);
    expect(asked).toEqual([undefined, 5, 5, 9, 2]);
  });
});

describe('parseAddress', () => {
  it.each([
    ['127.0.0.1:1', false, '127.0.0.1', 1, 'http://127.0.0.1:1'],
    ['host', false, 'host', 8500, 'http://host:8500'],
    ['https://host', true, 'host', 443, 'https://host'],
    ['http://[::1]:80/', false, '::1', 80, 'http://[::1]:80'],
  ])('%s', (address, secure, host, port, base) => {
    expect(parseAddress(address)).toEqual({ secure, host, port, base });
  });

  it.each(['ftp://x', 'a:b', 'http://', 'unix://', 'a:99999'])('refuses %s', (address) => {
    expect(() => parseAddress(address)).toThrow(/is neither host:port/);
  });
});

describe('clientOptions', () => {
  const readFile = (path: string): string => `<${path}>\n`;
  const listFiles = (path: string): string[] => [`${path}/a.pem`, `${path}/b.pem`];

  it('puts flags over ISTHMUS_ over CONSUL_ variables', () => {
    const env = {
      CONSUL_HTTP_ADDR: 'a:1',
      ISTHMUS_HTTP_ADDR: 'b:2',
      CONSUL_HTTP_TOKEN: 'one',
      CONSUL_HTTP_SSL: 'true',
      CONSUL_CACERT: 'ca.pem',
      CONSUL_HTTP_SSL_VERIFY: '0',
    };
    expect(clientOptions({}, { env, readFile, listFiles })).toEqual({
      address: 'https://b:2',
      token: 'one',
      tls: { ca: ['<ca.pem>\n'], verify: false },
    });
    expect(
      clientOptions({ httpAddr: 'http://c:3', tokenFile: 't', stale: true }, { env, readFile, listFiles }),
    ).toMatchObject({
      address: 'http://c:3',
      token: '<t>',
      stale: true,
    });
    const paths = {
      CONSUL_CAPATH: '/cas',
      CONSUL_CLIENT_CERT: 'c',
      CONSUL_CLIENT_KEY: 'k',
      CONSUL_TLS_SERVER_NAME: 's',
    };
    expect(clientOptions({}, { env: paths, readFile, listFiles }).tls).toEqual({
      ca: ['</cas/a.pem>\n', '</cas/b.pem>\n'],
      cert: '<c>\n',
      key: '<k>\n',
      serverName: 's',
    });
    expect(clientOptions({}, { env: {}, readFile, listFiles }).address).toBe('127.0.0.1:8500');
    expect(() => clientOptions({}, { env: { CONSUL_HTTP_SSL: 'maybe' }, readFile, listFiles })).toThrow(
      /HTTP_SSL must be/,
    );
  });
});

describe('encodeQuery', () => {
  it('sorts, repeats lists and leaves out what is not set', () => {
    expect(encodeQuery({ b: 1, a: true, c: ['x', 'y'], d: undefined, e: false, f: '' })).toBe('?a=&b=1&c=x&c=y');
    expect(encodeQuery({})).toBe('');
  });
});
