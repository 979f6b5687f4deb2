import { once } from 'node:events';
import { connect } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { create, toBinary } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, expect, it } from 'vitest';
import {
  DeltaDiscoveryRequestSchema,
  DiscoveryRequestSchema,
} from '../../src/edge/xds/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { createXdsMeters } from '../../src/edge/xds/meters.ts';
import { createXdsServer } from '../../src/edge/xds/server.ts';
import { XDS_TYPE_INFO } from '../../src/edge/xds/types.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { Failure } from '../../src/lib/failure.ts';
import { ReadRequestSchema } from '../../src/rpc/gen/isthmus/v1/isthmus_pb.ts';
import { createRpcListener } from '../../src/rpc/transport/listener.ts';
import { TUNNEL_PROTOCOL } from '../../src/sidecar/wire/tunnel.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import { adsService } from '../fakes/ads-service.ts';
import {
  END_HEADERS,
  END_STREAM,
  FRAME,
  grpcMessage,
  HTTP2_PREFACE,
  http2Frame,
  http2Headers,
} from '../fakes/http2-frames.ts';
import { exchange as echo, SidecarBench } from '../fakes/sidecar-bench.ts';
import { deltaClient } from '../fakes/xds-client.ts';
import { FakeFeeds, PROXY } from '../fakes/xds-feeds.ts';
import { waitFor } from '../harness/wait-for.ts';
import { atOnce } from './exchange.ts';
import { FUZZ_TIMEOUT_MS, fuzz } from './run.ts';

/** Streams and frames as state machines: each input is a sequence of steps, two bytes each, that a stranger takes. */

const never = new AbortController().signal;
/** Longest sequence. */
const MAX_STEPS = 48;
/** What Node does not tell to be broken is closed by probes: the port may be busy with that after a long run. */
const ENDING_MS = 60_000;
/** How long a side that may wait for more is listened to, milliseconds. */
const PATIENCE_MS = 30;

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function pick<T>(from: readonly T[], n: number): T {
  return from[n % from.length] as T;
}

function stepsOf<T>(input: Buffer, step: (kind: number, detail: number) => T): T[] {
  const steps: T[] = [];
  for (let at = 0; at + 1 < input.length && at < 2 * MAX_STEPS; at += 2)
    steps.push(step(input[at] as number, input[at + 1] as number));
  return steps;
}

/** Frame types of RFC 9113 that are written by hand below. */
const OTHER = { priority: 2, push: 5, ping: 6, goaway: 7, window: 8, continuation: 9, unknown: 0xfa } as const;
const u32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n >>> 0);
  return bytes;
};

/** Any frame, on one of a few streams; `open` makes the headers that begin one. */
function frameOf(
  kind: number,
  step: number,
  open: (detail: number) => Buffer,
  data: (detail: number) => Buffer,
): Buffer {
  const detail = step & 0x7f;
  const stream = pick([1, 3, 5, 7, 0, 2, 0x7fffffff], detail);
  const end = step & 0x80 ? END_STREAM : 0;
  switch (kind % 12) {
    case 0:
    case 1:
      return http2Frame(FRAME.headers, END_HEADERS | end, stream, open(detail));
    case 2: // the rest of the headers is to follow
      return http2Frame(FRAME.headers, end, stream, open(detail));
    case 3:
      return http2Frame(OTHER.continuation, detail & END_HEADERS, stream, open(detail).subarray(0, detail));
    case 4:
    case 5:
      return http2Frame(FRAME.data, end, stream, data(detail));
    case 6:
      return http2Frame(FRAME.reset, 0, stream, u32(detail % 14));
    case 7:
      return http2Frame(FRAME.settings, detail & 1, 0, detail & 1 ? Buffer.alloc(0) : settingOf(detail));
    case 8:
      return http2Frame(OTHER.ping, detail & 1, 0, Buffer.alloc(detail & 2 ? 8 : detail % 12));
    case 9:
      return http2Frame(OTHER.window, 0, stream, u32(pick([0, 1, 65_535, 0x7fffffff], detail)));
    case 10:
      return http2Frame(
        pick([OTHER.goaway, OTHER.priority, OTHER.push, OTHER.unknown], detail),
        0,
        stream,
        Buffer.alloc(detail % 20),
      );
    default: // a length that is not that of what follows
      return Buffer.concat([
        http2Frame(FRAME.data, end, stream, data(detail)).subarray(0, 9 + (detail % 5)),
        u32(detail),
      ]);
  }
}

function settingOf(detail: number): Buffer {
  const id = Buffer.from([0, 1 + (detail % 9)]);
  return Buffer.concat([id, u32(pick([0, 1, 100, 16_384, 0xffffff, 0x7fffffff, 0xffffffff], detail >> 1))]);
}

const FRAMES = [
  [0, 0x00, 4, 0x00, 4, 0x80],
  [0, 0x00, 0, 0x01, 4, 0x00, 6, 0x00, 4, 0x81, 9, 0x01],
  [7, 0x02, 8, 0x02, 2, 0x03, 3, 0x04, 4, 0x03],
  [0, 0x02, 10, 0x00, 4, 0x02, 11, 0x02],
].map((bytes) => Buffer.from(bytes));

it(
  'a tunnel of a sidecar takes any sequence of frames from a member of the mesh, and holds nothing of it afterwards',
  async () => {
    const bench = new SidecarBench();
    stops.push(() => bench.close());
    const db = await bench.db(await bench.echo(), { limits: { pingIntervalMs: 300, pingTimeoutMs: 1_000 } });
    const web = await bench.web([db.address]);
    expect(String(await echo(web.address, 'good'))).toBe('good');
    const leaf = bench.ca.leaf('web', 'dc1');
    const options: ConnectionOptions = {
      host: '127.0.0.1',
      port: Number(db.address.split(':').at(-1)),
      ca: [bench.ca.rootPem],
      cert: leaf.certPem,
      key: leaf.keyPem,
      checkServerIdentity: () => undefined,
      ALPNProtocols: [TUNNEL_PROTOCOL],
    };
    const open = (detail: number): Buffer =>
      http2Headers({
        ':method': pick(['CONNECT', 'CONNECT', 'GET', 'POST'], detail >> 5),
        ':authority': pick(['db', 'db', 'api', '', '../x', 'db:80', 'DB'], detail),
        ...(detail % 11 === 10 ? { ':path': '/', ':scheme': 'http' } : {}),
        ...(detail % 13 === 12 ? { 'x-forwarded-client-cert': 'By=a', connection: 'close' } : {}),
      });
    await fuzz({
      name: 'frames of a tunnel',
      corpus: FRAMES,
      count: 60,
      ...atOnce(async (input) => {
        const socket = connectTls(options);
        socket.on('error', () => undefined);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(() => socket.destroy(), 5_000);
          socket.once('close', () => {
            clearTimeout(timer);
            resolve();
          });
          socket.once('secureConnect', () => {
            socket.write(
              Buffer.concat([
                HTTP2_PREFACE,
                ...stepsOf(input, (kind, detail) => frameOf(kind, detail, open, (n) => Buffer.alloc(n, n))),
              ]),
            );
            socket.resume();
            setTimeout(() => socket.destroy(), PATIENCE_MS);
          });
        });
      }),
    });
    await waitFor(async () => db.sidecar.stats().inbound.connections === 0 && db.sidecar.stats().inbound.tunnels <= 4, {
      what: 'the end of the tunnels',
    });
    expect(String(await echo(web.address, 'good'))).toBe('good');
  },
  FUZZ_TIMEOUT_MS,
);

it(
  'the server port takes any sequence of frames and of messages on several calls',
  async () => {
    const listener = createRpcListener({
      listeners: [{ name: 'server', address: '127.0.0.1', port: 0 }],
      handlers: {
        datacenter: 'dc1',
        session: async (stream) => stream.send({ message: { case: 'pong', value: { number: 1n } } }),
      },
      clock: systemClock,
      log: noLog,
      metrics: noMetrics,
      limits: { maxConnectionsPerClient: 0 },
    });
    await listener.start(never);
    stops.push(() => listener.stop());
    const port = listener.addresses.server?.port as number;
    const methods = ['Read', 'Write', 'Watch', 'Changes', 'Link', 'Session', 'Restore', 'x'];
    const open = (detail: number): Buffer =>
      http2Headers({
        ':method': 'POST',
        ':scheme': 'http',
        ':path': `/isthmus.v1.Server/${pick(methods, detail)}`,
        ':authority': 'x',
        'content-type': pick(
          ['application/grpc', 'application/grpc', 'application/grpc+json', 'text/plain'],
          detail >> 4,
        ),
        te: 'trailers',
        ...(detail % 7 === 6 ? { 'grpc-timeout': pick(['1m', '99999999H', '-1S', 'x'], detail) } : {}),
        ...(detail % 9 === 8 ? { 'grpc-encoding': pick(['gzip', 'x'], detail) } : {}),
      });
    const read = toBinary(
      ReadRequestSchema,
      create(ReadRequestSchema, { name: 'catalog.nodes', argsJson: Buffer.from('{}') }),
    );
    const data = (detail: number): Buffer => {
      const message = grpcMessage(pick([read, new Uint8Array(), new Uint8Array(detail)], detail));
      // Cut off, compressed as it says and is not, or as long as may be.
      if (detail % 5 === 4) return message.subarray(0, detail % message.length);
      if (detail % 5 === 3) message[0] = 1;
      if (detail % 5 === 2) message.writeUInt32BE(pick([0xffffffff, 0x7fffffff, 64 * 1024 * 1024], detail), 1);
      return message;
    };
    const exchange = (bytes: Buffer): Promise<void> =>
      new Promise((resolve) => {
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => undefined);
        socket.once('close', () => resolve());
        socket.once('connect', () => {
          socket.write(bytes);
          socket.resume();
          setTimeout(() => socket.destroy(), PATIENCE_MS);
        });
      });
    await fuzz({
      name: 'sequences of gRPC frames',
      corpus: FRAMES,
      count: 200,
      ...atOnce((input) =>
        exchange(
          Buffer.concat([
            HTTP2_PREFACE,
            http2Frame(FRAME.settings, 0, 0, Buffer.alloc(0)),
            ...stepsOf(input, (kind, detail) => frameOf(kind, detail, open, data)),
          ]),
        ),
      ),
    });
    const good = connect(port, '127.0.0.1');
    await once(good, 'connect');
    good.write(Buffer.concat([HTTP2_PREFACE, http2Frame(FRAME.settings, 0, 0, Buffer.alloc(0))]));
    await once(good, 'data');
    good.destroy();
  },
  FUZZ_TIMEOUT_MS + ENDING_MS,
);

it(
  'xDS streams of both protocols take any sequence of requests, and hold nothing of it afterwards',
  async () => {
    const feeds = new FakeFeeds();
    const server = createXdsServer(
      { feeds, failure: new Failure(), clock: systemClock, log: noLog, meters: createXdsMeters(noMetrics, () => 0) },
      {
        listeners: [{ kind: 'tcp', host: '127.0.0.1', port: 0 }],
        limits: { perAddress: 1_000, messagesPerTenSeconds: 40 },
      },
    );
    await server.start(never);
    stops.push(() => server.stop());
    const address = `127.0.0.1:${server.addresses[0]?.port}`;
    const client = new Client(address, credentials.createInsecure());
    stops.push(() => client.close());
    const urls = [...Object.values(XDS_TYPE_INFO).map(({ url }) => url), '', 'type.googleapis.com/envoy.X'];
    const names = (detail: number): string[] =>
      pick(
        [
          [],
          ['leaf'],
          ['leaf', 'roots'],
          ['*'],
          ['db', 'leaf', 'leaf'],
          ['x'.repeat(detail)],
          Array.from({ length: detail }, (_, n) => `n${n}`),
        ],
        detail,
      );
    const node = (detail: number) =>
      pick([{ id: PROXY }, undefined, { id: '' }, { id: PROXY, cluster: 'x' }], detail >> 3);
    const error = (detail: number) =>
      detail % 6 === 0 ? { errorDetail: { code: 3, message: 'x'.repeat(detail) } } : {};
    await fuzz({
      name: 'sequences on xDS streams',
      corpus: [
        [0, 0x00, 4, 0x00, 0, 0x03, 4, 0x01, 5, 0],
        [0, 0x01, 1, 0x02, 2, 0x00, 4, 0x05, 0, 0x01],
        [1, 0x00, 3, 0x06, 1, 0x04, 5, 0, 1, 0x05],
        [0, 0x02, 0, 0x02, 0, 0x02, 4, 0x06],
      ].map((bytes) => Buffer.from(bytes)),
      count: 60,
      async run(input) {
        const delta = (input[0] ?? 0) % 2 === 0;
        const { DeltaAggregatedResources: ofDelta, StreamAggregatedResources: ofWhole } = adsService;
        const call = delta
          ? client.makeBidiStreamRequest(ofDelta.path, ofDelta.requestSerialize, ofDelta.responseDeserialize)
          : client.makeBidiStreamRequest(ofWhole.path, ofWhole.requestSerialize, ofWhole.responseDeserialize);
        let nonce = '';
        let version = '';
        call.on('data', (response: { nonce: string; versionInfo?: string }) => {
          nonce = response.nonce;
          version = response.versionInfo ?? '';
        });
        const write = (message: unknown): boolean => (call.write as (message: unknown) => boolean).call(call, message);
        const over = new Promise<void>((resolve) => call.once('error', () => resolve()).once('end', () => resolve()));
        for (const act of stepsOf(input, (kind, detail) => ({ kind, detail }))) {
          const typeUrl = pick(urls, act.detail);
          const responseNonce = pick([nonce, nonce, '', 'x'], act.kind >> 3);
          if (act.kind % 6 === 5) {
            feeds.push({ ...feeds.current, leaf: { ...feeds.current.leaf, CertPEM: `cert ${act.detail}` } });
            continue;
          }
          if (delta) {
            const init = { node: node(act.detail), typeUrl, responseNonce, ...error(act.kind) };
            const subscribed = act.kind % 6 < 3 ? { resourceNamesSubscribe: names(act.detail) } : {};
            const unsubscribed = act.kind % 6 > 2 ? { resourceNamesUnsubscribe: names(act.detail >> 2) } : {};
            const versions =
              act.kind % 6 === 1 ? { initialResourceVersions: { leaf: 'x', '': '', [`n${act.detail}`]: version } } : {};
            write(create(DeltaDiscoveryRequestSchema, { ...init, ...subscribed, ...unsubscribed, ...versions }));
          } else {
            const init = {
              node: node(act.detail),
              typeUrl,
              responseNonce,
              versionInfo: pick([version, '', 'x'], act.kind),
              ...error(act.kind),
            };
            write(create(DiscoveryRequestSchema, { ...init, resourceNames: names(act.detail) }));
          }
          await new Promise<void>((resolve) => setImmediate(resolve)); // answers come in between
        }
        if ((input.at(-1) ?? 0) % 2 === 0) call.end();
        setTimeout(() => call.cancel(), PATIENCE_MS);
        await over;
      },
    });
    await waitFor(async () => server.envoys().length === 0 && feeds.followed === 0, { what: 'the end of all streams' });
    const good = deltaClient({ address });
    stops.push(() => good.close());
    good.send({ type: 'cluster', node: { id: PROXY } });
    expect((await good.next()).resources.length).toBeGreaterThan(0);
  },
  FUZZ_TIMEOUT_MS,
);
