import { once } from 'node:events';
import { request } from 'node:http';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { denying } from '../../test/fakes/fake-mesh.ts';
import { ask, HTTP, HTTP2, http2App, httpApp, requestsTo } from '../../test/fakes/http-bench.ts';
import { DB, dial, portOf, SidecarBench } from '../../test/fakes/sidecar-bench.ts';
import type { SidecarRequests } from '../model/sidecar.ts';

let bench: SidecarBench;
const sessions = new Set<ClientHttp2Session>();
beforeEach(() => {
  bench = new SidecarBench();
});
afterEach(async () => {
  for (const session of sessions) session.destroy();
  sessions.clear();
  await bench.close();
});

async function web(requests: SidecarRequests): Promise<string> {
  const running = await bench.web([], { parts: { requests: { [DB.key]: requests }, endpoints: {} } });
  return running.address;
}

/** An application's HTTP/2 connection without TLS. */
function session(address: string): ClientHttp2Session {
  const made = connectHttp2(`http://127.0.0.1:${portOf(address)}`);
  made.on('error', () => undefined);
  sessions.add(made);
  return made;
}

interface Answer {
  readonly headers: IncomingHttpHeaders & { ':status'?: number };
  readonly body: string;
  readonly trailers: IncomingHttpHeaders;
}

async function call(on: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string): Promise<Answer> {
  const stream = on.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  let trailers: IncomingHttpHeaders = {};
  stream.on('trailers', (given) => {
    trailers = given;
  });
  const [given] = (await once(stream, 'response')) as [Answer['headers']];
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { headers: given, body: Buffer.concat(chunks).toString(), trailers };
}

/** Behaves as a method of gRPC does: says what it got, and its status after it. */
async function grpcDb(): Promise<string> {
  const port = await http2App(bench, (incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/grpc' });
      response.addTrailers({ 'grpc-status': '0', 'x-caller': incoming.headers['x-forwarded-client-cert'] ?? '' });
      response.end(Buffer.concat([Buffer.from(`${incoming.url} `), ...chunks]));
    });
  });
  return (await bench.db(port, { parts: { inbound: { ...HTTP2, protocol: 'grpc' } } })).address;
}

describe('HTTP/2', () => {
  it('carries calls of gRPC with what comes after them, many in one connection', async () => {
    const address = await web(requestsTo({ db: [await grpcDb()] }, { protocol: 'grpc' }));
    const on = session(address);
    const calls = Array.from({ length: 50 }, (_, n) =>
      call(
        on,
        { ':method': 'POST', ':path': `/svc/${n}`, 'content-type': 'application/grpc', te: 'trailers' },
        `m${n}`,
      ),
    );
    for (const [n, answer] of (await Promise.all(calls)).entries()) {
      expect(answer.body).toBe(`/svc/${n} m${n}`);
      expect(answer.trailers).toMatchObject({ 'grpc-status': '0' });
      expect(answer.trailers['x-caller']).toContain('/dc1/svc/web');
    }
  });

  it('answers a denied call of gRPC in its own words', async () => {
    const port = await http2App(bench, (_incoming, response) => response.end('x'));
    const db = await bench.db(port, { parts: { inbound: HTTP2, verdicts: denying('web') } });
    const address = await web(requestsTo({ db: [db.address] }, { protocol: 'http2' }));
    const on = session(address);
    const grpc = await call(on, { ':method': 'POST', ':path': '/a', 'content-type': 'application/grpc' }, 'x');
    expect(grpc.headers).toMatchObject({ ':status': 200, 'grpc-status': '7', 'grpc-message': 'RBAC: access denied' });
    const plain = await call(on, { ':path': '/a' });
    expect(plain).toMatchObject({ headers: { ':status': 403 }, body: 'RBAC: access denied' });
    expect(await ask(address)).toMatchObject({ status: 403, body: 'RBAC: access denied' });
  });

  it('meets HTTP/1.1 on either side', async () => {
    const port = await httpApp(bench, (incoming, response) => {
      response.setHeader('set-cookie', ['a=1', 'b=2']);
      response.end(`${incoming.httpVersion} ${incoming.headers.host} ${incoming.headers.cookie}`);
    });
    const old = await bench.db(port, { parts: { inbound: HTTP } });
    const on = session(await web(requestsTo({ db: [old.address] })));
    const down = await call(on, { ':path': '/', ':authority': 'db.example', cookie: ['x=1', 'y=2'] });
    expect(down.body).toBe('1.1 db.example x=1; y=2');
    expect(down.headers['set-cookie']).toEqual(['a=1', 'b=2']);
    const newer = await http2App(bench, (incoming, response) => response.end(`2 ${incoming.authority}`));
    const db = await bench.db(newer, { parts: { inbound: HTTP2 } });
    const up = await ask(await web(requestsTo({ db: [db.address] }, { protocol: 'http2' })), '/', {
      headers: { host: 'db.example' },
      method: 'POST',
      body: 'x'.repeat(300_000),
    });
    expect(up).toMatchObject({ status: 200, body: '2 db.example' });
  });

  it('is spoken with proxies of another make, as they agree or as they begin', async () => {
    const port = await http2App(bench, (incoming, response) => response.end(incoming.url));
    const db = await bench.db(port, { parts: { inbound: HTTP2 } });
    const leaf = bench.ca.leaf('web', 'dc1');
    for (const alpn of [['h2'], ['h2', 'http/1.1'], undefined]) {
      const tls = connectTls({
        host: '127.0.0.1',
        port: portOf(db.address),
        ca: [bench.ca.rootPem],
        cert: leaf.certPem,
        key: leaf.keyPem,
        checkServerIdentity: () => undefined,
        ...(alpn === undefined ? {} : { ALPNProtocols: alpn }),
      });
      await once(tls, 'secureConnect');
      if (alpn !== undefined) expect(tls.alpnProtocol).toBe('h2');
      const on = connectHttp2('http://db', { createConnection: () => tls });
      sessions.add(on);
      expect((await call(on, { ':path': '/x' })).body).toBe('/x');
    }
  });
});

describe('an upgrade', () => {
  it('goes through both sidecars, and ends with either end', async () => {
    const port = await httpApp(
      bench,
      (_request, response) => response.end(),
      (incoming, socket) => {
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nx-path: ` +
            `${incoming.url}\r\n\r\n`,
        );
        socket.pipe(socket);
      },
    );
    const db = await bench.db(port, { parts: { inbound: HTTP } });
    const address = await web(requestsTo({ db: [db.address] }));
    const outgoing = request({
      host: '127.0.0.1',
      port: portOf(address),
      path: '/chat',
      headers: { connection: 'Upgrade', upgrade: 'websocket' },
    });
    outgoing.end();
    const [incoming, socket] = (await once(outgoing, 'upgrade')) as [
      import('node:http').IncomingMessage,
      import('node:net').Socket,
    ];
    expect(incoming.headers).toMatchObject({ 'x-path': '/chat', upgrade: 'websocket' });
    socket.write('hello');
    expect(String((await once(socket, 'data'))[0])).toBe('hello');
    const closed = once(socket, 'close');
    await db.source.put({ verdicts: denying('web') });
    await closed;
  });

  it('that the application does not want is answered like any request', async () => {
    const port = await httpApp(bench, (incoming, response) => response.end(`plain ${incoming.url}`));
    const db = await bench.db(port, { parts: { inbound: HTTP } });
    const address = await web(requestsTo({ db: [db.address] }));
    const headers = {
      connection: 'Upgrade, HTTP2-Settings',
      upgrade: 'h2c',
      'http2-settings': 'AAMAAABkAAQAoAAAAAIAAAAA',
    };
    expect(await ask(address, '/x', { headers })).toMatchObject({ status: 200, body: 'plain /x' });
  });
});

describe('what could be read in two ways', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['two lengths', 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy'],
    [
      'a length and chunks',
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a coding after chunked', 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, x\r\n\r\n0\r\n\r\n'],
    ['a bare line feed', 'GET / HTTP/1.1\nhost: a\n\n'],
    ['a folded line', 'GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n 2\r\n\r\n'],
    ['a space before the colon', 'GET / HTTP/1.1\r\nhost : a\r\n\r\n'],
    ['two hosts', 'GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n'],
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['no path', 'GET x HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['a way through', 'CONNECT db:80 HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['too many lines', `GET / HTTP/1.1\r\nhost: a\r\n${'x: 1\r\n'.repeat(120)}\r\n`],
    ['too long a head', `GET / HTTP/1.1\r\nhost: a\r\nx: ${'1'.repeat(70_000)}\r\n\r\n`],
  ];
  it.each(cases)('is refused: %s', async (_name, text) => {
    const seen: string[] = [];
    const port = await httpApp(bench, (incoming, response) => {
      seen.push(incoming.url ?? '');
      response.end();
    });
    const db = await bench.db(port, { parts: { inbound: HTTP } });
    const socket = dial(await web(requestsTo({ db: [db.address] })));
    socket.on('error', () => undefined);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => void chunks.push(chunk));
    socket.write(text);
    socket.write('GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n');
    if (chunks.length === 0)
      await Promise.race([once(socket, 'data'), new Promise((resolve) => socket.once('close', resolve))]);
    expect(Buffer.concat(chunks).toString()).toMatch(/^(HTTP\/1\.1 (4[0-9][0-9]) .*|)$/ms);
    expect(seen).not.toContain('x');
    if (!/lines|hosts|path/.test(_name)) expect(seen).toEqual([]);
    socket.destroy();
  });
});
