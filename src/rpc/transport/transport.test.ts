import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as tcpConnect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { FRAME, grpcCall, http2Frame } from '../../../test/fakes/http2-frames.ts';
import { systemClock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { abortReason } from '../../lib/signals.ts';
import { type Logger, noLog, noMetrics } from '../../telemetry/types.ts';
import type { ServerContract } from '../contract/contract.ts';
import { makeResult } from '../contract/result.ts';
import { createChannel } from './channel.ts';
import type { RpcHandlers, TransportLimits } from './handlers.ts';
import { createRpcListener, type RpcListener } from './listener.ts';
import { createRemoteChanges, createRemoteContract } from './remote-contract.ts';

const never = new AbortController().signal;
const cleanup: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

function contractOf(part: Partial<Record<keyof ServerContract, unknown>>): ServerContract {
  const missing = async () => {
    throw new IsthmusError('internal', 'not expected');
  };
  return { read: missing, write: missing, watch: missing, ...part } as unknown as ServerContract;
}

async function serve(
  handlers: Omit<RpcHandlers, 'datacenter'>,
  options: { limits?: TransportLimits; log?: Logger } = {},
) {
  const listener = createRpcListener({
    listeners: [
      { name: 'server', address: '127.0.0.1', port: 0 },
      { name: 'serf_wan', address: '127.0.0.1', port: 0 },
      { name: 'serf_lan', address: '127.0.0.1', port: -1 },
    ],
    handlers: { datacenter: 'dc1', ...handlers },
    clock: systemClock,
    log: options.log ?? noLog,
    metrics: noMetrics,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  await listener.start(never);
  cleanup.push(() => listener.stop());
  return listener;
}

function port(listener: RpcListener, name = 'server'): number {
  return listener.addresses[name]?.port as number;
}

function dial(at: number, limits?: TransportLimits) {
  const channel = createChannel({ address: `127.0.0.1:${at}`, ...(limits === undefined ? {} : { limits }) });
  cleanup.push(() => channel.close());
  return { channel, remote: createRemoteContract({ channel, clock: systemClock }) };
}

/** A call that is answered by the transport itself: once it is, the calls before it have arrived. */
const UNKNOWN_METHOD = {
  path: '/isthmus.v1.Server/Nothing',
  requestStream: false,
  responseStream: false,
  requestSerialize: () => Buffer.alloc(0),
  requestDeserialize: () => null,
  responseSerialize: () => Buffer.alloc(0),
  responseDeserialize: () => null,
} as const;

function capture(): { log: Logger; lines: { message: string; fields: unknown }[] } {
  const lines: { message: string; fields: unknown }[] = [];
  const log: Logger = { ...noLog, warn: (message, fields) => lines.push({ message, fields }), child: () => log };
  return { log, lines };
}

function callHeaders(method: string): Record<string, string> {
  return {
    ':method': 'POST',
    ':path': `/isthmus.v1.Server/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
  };
}

/** Whether the listener answers a call on a new connection from this address. */
async function firstAnswer(at: number, localAddress: string): Promise<boolean> {
  const socket = tcpConnect({ port: at, host: '127.0.0.1', localAddress });
  socket.on('error', () => undefined);
  socket.write(grpcCall('Read'));
  const answered = await Promise.race([once(socket, 'data').then(() => true), once(socket, 'close').then(() => false)]);
  socket.destroy();
  return answered;
}

describe('the contract over the network', () => {
  it('carries a read with its options, and JSON untouched', async () => {
    const json = Buffer.from('{"b":1,  "a":[null], "unknown_to_us": 1e2}');
    let seen: unknown;
    const listener = await serve({
      contract: contractOf({
        read: async (name: string, args: unknown, { signal: _, ...options }: { signal: AbortSignal }) => {
          seen = { name, args, options };
          return makeResult({ index: 2 ** 40, json, knownLeader: false, lastContactMs: 12 });
        },
      }),
    });
    for (const name of ['server', 'serf_wan']) {
      const { remote } = dial(port(listener, name));
      const result = await remote.read(
        'catalog.nodes',
        { filter: 'é' },
        {
          signal: never,
          datacenter: 'dc2',
          token: 't',
          index: 0,
          waitMs: 1_500,
          consistency: 'stale',
        },
      );
      expect(result.json.equals(json)).toBe(true);
      expect(result.value).toEqual({ b: 1, a: [null], unknown_to_us: 100 });
      expect(result).toMatchObject({ index: 2 ** 40, knownLeader: false, lastContactMs: 12 });
      expect(seen).toEqual({
        name: 'catalog.nodes',
        args: { filter: 'é' },
        options: { datacenter: 'dc2', token: 't', index: 0, waitMs: 1_500, consistency: 'stale' },
      });
    }
    expect(listener.addresses.serf_lan).toBeUndefined();
  });

  it('carries a write and its revision', async () => {
    const listener = await serve({
      contract: contractOf({ write: async (name: string, args: unknown) => ({ value: { name, args }, revision: 9 }) }),
    });
    const { remote } = dial(port(listener));
    const result = await remote.write('intentions.delete', { id: 'x' }, { signal: never });
    expect(result).toEqual({ value: { name: 'intentions.delete', args: { id: 'x' } }, revision: 9 });
  });

  it('gives errors as they were thrown, however long', async () => {
    const message = `Invalid: ${'é'.repeat(300_000)}`;
    const failing = async () => {
      throw new IsthmusError('rejected', message, { details: { revision: 7 }, cause: new Error('secret') });
    };
    const listener = await serve({
      contract: contractOf({
        read: failing,
        write: failing,
        watch: async function* () {
          yield { index: 1, value: null };
          await failing();
        },
      }),
    });
    const { remote } = dial(port(listener));
    const expected = { code: 'rejected', message, details: { revision: 7 } };
    await expect(remote.read('ca.roots', {}, { signal: never })).rejects.toMatchObject(expected);
    await expect(remote.write('ca.rotate', {}, { signal: never })).rejects.toMatchObject(expected);
    const watch = remote.watch('ca.roots', {}, { signal: never })[Symbol.asyncIterator]();
    expect((await watch.next()).value).toEqual({ index: 1, value: null });
    await expect(watch.next()).rejects.toMatchObject(expected);
  });

  it('tells the server when the caller aborts or leaves the loop, and the caller why', async () => {
    const ended: string[] = [];
    let onEnd: () => void = () => undefined;
    const untilAborted = (what: string, signal: AbortSignal) =>
      new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => {
          ended.push(what);
          onEnd();
          reject(abortReason(signal));
        });
      });
    const listener = await serve({
      contract: contractOf({
        read: (_name: string, _args: unknown, options: { signal: AbortSignal }) => untilAborted('read', options.signal),
        watch: async function* (_name: string, _args: unknown, options: { signal: AbortSignal }) {
          yield { index: 1, value: 'first' };
          await untilAborted('watch', options.signal);
        },
      }),
    });
    const { remote } = dial(port(listener));
    const next = () => new Promise<void>((resolve) => (onEnd = resolve));

    const abort = new AbortController();
    const reading = remote.read('ca.roots', {}, { signal: abort.signal });
    const watching = remote.watch('ca.roots', {}, { signal: abort.signal })[Symbol.asyncIterator]();
    await watching.next();
    const blocked = watching.next();
    abort.abort(new IsthmusError('deadline', 'enough'));
    await expect(reading).rejects.toMatchObject({ code: 'deadline', message: 'enough' });
    await expect(blocked).rejects.toMatchObject({ code: 'deadline', message: 'enough' });
    while (ended.length < 1) await next();

    ended.length = 0;
    for await (const update of remote.watch('ca.roots', {}, { signal: never })) {
      expect(update.value).toBe('first');
      break;
    }
    while (ended.length < 1) await next();
    expect(ended).toContain('watch');
    const aborted = AbortSignal.abort(new IsthmusError('cancelled', 'never mind'));
    await expect(remote.read('ca.roots', {}, { signal: aborted })).rejects.toMatchObject({ message: 'never mind' });
  });

  it('gives up a read that takes longer than it may, counting what it asked to block', async () => {
    const clock = new FakeClock();
    const listener = await serve({ contract: contractOf({ read: () => new Promise(() => undefined) }) });
    const channel = createChannel({ address: `127.0.0.1:${port(listener)}` });
    cleanup.push(() => channel.close());
    const remote = createRemoteContract({ channel, clock, callMs: 1_000 });
    const outcomes: string[] = [];
    const read = async (name: string, index?: number) => {
      const options = index === undefined ? { signal: never } : { signal: never, index, waitMs: 16_000 };
      await remote.read('ca.roots', {}, options).catch((error: IsthmusError) => outcomes.push(`${name} ${error.code}`));
    };
    const both = [read('plain'), read('blocking', 3)];
    await clock.advance(1_001);
    await both[0];
    expect(outcomes).toEqual(['plain deadline']);
    await clock.advance(17_000);
    await both[1];
    expect(outcomes).toEqual(['plain deadline', 'blocking deadline']);
  });

  it('slows a watch down to its reader', async () => {
    let produced = 0;
    const listener = await serve({
      contract: contractOf({
        watch: async function* () {
          for (;;) {
            produced += 1;
            yield { index: produced, value: { text: String(produced % 10).repeat(64 * 1024), produced } };
            await settle();
          }
        },
      }),
    });
    const { remote } = dial(port(listener));
    const watch = remote.watch('ca.roots', {}, { signal: never })[Symbol.asyncIterator]();
    await watch.next();
    let before = -1;
    while (before !== produced) {
      before = produced;
      for (let turn = 0; turn < 50; turn += 1) await settle();
    }
    expect(produced).toBeLessThan(200); // 200 × 64 KiB: buffers of a connection, not the heap
    await watch.return?.(undefined);
  });

  it('refuses a message above the limit and goes on', async () => {
    const limits = { maxMessageBytes: 100_000, maxWriteBytes: 100_000 };
    const listener = await serve(
      {
        contract: contractOf({
          read: async () => makeResult({ index: 1, value: 'x'.repeat(200_000) }),
          write: async () => ({ value: true, revision: 1 }),
        }),
      },
      { limits },
    );
    const { remote } = dial(port(listener), { maxMessageBytes: 150_000 });
    await expect(remote.read('ca.roots', {}, { signal: never })).rejects.toMatchObject({ code: 'too_large' });
    const big = { id: 'x'.repeat(120_000) };
    await expect(remote.write('intentions.delete', big, { signal: never })).rejects.toMatchObject({
      code: 'too_large',
    });
    expect(await remote.write('intentions.delete', { id: 'x' }, { signal: never })).toMatchObject({ revision: 1 });
  });

  it.each([
    ['Write', 4 * 1024 * 1024 + 1],
    ['Read', 1024 * 1024 + 1],
    ['Link', 128 * 1024 + 1],
    ['Session', 128 * 1024 + 1],
    ['SaveSnapshot', 64 * 1024 + 1],
  ])('refuses a message that is too large for its method by its head alone: %s', async (method, length) => {
    const listener = await serve({});
    const head = Buffer.alloc(5);
    head.writeUInt32BE(length, 1);
    const session = connectHttp2(`http://127.0.0.1:${port(listener)}`);
    const stream = session.request(callHeaders(method));
    stream.on('error', () => undefined);
    stream.resume();
    stream.write(head);
    const [headers] = (await Promise.race([once(stream, 'response'), once(stream, 'trailers')])) as [object];
    expect(headers).toMatchObject({
      'grpc-status': '8',
      'grpc-message': expect.stringContaining('larger%20than%20max'),
    });
    session.destroy();
  });

  it('ends calls whose unfinished messages exceed the limit of a connection or of all; others are served', async () => {
    const limits = { maxUnfinishedOfConnection: 300_000, maxUnfinished: 500_000 };
    const listener = await serve(
      { contract: contractOf({ read: async () => makeResult({ index: 1, value: 1 }) }) },
      { limits },
    );
    const hogs = Array.from({ length: 4 }, () => connectHttp2(`http://127.0.0.1:${port(listener)}`));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(1_000_000, 1);
    const ended = hogs.flatMap((hog) =>
      Array.from({ length: 5 }, () => {
        const stream = hog.request(callHeaders('Write'));
        stream.on('error', () => undefined);
        stream.write(Buffer.concat([head, Buffer.alloc(60_000)]));
        stream.write(Buffer.alloc(60_000));
        return new Promise((resolve) => stream.once('close', resolve));
      }),
    );
    await Promise.race(ended);
    const { remote } = dial(port(listener));
    for (let turn = 0; turn < 10; turn += 1)
      expect((await remote.read('ca.roots', {}, { signal: never })).value).toBe(1);
    for (const hog of hogs) hog.destroy();
  });

  it('fails open calls at once when the channel is closed or the server stops', async () => {
    const hanging = contractOf({
      read: (_n: string, _a: unknown, { signal }: { signal: AbortSignal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(abortReason(signal)))),
    });
    const listener = await serve({ contract: hanging });
    const first = dial(port(listener));
    const reading = first.remote.read('ca.roots', {}, { signal: never });
    await first.channel
      .unary(UNKNOWN_METHOD, null, never)
      .catch((error: IsthmusError) => expect(error.code).toBe('internal'));
    first.channel.close(new IsthmusError('unavailable', 'the link to dc2 was lost'));
    await expect(reading).rejects.toMatchObject({ code: 'unavailable', message: 'the link to dc2 was lost' });
    await expect(first.remote.read('ca.roots', {}, { signal: never })).rejects.toMatchObject({ code: 'unavailable' });

    const second = dial(port(listener));
    const blocked = second.remote.read('ca.roots', {}, { signal: never });
    const failed = expect(blocked).rejects.toMatchObject({ code: 'unavailable' });
    await second.channel.unary(UNKNOWN_METHOD, null, never).catch(() => undefined);
    await listener.stop();
    await failed;
    await expect(second.remote.read('ca.roots', {}, { signal: never })).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('answers what it has no handler for, and arguments that are no JSON', async () => {
    const listener = await serve({});
    const { channel, remote } = dial(port(listener));
    await expect(remote.read('ca.roots', {}, { signal: never })).rejects.toMatchObject({ code: 'unavailable' });
    const changes = createRemoteChanges(channel).changes({ kind: 'config-entries' }, never)[Symbol.asyncIterator]();
    await expect(changes.next()).rejects.toMatchObject({
      code: 'unavailable',
      message: 'this server replicates nothing',
    });
  });
});

describe('strangers on the port', () => {
  async function send(at: number, bytes: string | Buffer): Promise<string> {
    const socket = tcpConnect(at, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    socket.write(bytes);
    await once(socket, 'close');
    return answer;
  }

  it('refuses HTTP/1, TLS and garbage, logs a peer once for each, and goes on', async () => {
    const { log, lines } = capture();
    const contract = contractOf({ read: async () => makeResult({ index: 1, value: 'alive' }) });
    const listener = await serve({ contract }, { log });
    const at = port(listener);
    expect(await send(at, 'GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 400 [\s\S]*This port is for servers/,
    );
    await send(at, Buffer.from('1603010200010001fc0303', 'hex'));
    await send(at, Buffer.from([0, 1, 2, 3]));
    await send(at, Buffer.from([0, 1, 2, 3]));
    await send(
      at,
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nthis is no frame at all, whatever it looks like, as anyone can see',
    );
    expect(lines).toEqual(
      ['http1', 'tls', 'garbage'].map((reason) => ({
        message: 'refused a connection',
        fields: expect.objectContaining({ listener: 'server', reason }),
      })),
    );
    const { remote } = dial(at);
    expect((await remote.read('ca.roots', {}, { signal: never })).value).toBe('alive');
  });

  it('ends a connection that says nothing in time', async () => {
    const { log, lines } = capture();
    const listener = await serve({}, { log, limits: { handshakeMs: 20 } });
    await send(port(listener), '');
    expect(lines).toEqual([{ message: 'refused a connection', fields: expect.objectContaining({ reason: 'silent' }) }]);
  });

  it('refuses more connections of one address than it may hold, and takes more when one ends', async () => {
    const { log, lines } = capture();
    const listener = await serve({}, { limits: { maxConnectionsPerClient: 2 }, log });
    const open = [tcpConnect(port(listener)), tcpConnect(port(listener, 'serf_wan'))];
    await Promise.all(
      open.map((socket) => {
        const settings = once(socket, 'data');
        socket.write(grpcCall('Read'));
        return settings;
      }),
    );
    const third = tcpConnect(port(listener));
    third.on('error', () => undefined);
    await once(third, 'close');
    expect(lines[0]?.fields).toMatchObject({ reason: 'too_many', detail: expect.stringContaining('rpc_max_conns') });
    open[0]?.destroy();
    await expect
      .poll(async () => {
        const again = tcpConnect(port(listener));
        again.on('error', () => undefined);
        again.write('GET / HTTP/1.1\r\n\r\n');
        let text = '';
        again.on('data', (chunk) => {
          text += chunk;
        });
        await once(again, 'close');
        return text;
      })
      .toContain('This port is for servers');
    open[1]?.destroy();
  });

  it.each([
    ['one address, within its share', {}, ['127.0.0.1']],
    [
      'many addresses, which fill the whole',
      { maxConnections: 200 },
      Array.from({ length: 20 }, (_, n) => `127.0.1.${n}`),
    ],
  ])('serves others while strangers hold silent connections: of %s', async (_what, limits, strangers) => {
    const contract = contractOf({ read: async () => makeResult({ index: 1, value: 'served' }) });
    const listener = await serve({ contract }, { limits });
    const silent = Array.from({ length: 520 }, (_, n) => {
      const socket = tcpConnect({ port: port(listener), localAddress: strangers[n % strangers.length] as string });
      socket.on('error', () => undefined);
      return socket;
    });
    await Promise.all(silent.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
    const answers = await Promise.all(
      Array.from({ length: 136 }, (_, n) => firstAnswer(port(listener), `127.0.0.${2 + (n % 8)}`)),
    );
    expect(answers.filter((answered) => answered).length).toBe(136);
    expect(await firstAnswer(port(listener), strangers[0] as string)).toBe(true); // the flooder's own address too
    for (const socket of silent) socket.destroy();
  });

  it.each([
    ['another content type', grpcCall('Read', 'text/plain')],
    ['an unknown method', grpcCall('Nothing')],
    ['a good call', grpcCall('Read')],
  ])('outlives %s that is taken back in the same breath', async (_what, call) => {
    const listener = await serve({ contract: contractOf({ read: async () => makeResult({ index: 1, value: 1 }) }) });
    const socket = tcpConnect(port(listener));
    socket.on('error', () => undefined);
    socket.write(Buffer.concat([call, http2Frame(FRAME.reset, 0, 1, Buffer.from([0, 0, 0, 8]))]));
    await once(socket, 'data');
    const { remote } = dial(port(listener));
    expect((await remote.read('ca.roots', {}, { signal: never })).value).toBe(1);
    socket.destroy();
  });

  it('says which setting is wrong when a port is taken', async () => {
    const first = await serve({});
    const second = createRpcListener({
      listeners: [{ name: 'serf_wan', address: '127.0.0.1', port: port(first) }],
      handlers: { datacenter: 'dc1' },
      clock: systemClock,
      log: noLog,
      metrics: noMetrics,
    });
    await expect(second.start(never)).rejects.toThrow(
      /^ports\.serf_wan: can't listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/,
    );
  });
});
