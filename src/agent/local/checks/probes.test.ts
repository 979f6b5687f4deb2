import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../../../test/fakes/fake-clock.ts';
import { systemClock } from '../../../lib/clock.ts';
import { probeHttp } from './http.ts';
import { probeTcp } from './tcp.ts';

const SIGNAL = new AbortController().signal;
const servers: (Server | TcpServer)[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    if ('closeAllConnections' in server) server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function listen(server: Server | TcpServer): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const web = async (handler: RequestListener): Promise<string> =>
  `http://127.0.0.1:${await listen(createServer(handler))}`;

/** A port that nothing listens on. */
async function closedPort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('the TCP probe', () => {
  it('tells an open port from a closed one', async () => {
    const open = await listen(createTcpServer((socket) => socket.destroy()));
    expect(await probeTcp(systemClock, `127.0.0.1:${open}`, 5_000, SIGNAL)).toEqual({
      status: 'passing',
      output: `TCP connect 127.0.0.1:${open}: Success`,
    });
    const closed = await closedPort();
    expect(await probeTcp(systemClock, `127.0.0.1:${closed}`, 5_000, SIGNAL)).toEqual({
      status: 'critical',
      output: `dial tcp 127.0.0.1:${closed}: connect: connection refused`,
    });
  });

  it.each([
    ['nowhere', 'dial tcp: address nowhere: missing port in address'],
    ['nowhere:70000', 'dial tcp: address nowhere:70000: invalid port'],
  ])('refuses the address %s', async (address, output) => {
    expect(await probeTcp(systemClock, address, 5_000, SIGNAL)).toEqual({ status: 'critical', output });
  });
});

describe('what checks connect to', () => {
  const refused = { status: 'critical', output: expect.stringContaining('see check_allow_link_local') };

  it.each([
    ...['169.254.169.254', '[fe80::1]', '[fd00:ec2::254]', '[::ffff:169.254.0.1]', '[::ffff:a9fe:a9fe]'],
    ...['2852039166', '0xa9fea9fe', '169.254.43518'],
  ])('is no link-local address: %s', async (host) => {
    const tcp = await probeTcp(systemClock, `${host}:80`, 2_000, SIGNAL);
    const http = await probeHttp(systemClock, { url: `http://${host}/latest/meta-data/`, timeoutMs: 2_000 }, SIGNAL);
    expect([tcp, http]).toMatchObject([refused, refused]);
  });

  it('is not another host that the one asked redirects to, unless that is wanted', async () => {
    const port = await listen(createServer((_request, response) => response.end('secret')));
    const location = `http://localhost:${port}/`;
    const url = await web((_request, response) => response.writeHead(302, { location }).end());
    const stayed = await probeHttp(systemClock, { url }, SIGNAL);
    expect(stayed.status).toBe('critical');
    expect(stayed.output).toMatch(/302 Found .*not followed to localhost: see check_allow_redirect_hosts/);
    const reach = { linkLocal: false, redirectHosts: true };
    const followed = await probeHttp(systemClock, { url, reach }, SIGNAL);
    expect(followed).toEqual({ status: 'passing', output: `HTTP GET ${url}: 200 OK Output: secret` });
    const metadata = await web((_request, response) =>
      response.writeHead(302, { location: 'http://169.254.169.254/' }).end(),
    );
    expect(await probeHttp(systemClock, { url: metadata, reach }, SIGNAL)).toMatchObject(refused);
  });

  it('is the same host on another port', async () => {
    const port = await listen(createServer((_request, response) => response.end('moved')));
    const location = `http://127.0.0.1:${port}/`;
    const url = await web((_request, response) => response.writeHead(301, { location }).end());
    expect((await probeHttp(systemClock, { url }, SIGNAL)).status).toBe('passing');
  });
});

describe('the HTTP probe', () => {
  it.each([
    [204, 'passing'],
    [429, 'warning'],
    [404, 'critical'],
    [500, 'critical'],
  ])('status %i is %s', async (status, wanted) => {
    const url = await web((_request, response) => response.writeHead(status).end());
    expect((await probeHttp(systemClock, { url }, SIGNAL)).status).toBe(wanted);
  });

  it('sends method, headers and body, and keeps the start of what comes back', async () => {
    let seen = '';
    const url = await web((request, response) => {
      request.setEncoding('utf8');
      request.on('data', (chunk: string) => {
        seen += `${request.method} ${request.headers['x-a']} ${chunk}`;
      });
      request.on('end', () => response.end('y'.repeat(100_000)));
    });
    const probe = { url, method: 'post', headers: { 'X-A': ['1', '2'] }, body: 'hi', maxOutput: 10 };
    expect(await probeHttp(systemClock, probe, SIGNAL)).toEqual({
      status: 'passing',
      output: `HTTP POST ${url}: 200 OK Output: ${'y'.repeat(10)}`,
    });
    expect(seen).toBe('POST 1, 2 hi');
  });

  it('does not wait for the end of an answer without one', async () => {
    const url = await web((_request, response) => response.write('z'.repeat(5_000)));
    const { status, output } = await probeHttp(systemClock, { url }, SIGNAL);
    expect(status).toBe('passing');
    expect(output.endsWith(`Output: ${'z'.repeat(4_096)}`)).toBe(true);
  });

  it('follows redirects, but not for ever', async () => {
    const url = await web((request, response) => {
      if (request.url === '/end') response.end('done');
      else response.writeHead(302, { location: request.url === '/' ? '/end' : '/loop' }).end();
    });
    expect((await probeHttp(systemClock, { url }, SIGNAL)).output).toContain('Output: done');
    expect((await probeHttp(systemClock, { url: `${url}/loop` }, SIGNAL)).output).toBe(
      `Get "${url}/loop": stopped after 10 redirects`,
    );
  });

  it('says what failed', async () => {
    const port = await closedPort();
    expect(await probeHttp(systemClock, { url: `http://127.0.0.1:${port}` }, SIGNAL)).toEqual({
      status: 'critical',
      output: `Get "http://127.0.0.1:${port}": dial tcp 127.0.0.1:${port}: connect: connection refused`,
    });
    expect((await probeHttp(systemClock, { url: 'ftp://x/' }, SIGNAL)).output).toBe(
      'Get "ftp://x/": unsupported protocol scheme "ftp"',
    );
    expect((await probeHttp(systemClock, { url: 'nonsense' }, SIGNAL)).output).toBe('Get "nonsense": invalid URL');
  });

  it('gives up after its time', async () => {
    const clock = new FakeClock();
    let arrive = (): void => undefined;
    const arrived = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const url = await web(() => arrive());
    const running = probeHttp(clock, { url, timeoutMs: 3_000 }, SIGNAL);
    await arrived;
    await clock.advance(2_999);
    await clock.advance(1);
    await settle();
    expect(await running).toMatchObject({ status: 'critical', output: expect.stringContaining('deadline exceeded') });
  });
});
