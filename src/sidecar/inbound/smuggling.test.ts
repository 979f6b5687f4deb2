import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ALLOW_ALL } from '../../../test/fakes/fake-mesh.ts';
import { HTTP, HTTP2, http2App, httpApp } from '../../../test/fakes/http-bench.ts';
import { portOf, SidecarBench } from '../../../test/fakes/sidecar-bench.ts';
import type { Verdicts } from '../../model/intention.ts';
import { compileMesh } from '../../model/layer7/mesh-settings.ts';
import type { SidecarInbound } from '../../model/sidecar.ts';

/** What a member of the mesh, who writes bytes as it likes, gets past permissions about requests. */

let bench: SidecarBench;
beforeEach(() => {
  bench = new SidecarBench();
});
afterEach(() => bench.close());

/** All may ask for what is below /public, and for nothing else. */
const PUBLIC_ONLY: Verdicts = {
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
      permissions: 1,
      requests: { Permissions: [{ Action: 'allow', HTTP: { PathPrefix: '/public/' } }] },
    },
  ],
};

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly trailers: readonly string[];
}

const pairs = (raw: readonly string[]): (readonly [string, string])[] =>
  raw.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), raw[at + 1] as string] as const] : []));

/** The address of db's sidecar, and what its application was asked. */
async function start(inbound: SidecarInbound): Promise<{ address: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const port = await (inbound.protocol === 'http' ? httpApp : http2App)(bench, (request, response) => {
    request.on('data', () => undefined);
    request.on('end', () => {
      const { method = '', url = '', rawHeaders, rawTrailers } = request;
      seen.push({ method, url, headers: pairs(rawHeaders), trailers: rawTrailers.map((text) => text.toLowerCase()) });
      response.end('ok');
    });
  });
  const { address } = await bench.db(port, {
    parts: { inbound, verdicts: PUBLIC_ONLY },
    limits: { localRequestMs: 1_000 },
  });
  return { address, seen };
}

function member(address: string, alpn: string): TLSSocket {
  const leaf = bench.ca.leaf('web', 'dc1');
  const socket = connectTls({
    ...{ host: '127.0.0.1', port: portOf(address), ca: [bench.ca.rootPem], cert: leaf.certPem, key: leaf.keyPem },
    checkServerIdentity: () => undefined,
    ALPNProtocols: [alpn],
  });
  bench.defer(async () => void socket.destroy());
  return socket.on('error', () => undefined);
}

/** Sends bytes on a connection, and a good request that closes it after them; resolves with all that comes back. */
function send(address: string, bytes: string): Promise<string> {
  const socket = member(address, 'http/1.1');
  const last = 'GET /public/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
    socket.once('secureConnect', () => socket.write(Buffer.from(bytes + last, 'latin1')));
  });
}

const statuses = (answer: string): string[] =>
  [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, code]) => code as string);

/** The path as the most obliging application reads it. */
function obliging(url: string): string {
  let path = url.split(/[?#]/)[0] as string;
  for (let before = ''; before !== path; ) {
    before = path;
    path = path.replace(/%([0-9a-f]{2})/gi, (_whole, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  }
  path = path.replaceAll('\\', '/').replace(/\/{2,}/g, '/');
  const segments: string[] = [];
  for (const part of path.split('/').slice(1)) {
    const [name = ''] = part.split(';'); // matrix parameters
    if (name === '..') segments.pop();
    else if (name !== '.') segments.push(part);
  }
  return `/${segments.join('/')}`;
}

const PATHS = [
  '/admin',
  '//admin',
  '/./admin',
  '/public/../admin',
  '/public/%2e%2e/admin',
  '/public/%2E./admin',
  '/public/..%2fadmin',
  '/public/..%5cadmin',
  '/public/%2e%2e%2fadmin',
  '/public\\..\\admin',
  '/public/..\\admin',
  '/public//../../admin',
  '/public/x/../../../admin',
  '/public/%00/../../admin',
  '/public/..;/admin',
  '/PUBLIC/x',
  '/public',
  'http://x/admin',
  'http://x/public/../admin',
  'HTTP://x//admin',
  'admin',
  '*',
  '/admin#/public/',
  '/public/#/../admin',
  '/%61dmin',
  '/public%2f..%2fadmin',
];

describe.each([
  ['as they come', compileMesh(), true],
  [
    'in the strictest form',
    compileMesh({
      HTTP: {
        Incoming: {
          RequestNormalization: {
            MergeSlashes: true,
            PathWithEscapedSlashesAction: 'REJECT_REQUEST',
            HeadersWithUnderscoresAction: 'DROP_HEADER',
          },
        },
      },
    } as never),
    false,
  ],
] as const)('requests %s', (_what, mesh, keepsEscapes) => {
  /** The escapes that by default are the application's to understand: docs/layer-7.md says which key refuses them. */
  const isKept = (path: string): boolean => keepsEscapes && /%2f|%5c|;/i.test(path);

  it('have no path that an application reads as another one', async () => {
    const { address, seen } = await start({ ...HTTP, mesh });
    for (const path of PATHS) {
      seen.length = 0;
      const answer = await send(address, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      const outside = seen.filter(
        ({ url }) => !isKept(path) && !/;/.test(path) && !obliging(url).startsWith('/public/'),
      );
      expect(outside, path).toEqual([]);
      expect(
        seen.every(({ url }) => url.startsWith('/public/')),
        path,
      ).toBe(true);
      if (seen.length < 2) expect(statuses(answer)[0], path).toMatch(/^[43]/);
    }
  });
});

describe('a request', () => {
  it.each<[string, string]>([
    [
      'a length and chunks',
      'POST /public/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'two lengths',
      'POST /public/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nGET /admin ' +
        'HTTP/1.1\r\nHost: x\r\n\r\n',
    ],
    ['a signed length', 'POST /public/a HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nxxxxx'],
    ['another coding', 'POST /public/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
    [
      'a coding after chunks',
      'POST /public/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    ],
    [
      'two codings',
      'POST /public/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n',
    ],
    ['a blank before the colon', 'POST /public/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n'],
    ['a folded line', 'GET /public/a HTTP/1.1\r\nHost: x\r\nX: a\r\n GET /admin HTTP/1.1\r\n\r\n'],
    ['a folded coding', 'POST /public/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n'],
    ['a bare line feed', 'GET /public/a HTTP/1.1\nHost: x\n\nGET /admin HTTP/1.1\nHost: x\n\n'],
    ['a bare return in a value', 'GET /public/a HTTP/1.1\r\nHost: x\r\nX: a\rY: b\r\n\r\n'],
    ['a zero in a value', 'GET /public/a HTTP/1.1\r\nHost: x\r\nX: a\u0000b\r\n\r\n'],
    [
      'a chunk with a wrong size',
      'POST /public/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nxxxxx\r\n0\r\n\r\n',
    ],
    [
      'a chunk longer than it says',
      'POST /public/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxGET /admin ' +
        'HTTP/1.1\r\n\r\n0\r\n\r\n',
    ],
    ['two hosts', 'GET /public/a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n'],
    ['no host', 'GET /public/a HTTP/1.1\r\n\r\n'],
    ['two targets', 'GET /public/a /admin HTTP/1.1\r\nHost: x\r\n\r\n'],
    [
      'a body with a request in it',
      'GET /public/a HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\nX: yyy\r\n',
    ],
    [
      'an upgrade with a request after it',
      'GET /public/a HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nGET /admin HTTP/1.1\r\nHost: ' +
        'x\r\n\r\n',
    ],
    ['a tunnel', 'CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n'],
    [
      'headers that its connection names',
      'GET /public/a HTTP/1.1\r\nHost: x\r\nConnection: host, content-length, x-forwarded-client-cert\r\n\r\n',
    ],
  ])('with %s brings no other request to the application', async (_what, bytes) => {
    const { address, seen } = await start(HTTP);
    const answer = await send(address, bytes);
    expect(seen.filter(({ url }) => !url.startsWith('/public/'))).toEqual([]);
    expect(statuses(answer).length).toBeGreaterThanOrEqual(seen.length);
    for (const { headers } of seen) {
      const names = headers.map(([name]) => name);
      expect(names.filter((name) => name === 'host')).toHaveLength(1);
      expect(names.filter((name) => name === 'transfer-encoding' || name === 'content-length').length).toBeLessThan(2);
      expect(headers.find(([name]) => name === 'x-forwarded-client-cert')?.[1]).toContain('/svc/web');
    }
  });

  it('names its caller once, whatever the caller sends, also in trailers and in the spelling of gateways', async () => {
    const { address, seen } = await start(HTTP);
    const lines = [
      'X-Forwarded-Client-Cert',
      'x-forwarded-client-cert',
      'X_Forwarded_Client_Cert',
      'X-Forwarded_Client-Cert',
    ];
    const forged = lines.map((name) => `${name}: By=a;URI=spiffe://t/ns/default/dc/dc1/svc/boss\r\n`).join('');
    await send(
      address,
      `POST /public/a HTTP/1.1\r\nHost: x\r\n${forged}Connection: x-forwarded-client-cert\r\nTransfer-Encoding: ` +
        `chunked\r\n` +
        `Trailer: X-Forwarded-Client-Cert\r\n\r\n1\r\nx\r\n0\r\n${forged}Authorization: Basic x\r\nX-Sum: 1\r\n\r\n`,
    );
    const [first] = seen;
    const callers = first?.headers.filter(([name]) => name.replaceAll('_', '-') === 'x-forwarded-client-cert') ?? [];
    expect(callers).toHaveLength(1);
    expect(callers[0]?.[1]).toMatch(/URI=spiffe:\/\/[^;]*\/svc\/web$/);
    expect(JSON.stringify(seen)).not.toContain('boss');
    expect(first?.trailers).toEqual(['x-sum', '1']);
  });

  it('of HTTP/2 has one of each pseudo header, and nothing in it that HTTP/1.1 reads as more', async () => {
    for (const inbound of [HTTP, HTTP2]) {
      const { address, seen } = await start({ ...inbound, protocol: inbound.protocol });
      // db takes HTTP/2 where its protocol has it; HTTP/1.1 alone is offered otherwise.
      const socket = member(address, 'h2');
      await new Promise<void>((resolve) =>
        socket.once('secureConnect', () => resolve()).once('close', () => resolve()),
      );
      if (socket.destroyed) continue;
      const session: ClientHttp2Session = connectHttp2('https://x', { createConnection: () => socket });
      session.on('error', () => undefined);
      bench.defer(async () => session.destroy());
      const ask = (headers: Record<string, string | string[]>): Promise<void> =>
        new Promise((resolve) => {
          try {
            const stream = session.request({ ':path': '/public/a', ...headers });
            stream.on('error', () => undefined);
            stream.once('close', () => resolve());
            stream.resume();
          } catch {
            resolve(); // Node's client writes none of it
          }
        });
      await ask({ ':path': '/public/../admin' });
      await ask({ ':path': '/admin' });
      await ask({ ':path': '/public/ HTTP/1.1\r\nHost: x\r\n\r\nGET /admin' });
      await ask({ ':path': '/public/a', host: '/admin', ':authority': 'x\r\nX: y' });
      await ask({ ':method': 'GET /admin HTTP/1.1\r\n' });
      await ask({ 'x-forwarded-client-cert': 'URI=spiffe://t/svc/boss', 'transfer-encoding': 'chunked' });
      await ask({ x_forwarded_client_cert: 'URI=spiffe://t/svc/boss' });
      expect(seen.filter(({ url }) => !url.startsWith('/public/'))).toEqual([]);
      expect(JSON.stringify(seen)).not.toContain('boss');
      expect(JSON.stringify(seen)).not.toMatch(/\/admin/);
    }
  });
});
