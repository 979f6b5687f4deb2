import { createServer, type Server } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseSimpleGet } from '../../src/edge/http/simple-get.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { TlsMaterial } from '../../src/pki/tls-material.ts';
import { READS as READ_TABLE } from '../../src/rpc/contract/reads.ts';
import { WRITES as WRITE_TABLE } from '../../src/rpc/contract/writes.ts';
import { ReadRequestSchema, WriteRequestSchema } from '../../src/rpc/gen/isthmus/v1/isthmus_pb.ts';
import { EnrolServer } from '../../src/rpc/transport/enrol-server.ts';
import { ENROL_ALPN } from '../../src/rpc/transport/enrol-wire.ts';
import { createRpcListener, type RpcListener } from '../../src/rpc/transport/listener.ts';
import { createTlsSecurity, type OtherProtocol } from '../../src/rpc/transport/tls.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import { TestAuthority } from '../fakes/agent-certificates.ts';
import { END_STREAM, FRAME, grpcCall, grpcMessage, http2Frame } from '../fakes/http2-frames.ts';
import { waitFor } from '../harness/wait-for.ts';
import { ACCESS_ROWS, type AccessRow } from '../integration/access-rows.ts';
import { type AccessWorld, ROOT, startAccessWorld } from '../integration/access-world.ts';
import { atOnce, exchange, exchangeTls, firstBytes, WHOLE_MS } from './exchange.ts';
import { FUZZ_TIMEOUT_MS, fuzz } from './run.ts';

/** A whole agent that gets untrusted input. Calls without a token may do everything, so that they get far. */

let world: AccessWorld;
let http = 0;
let server = 0;

beforeAll(async () => {
  // A connection whose first frames are broken is only closed by the probe of silent ones: Node does not tell of it.
  world = await startAccessWorld({ tokens: { default: ROOT }, config: { limits: { rpc_max_conns_per_client: 0 } } });
  http = Number(world.agent.ready.http?.split(':')[1]);
  server = Number(world.agent.ready.server?.split(':')[1]);
});

afterAll(() => world?.agent.stop());

/**
 * Errors that are answers: a domain met arguments of a wrong shape deep inside, a server of another version wanted to
 * federate.
 */
const ANSWERS = /"msg":"(a call failed inside|refused to federate)"/;

/** It still answers, holds nothing back, and nothing broke inside. */
async function stillWell(): Promise<void> {
  await waitFor(
    async () => {
      const { body } = await world.agent.http('GET', '/v1/agent/metrics?format=prometheus');
      const value = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(body)?.[1]);
      return value('isthmus_http_watchers') === 0 && value('isthmus_http_open_requests') <= 1;
    },
    { what: 'the end of all requests' },
  );
  const broken = world.agent
    .log()
    .split('\n')
    .filter((line) => line.includes('"level":"error"') && !ANSWERS.test(line));
  expect(broken).toEqual([]);
}

/** What ends the agent or takes long is left out. */
const LEFT_OUT = /^PUT \/v1\/agent\/(leave|reload|join)|\/rotate$|^PUT \/v1\/snapshot/;
const ROWS = Object.entries(ACCESS_ROWS).filter(([name]) => !LEFT_OUT.test(name));

function requestOf(name: string, row: AccessRow): Buffer {
  const [method] = name.split(' ');
  const path = row.path.replace(/\{(\w+)\}/g, (_whole, key: string) => world.names[key] ?? '');
  const body = row.body === undefined ? '' : JSON.stringify(row.body);
  const length = body === '' ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  return Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: x\r\n${length}\r\n${body}`);
}

describe('the HTTP API', () => {
  it(
    'takes any bytes',
    async () => {
      await fuzz({
        name: 'HTTP bytes',
        corpus: ROWS.map(([name, row]) => requestOf(name, row)),
        dictionary: [
          '\r\n',
          ' ',
          '%',
          '%00',
          '&index=1',
          '?',
          '/',
          'Transfer-Encoding: chunked\r\n',
          'Expect: 100-continue\r\n',
          '\u0000',
        ],
        count: 400,
        ...atOnce(async (input) => void (await exchange(http, input))),
      });
      await stillWell();
    },
    FUZZ_TIMEOUT_MS,
  );

  it(
    'takes any body',
    async () => {
      const heads = ROWS.flatMap(([name, row]) => {
        const [method = ''] = name.split(' ');
        return method === 'GET' || row.body === undefined ? [] : [{ method, row }];
      });
      await fuzz({
        name: 'HTTP bodies',
        corpus: heads.map(({ method, row }) => `${method} ${row.path}\n${JSON.stringify(row.body)}`),
        dictionary: [
          '{',
          '}',
          '[',
          ']',
          ',',
          ':',
          'null',
          '1e400',
          '-1',
          '""',
          '{"a":1}',
          '[[]]',
          'true',
          '"\\u0000"',
          '"__proto__"',
        ],
        count: 1_000,
        ...atOnce(async (input) => {
          const text = input.toString('latin1');
          const line = text.indexOf('\n');
          const [method = '', path = ''] = text.slice(0, line).split(' ');
          const head = heads.find((one) => one.method === method && one.row.path === path);
          if (head === undefined) return;
          const target = path.replace(/\{(\w+)\}/g, (_whole, key: string) => world.names[key] ?? '');
          const body = Buffer.from(text.slice(line + 1), 'latin1');
          const begin = `${method} ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`;
          const answer = await exchange(http, Buffer.concat([Buffer.from(begin), body]), WHOLE_MS);
          expect(answer.toString('latin1', 0, 9)).toBe('HTTP/1.1 ');
        }),
      });
      await stillWell();
    },
    FUZZ_TIMEOUT_MS,
  );

  it(
    'takes any parameter',
    async () => {
      const paths = ROWS.filter(([name]) => name.startsWith('GET ') && !name.includes('sidecar'));
      await fuzz({
        name: 'HTTP parameters',
        corpus: paths.map(
          ([, row]) => `${row.path}${row.path.includes('?') ? '&' : '?'}dc=dc1&wait=1ms&index=1&near=n1&tag=a`,
        ),
        dictionary: [
          '%00',
          '%ff',
          '%2F',
          '..',
          '&filter=',
          '&index=',
          '&wait=',
          '&dc=',
          '&cached',
          '&stale',
          '&consistent',
          '&node-meta=a:b',
          '&passing',
          '&pretty',
          '=',
          '~',
          '99999999999999999999',
        ],
        count: 800,
        ...atOnce(async (input) => {
          const target = input
            .toString('latin1')
            .replace(/\{(\w+)\}/g, (_whole, key: string) => world.names[key] ?? '');
          const path = target.replace(/[^!-~]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
          await exchange(http, Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`));
        }),
      });
      await stillWell();
    },
    FUZZ_TIMEOUT_MS,
  );
});

describe('the short way of simple requests', () => {
  let node: Server;
  afterAll(() => new Promise((resolve) => node.close(resolve)));

  it(
    'takes only what Node’s parser takes, and reads the same in it',
    async () => {
      node = createServer((request, response) => {
        const { method, url, rawHeaders } = request;
        response.end(JSON.stringify({ method, url, rawHeaders }));
      });
      await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve));
      const { port } = node.address() as { port: number };
      await fuzz({
        name: 'both parsers',
        corpus: [
          'GET /v1/catalog/nodes?a=b HTTP/1.1\r\nHost: x\r\nX-Consul-Token: t\r\nConnection: keep-alive\r\n\r\n',
          'GET /v1/health/service/x?passing HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nUser-Agent: a\r\n\r\n',
        ],
        dictionary: ['\r\n', ' ', ':', '\t', 'Content-Length: 0\r\n', 'Connection: close\r\n', 'Host: y\r\n'],
        count: 1_500,
        async run(input) {
          const ours = parseSimpleGet(input.toString('latin1'));
          if (ours === undefined) return;
          const answer = (await exchange(port, input, WHOLE_MS)).toString();
          expect(answer, input.toString('base64')).toMatch(/^HTTP\/1\.1 200 /);
          const theirs = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as {
            readonly method: string;
            readonly url: string;
            readonly rawHeaders: readonly string[];
          };
          expect(theirs.method).toBe('GET');
          expect(Buffer.from(theirs.url).toString('latin1')).toBe(Buffer.from(ours.url).toString('latin1'));
          const lower = theirs.rawHeaders.map((text, at) => (at % 2 === 0 ? text.toLowerCase() : text));
          expect(lower).toEqual([...ours.rawHeaders]);
        },
      });
    },
    FUZZ_TIMEOUT_MS,
  );
});

function callOf(method: string, message: Uint8Array): Buffer {
  return Buffer.concat([grpcCall(method), http2Frame(FRAME.data, END_STREAM, 1, grpcMessage(message))]);
}

const read = (name: string, args: string): Uint8Array =>
  toBinary(ReadRequestSchema, create(ReadRequestSchema, { name, argsJson: Buffer.from(args), token: ROOT }));
const write = (name: string, args: string): Uint8Array =>
  toBinary(WriteRequestSchema, create(WriteRequestSchema, { name, argsJson: Buffer.from(args), token: ROOT }));

/** Arguments that get far; other names are asked with these too. */
const ARGS = [
  '{"node":"n1"}',
  '{"service":"web","connect":true,"passing":true,"near":"n1"}',
  '{"source":"api","destination":"web"}',
  '{"by":"destination","names":["web"]}',
  '{"kind":"service-defaults","name":"web"}',
  '{"id":"q","query":"q","agent":"n1"}',
  '{"accessor":"a","policy":"kept","role":"kept","kinds":["acl-tokens"]}',
  '{"Node":"n9","Address":"10.0.0.1","Service":{"Service":"x","ID":"x","Port":1},' +
    '"Check":{"CheckID":"c","Status":"passing"}}',
  '{"entry":{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Action":"allow"}]}}',
  '{"intention":{"SourceName":"a","DestinationName":"web","Action":"deny","SourceType":"consul"}}',
  '{"query":{"Name":"q2","Service":{"Service":"web","Failover":{"NearestN":2,"Datacenters":["dc2"]}}}}',
  '{"token":{"Description":"x","Policies":[{"Name":"kept"}]},"policy":{"Name":"z"}}',
  '{"csr":"-----BEGIN CERTIFICATE REQUEST-----\\nAAAA\\n-----END CERTIFICATE REQUEST-----\\n","datacenter":"dc2"}',
  '{"Holder":"n1","Verifiers":1,"RootIDs":[],"Pending":[],"LeavesByRoot":{}}',
  '{"config":{"Provider":"consul","Config":{"LeafCertTTL":"72h"}}}',
];
const READS = Object.keys(READ_TABLE);
const WRITES = Object.keys(WRITE_TABLE).filter((name) => name !== 'ca.rotate');

describe('the server port', () => {
  let session: ClientHttp2Session;
  afterAll(() => session?.destroy());

  it(
    'takes any frames',
    async () => {
      await fuzz({
        name: 'HTTP/2 frames',
        corpus: ['Read', 'Write', 'Watch', 'Changes', 'Link'].map((method) =>
          callOf(method, read('catalog.nodes', '{}')),
        ),
        dictionary: ['\u0000\u0000\u0004\u0003\u0000\u0000\u0000\u0000\u0001', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
        count: 400,
        ...atOnce(async (input) => void (await exchange(server, input))),
      });
      await stillWell();
    },
    FUZZ_TIMEOUT_MS,
  );

  /** Calls a method on one session; resolves with gRPC's status. */
  function call(method: string, message: Uint8Array): Promise<string> {
    if (session === undefined || session.destroyed || session.closed) {
      session = connectHttp2(`http://127.0.0.1:${server}`);
      session.on('error', () => undefined);
    }
    return new Promise((resolve) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': `/isthmus.v1.Server/${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const timer = setTimeout(() => stream.close(), WHOLE_MS);
      let status = '';
      stream.on('trailers', (trailers) => {
        status = String(trailers['grpc-status']);
      });
      stream.on('error', () => undefined);
      stream.on('close', () => {
        clearTimeout(timer);
        resolve(status);
      });
      // A stream of answers is heard once.
      stream.on('data', () => {
        if (method === 'Watch' || method === 'Changes' || method === 'Link') stream.close();
      });
      stream.end(grpcMessage(message));
    });
  }

  it('answers a good call, so that bad ones fail for what is bad in them', async () => {
    expect(await call('Read', read('catalog.nodes', '{}'))).toBe('0');
  });

  it(
    'takes any message',
    async () => {
      const methods = ['Read', 'Write', 'Watch', 'Changes', 'Link'];
      let turn = 0;
      await fuzz({
        name: 'gRPC messages',
        corpus: [
          read('catalog.nodes', '{}'),
          read('health.service', ARGS[1] as string),
          write('catalog.register', ARGS[7] as string),
        ].map((message) => Buffer.from(message)),
        count: 500,
        ...atOnce(async (input) => {
          turn += 1;
          await call(methods[turn % methods.length] as string, input);
        }),
      });
      await stillWell();
    },
    FUZZ_TIMEOUT_MS,
  );

  it(
    'takes any arguments of any read and write',
    async () => {
      await fuzz({
        name: 'arguments of calls',
        corpus: [...READS, ...WRITES].flatMap((name, at) => [
          `${name} ${ARGS[at % ARGS.length]}`,
          `${name} ${ARGS[(at * 7) % ARGS.length]}`,
        ]),
        dictionary: [
          '{',
          '}',
          '[',
          ']',
          ',',
          ':',
          'null',
          '1e400',
          '-1',
          '""',
          '{"a":1}',
          '[[]]',
          '"__proto__":',
          'true',
          '"node":',
          '"filter":"x"',
        ],
        count: 1_200,
        ...atOnce(async (input) => {
          const text = input.toString();
          const space = text.indexOf(' ');
          const name = text.slice(0, Math.max(0, space));
          const args = text.slice(space + 1);
          if (name === 'ca.rotate') return;
          const status = READS.includes(name)
            ? await call('Read', read(name, args))
            : await call('Write', write(name, args));
          expect(status).toBe('0'); // refusals are answers too
        }),
      });
      expect(await call('Read', read('catalog.nodes', '{}'))).toBe('0');
      await stillWell();
    },
    FUZZ_TIMEOUT_MS,
  );

  it(
    'takes any request for a certificate',
    async () => {
      const authority = new TestAuthority();
      const material = authority.material('server');
      const asked: unknown[] = [];
      const enrolment = new EnrolServer({
        datacenter: 'dc1',
        async answer(request) {
          asked.push(request);
          return { chain: 'c', root: 'r', token: '' };
        },
        clock: systemClock,
        log: noLog,
        metrics: noMetrics,
      });
      const secured = await startSecured(material, enrolment);
      try {
        await fuzz({
          name: 'requests for certificates',
          corpus: [
            '{"op":"join","secret":"s","datacenter":"dc2","node":"n","csr":"c"}\n',
            '{"op":"renew","csr":"c"}\n',
          ],
          dictionary: ['{', '}', '"', 'null', '[]', '\n', '1'],
          count: 120,
          ...atOnce(async (input) => void (await exchangeTls(secured.port, ENROL_ALPN, input))),
        });
        const before = asked.length;
        const join = '{"op":"join","secret":"s","datacenter":"dc2","node":"n","csr":"c"}\n';
        const answer = await exchangeTls(secured.port, ENROL_ALPN, Buffer.from(join), WHOLE_MS);
        expect(`${answer}`).toContain('"chain"');
        expect(asked.length).toBe(before + 1);
        const texts = asked.flatMap((request) => Object.values(request as object));
        expect(texts.every((text) => typeof text === 'string')).toBe(true);
      } finally {
        await enrolment.stop();
        await secured.listener.stop();
      }
    },
    FUZZ_TIMEOUT_MS,
  );

  it(
    'takes any greeting of TLS',
    async () => {
      const authority = new TestAuthority();
      const material = authority.material('server');
      const { listener: secured, port } = await startSecured(material);
      const hello = await firstBytes((at) => {
        const socket = connectTls({
          port: at,
          host: '127.0.0.1',
          ALPNProtocols: ['h2'],
          servername: 'server.dc1.consul',
        });
        socket.on('error', () => undefined);
        return socket;
      });
      try {
        await fuzz({
          name: 'TLS greetings',
          corpus: [hello],
          count: 300,
          ...atOnce(async (input) => {
            await exchange(port, input);
            await exchange(server, input);
          }),
        });
        expect(await exchange(port, hello, WHOLE_MS)).not.toHaveLength(0);
      } finally {
        await secured.stop();
      }
      await stillWell();
    },
    FUZZ_TIMEOUT_MS,
  );
});

/** A server port behind mutual TLS. */
async function startSecured(
  material: TlsMaterial,
  other?: OtherProtocol,
): Promise<{ readonly listener: RpcListener; readonly port: number }> {
  const listener = createRpcListener({
    listeners: [{ name: 'server', address: '127.0.0.1', port: 0 }],
    handlers: { datacenter: 'dc1' },
    limits: { maxConnectionsPerClient: 0 },
    security: createTlsSecurity({
      material: () => material,
      policy: () => ({ verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true }),
      domain: 'consul',
      datacenter: 'dc1',
      clock: systemClock,
      ...(other === undefined ? {} : { other }),
    }),
    clock: systemClock,
    log: noLog,
    metrics: noMetrics,
  });
  await listener.start(new AbortController().signal);
  return { listener, port: listener.addresses.server?.port ?? 0 };
}
