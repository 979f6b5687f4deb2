import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import packet, { type Answer, type DecodedPacket, type Packet } from 'dns-packet';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { systemClock } from '../../lib/clock.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { makeResult } from '../../rpc/contract/result.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import { createDnsServer, type DnsServer, type DnsServerOptions } from './dns-server.ts';
import { addressBytes, encodeMessage } from './encode.ts';
import { KnownAnswers } from './known-answers.ts';
import { parseName, v6Text } from './names.ts';
import { Recursors } from './recursors.ts';
import { Resolver, type ResolverOptions } from './resolver.ts';
import type { DnsRecord, Reply } from './types.ts';

const OPTIONS: DnsServerOptions = {
  listeners: [{ host: '127.0.0.1', port: 0 }],
  udpAnswerLimit: 3,
  enableTruncate: true,
  compress: true,
};

const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop();
});

async function serve(
  resolve: (name: string) => Reply | undefined,
  options: Partial<DnsServerOptions> = {},
  recursors: readonly string[] = [],
): Promise<DnsServer & { readonly port: number }> {
  const server = createDnsServer(
    {
      resolve: async ({ name }) => resolve(name),
      recursors: new Recursors(systemClock, { addresses: recursors, timeoutMs: 200 }),
      clock: systemClock,
      log: noLog,
      metrics: noMetrics,
    },
    { ...OPTIONS, ...options },
  );
  await server.start(new AbortController().signal);
  running.push(server);
  return Object.assign(server, { port: server.addresses[0]?.port ?? 0 });
}

function udp(port: number, message: Buffer): Promise<Buffer> {
  const socket = createSocket('udp4');
  return new Promise<Buffer>((resolve, reject) => {
    socket.once('message', resolve);
    socket.once('error', reject);
    socket.send(message, port, '127.0.0.1');
  }).finally(() => socket.close());
}

function tcp(port: number, ...messages: readonly Buffer[]): Promise<readonly Buffer[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let received = Buffer.alloc(0);
    const found: Buffer[] = [];
    socket.on('error', reject);
    socket.on('close', () => resolve(found));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        found.push(received.subarray(2, 2 + received.readUInt16BE(0)));
        received = received.subarray(2 + received.readUInt16BE(0));
      }
      if (found.length >= messages.length) socket.destroy();
    });
    for (const message of messages) {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      socket.write(length);
      socket.write(message);
    }
  });
}

function question(name: string, type: string, more: Packet = {}): Buffer {
  return packet.encode({
    type: 'query',
    id: 4_711,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: type as 'A' }],
    ...more,
  });
}

const edns = (udpPayloadSize: number): Packet => ({
  additionals: [
    { type: 'OPT', name: '.', udpPayloadSize, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] },
  ],
});

const read = (bytes: Buffer): DecodedPacket => packet.decode(bytes);

const many = (count: number): Reply => ({
  rcode: 0,
  authoritative: true,
  answers: Array.from({ length: count }, (_, at) => ({
    name: 'db.service.consul',
    ttl: 0,
    data: { type: 'SRV' as const, priority: 1, weight: 1, port: at, target: `n${at}.node.dc1.consul` },
    extra: [
      { name: `n${at}.node.dc1.consul`, ttl: 0, data: { type: 'A' as const, address: `10.0.${at >> 8}.${at & 255}` } },
    ],
  })),
});

describe('answers', () => {
  it('keeps to three over plain UDP, to the size told with EDNS, and gives all over TCP', async () => {
    const { port } = await serve(() => many(100));
    const plain = read(await udp(port, question('db.service.consul', 'SRV')));
    expect(plain).toMatchObject({
      id: 4_711,
      flag_qr: true,
      flag_aa: true,
      flag_rd: true,
      flag_ra: false,
      flag_tc: true,
    });
    expect([plain.answers?.length, plain.additionals?.length]).toEqual([3, 3]);
    const bytes = await udp(port, question('db.service.consul', 'SRV', edns(1_232)));
    const large = read(bytes);
    expect(bytes.length).toBeLessThanOrEqual(1_232);
    expect(large.answers?.length).toBeGreaterThan(8);
    expect(large.additionals?.filter(({ type }) => type === 'A')).toHaveLength(large.answers?.length ?? 0);
    expect(large.additionals?.find(({ type }) => type === 'OPT')).toMatchObject({ udpPayloadSize: 1_232 });
    const whole = (await tcp(port, question('db.service.consul', 'SRV'))).map(read);
    expect(whole[0]).toMatchObject({ flag_tc: false });
    expect(whole[0]?.answers).toHaveLength(100);
  });

  it('does not say that answers were left out when it must not', async () => {
    const { port } = await serve(() => many(10), { enableTruncate: false, udpAnswerLimit: 1 });
    const answer = read(await udp(port, question('db.service.consul', 'SRV')));
    expect([answer.answers?.length, answer.flag_tc]).toEqual([1, false]);
  });

  it('answers several questions of one connection in order', async () => {
    const { port } = await serve((name) => ({
      rcode: 0,
      authoritative: true,
      answers: [{ name, ttl: 1, data: { type: 'A', address: '10.0.0.1' } }],
    }));
    const answers = await tcp(port, ...['a.consul', 'B.Consul', 'c.consul'].map((name) => question(name, 'A')));
    expect(answers.map((bytes) => (read(bytes).answers as Answer[] | undefined)?.[0]?.name)).toEqual([
      'a.consul',
      'B.Consul',
      'c.consul',
    ]);
  });

  it('leaves out names that can not be written', async () => {
    const long = 'x'.repeat(64);
    const { port } = await serve((name) => ({
      rcode: 0,
      authoritative: true,
      answers: [{ name, ttl: 0, data: { type: 'CNAME', target: `${long}.consul` } }],
    }));
    expect(read(await udp(port, question('a.consul', 'A'))).answers).toEqual([]);
  });
});

describe('the encoder', () => {
  const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,12}$/);
  const name = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'));
  const small = fc.nat(65_535);
  const data: fc.Arbitrary<DnsRecord['data']> = fc.oneof(
    fc.ipV4().map((address) => ({ type: 'A' as const, address })),
    fc.record({ type: fc.constantFrom('CNAME', 'NS', 'PTR'), target: name }),
    fc.record({ type: fc.constant('SRV' as const), priority: small, weight: small, port: small, target: name }),
    fc.string({ maxLength: 600 }).map((text) => ({ type: 'TXT' as const, text })),
  );
  const record: fc.Arbitrary<DnsRecord> = fc.record({ name, ttl: fc.nat(86_400), data });

  it.each([true, false])('writes what the library reads (compressed: %s)', (compress) => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 12 }), name, (records, asked) => {
        const raw = question(asked, 'A').subarray(12);
        const bytes = encodeMessage(
          { id: 1, flags: 0x8000, question: raw, answers: records, authorities: records, additionals: [] },
          compress,
        );
        const decoded = packet.decode(bytes);
        const wanted = records.map(({ name: of, ttl, data: content }) => {
          if (content.type === 'TXT') return { of, ttl, text: content.text };
          const { type, ...rest } = content;
          if ('address' in rest) return { of, ttl, type, data: rest.address };
          return { of, ttl, type, data: type === 'SRV' ? rest : (rest as { target: string }).target };
        });
        const shape = (answer: Answer): unknown => {
          const { name: of, ttl, type, data: content } = answer as Answer & { ttl: number; data: unknown };
          if (type === 'TXT') return { of, ttl, text: Buffer.concat(content as Buffer[]).toString() };
          return { of, ttl, type, data: content };
        };
        expect(decoded.answers?.map(shape)).toEqual(wanted);
        expect(decoded.authorities?.map(shape)).toEqual(wanted);
      }),
    );
  });

  it('shortens names that came before', () => {
    const { answers } = many(20);
    const message = { id: 1, flags: 0, question: question('db.service.consul', 'A').subarray(12), answers };
    const rest = { authorities: [], additionals: [] };
    const short = encodeMessage({ ...message, ...rest }).length;
    expect(short).toBeLessThan(encodeMessage({ ...message, ...rest }, false).length * 0.75);
  });

  it('writes addresses of both families', () => {
    expect(addressBytes('10.9.9.9').toString('hex')).toBe('0a090909');
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.subarray([...Array(16).keys()]),
        (bytes, zeros) => {
          const address = Buffer.from(bytes);
          for (const at of zeros) address[at] = 0;
          expect(addressBytes(v6Text(address))).toEqual(address);
        },
      ),
    );
    expect(addressBytes('::ffff:10.0.0.1').toString('hex')).toBe('00000000000000000000ffff0a000001');
  });
});

describe('names', () => {
  const lookup = (name: string) => parseName(name, ['consul', 'mesh.example'])?.lookup;

  it.each([
    ['db.service.consul', { kind: 'service', name: 'db', tag: '', datacenter: '' }],
    ['DB.Service.DC2.Mesh.Example', { kind: 'service', name: 'db', tag: '', datacenter: 'dc2' }],
    ['v1.2.db.service.consul', { kind: 'service', name: 'db', tag: 'v1.2', datacenter: '' }],
    ['_db._tcp.service.consul', { kind: 'service', name: 'db', tag: '', datacenter: '' }],
    ['_db._v1.service.dc2.consul', { kind: 'service', name: 'db', tag: 'v1', datacenter: 'dc2' }],
    ['db.connect.consul', { kind: 'connect', name: 'db', tag: '', datacenter: '' }],
    ['a.b.node.consul', { kind: 'node', name: 'a.b', datacenter: '' }],
    ['geo-db.query.consul', { kind: 'query', name: 'geo-db', datacenter: '' }],
    ['0a000001.addr.dc1.consul', { kind: 'addr', address: '10.0.0.1', datacenter: 'dc1' }],
    ['20010db8000000000000000000000001.addr.consul', { kind: 'addr', address: '2001:db8::1', datacenter: '' }],
    ['zz.addr.consul', { kind: 'invalid' }],
    ['db.service.a.b.consul', { kind: 'invalid' }],
    ['service.consul', { kind: 'invalid' }],
    ['bogus.consul', { kind: 'invalid' }],
    ['consul', { kind: 'apex' }],
    ['1.0.0.10.in-addr.arpa', { kind: 'reverse', address: '10.0.0.1' }],
    [
      '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa',
      { kind: 'reverse', address: '2001:db8::1' },
    ],
    ['notconsul', undefined],
    ['db.service.example.com', undefined],
  ])('%s', (name, wanted) => {
    expect(lookup(name)).toEqual(wanted);
  });
});

describe('malformed packets', () => {
  let server: DnsServer & { readonly port: number };
  beforeAll(async () => {
    server = await serve((name) => ({
      rcode: 3,
      authoritative: true,
      answers: [{ name, ttl: 0, data: { type: 'TXT', text: '' } }],
    }));
    running.length = 0; // lives on
  });
  afterAll(() => server.stop());

  it('are answered or dropped, and the next one is served', async () => {
    const valid = question('db.service.consul', 'A', edns(4_096));
    const broken = fc.oneof(
      fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
      fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }).map((changes) => {
        const bytes = Buffer.from(valid);
        for (const [at, value] of changes) bytes[at] = value;
        return bytes;
      }),
      fc.nat(valid.length - 1).map((length) => valid.subarray(0, length)),
    );
    const socket = createSocket('udp4');
    for (const bytes of fc.sample(broken, 2_000))
      await new Promise((sent) => socket.send(bytes, server.port, '127.0.0.1', sent));
    for (const bytes of fc.sample(broken, 50)) {
      const connection = connect(server.port, '127.0.0.1');
      await new Promise((closed) => {
        connection.on('error', () => undefined);
        connection.on('close', closed);
        connection.resume();
        connection.end(bytes);
      });
    }
    socket.close();
    expect(read(await udp(server.port, valid))).toMatchObject({ rcode: 'NXDOMAIN' });
  });

  it.each<[string, Buffer, string]>([
    ['no question', packet.encode({ type: 'query', id: 1, questions: [] }), 'FORMERR'],
    [
      'another operation',
      packet.encode({ type: 'query', id: 1, flags: 2 << 11, questions: [{ name: 'a', type: 'A' }] }),
      'NOTIMP',
    ],
    [
      'another class',
      packet.encode({ type: 'query', id: 1, questions: [{ name: 'a', type: 'A', class: 'CH' }] }),
      'REFUSED',
    ],
  ])('%s', async (_what, bytes, rcode) => {
    expect(read(await udp(server.port, bytes))).toMatchObject({ id: 1, rcode });
  });
});

describe('recursors', () => {
  it('find the address behind the name of an external service', async () => {
    const far = await serve((name) => ({
      rcode: 0,
      authoritative: false,
      answers: [
        { name, ttl: 60, data: { type: 'CNAME', target: 'host.example.com' } },
        { name: 'host.example.com', ttl: 30, data: { type: 'A', address: '192.0.2.1' } },
      ],
    }));
    const external = (name: string): Reply => ({
      rcode: 0,
      authoritative: true,
      answers: [{ name, ttl: 0, data: { type: 'CNAME', target: 'db.example.com' } }],
    });
    const near = await serve(external, {}, [`127.0.0.1:${far.port}`]);
    expect(read(await udp(near.port, question('db.service.consul', 'A'))).answers).toMatchObject([
      { name: 'db.service.consul', type: 'CNAME', data: 'db.example.com' },
      { name: 'db.example.com', type: 'CNAME', data: 'host.example.com' },
      { name: 'host.example.com', type: 'A', data: '192.0.2.1' },
    ]);
  });

  it('are asked in turn, over the transport of the question', async () => {
    const far = await serve((name) => ({
      rcode: 0,
      authoritative: false,
      answers: [{ name, ttl: 60, data: { type: 'A', address: '192.0.2.1' } }],
    }));
    const refusing = await serve(() => undefined);
    const silent = createSocket('udp4');
    await new Promise<void>((resolve) => silent.bind(0, '127.0.0.1', resolve));
    const at = (port: number): string => `127.0.0.1:${port}`;
    const near = await serve(() => undefined, {}, [at(silent.address().port), at(refusing.port), at(far.port)]);
    const [overTcp] = await tcp(near.port, question('example.com', 'A'));
    for (const bytes of [await udp(near.port, question('example.com', 'A')), overTcp as Buffer])
      expect(read(bytes)).toMatchObject({ id: 4_711, rcode: 'NOERROR', answers: [{ data: '192.0.2.1' }] });
    silent.close();
    await far.stop();
    running.splice(running.indexOf(far), 1);
    expect(read(await udp(near.port, question('example.com', 'A')))).toMatchObject({ rcode: 'REFUSED' });
  });
});

const RESOLVER: ResolverOptions = {
  domain: 'consul',
  altDomain: '',
  datacenter: 'dc1',
  node: 'n1',
  translateWanAddrs: false,
  onlyPassing: false,
  nodeMetaTxt: true,
  nodeTtlMs: 5_000,
  serviceTtlMs: { '*': 1_000, 'db*': 2_000, db: 3_000 },
  aRecordLimit: 0,
  soa: { refresh: 1, retry: 2, expire: 3, minTtl: 4 },
};

function instance(node: string, address: string, status = 'passing') {
  return {
    Node: { Node: node, Address: address, Datacenter: 'dc1', TaggedAddresses: null, Meta: null },
    Service: { ID: 'db', Service: 'db', Tags: [], Address: '', Port: 5_432, Weights: { Passing: 10, Warning: 2 } },
    Checks: [{ CheckID: 'c', Status: status }],
  };
}

describe('the resolver', () => {
  const resolver = (answer: (name: string) => object, options: Partial<ResolverOptions> = {}) =>
    new Resolver(
      {
        known: { ask: async (name: string) => answer(name) as never },
        contract: { read: async () => makeResult({ index: 1, value: ['dc1', 'dc2'] }) } as unknown as ServerContract,
        token: () => '',
        now: () => 0,
        random: () => 0.5,
      },
      { ...RESOLVER, ...options },
    );
  const { signal } = new AbortController();
  const ask = (of: Resolver, name: string, type = 'A') => of.resolve({ name, type }, signal);
  const hosts = [
    instance('a', '10.0.0.1'),
    instance('b', '10.0.0.2', 'warning'),
    instance('c', '10.0.0.3', 'critical'),
  ];

  it('gives healthy instances, with warnings unless told otherwise', async () => {
    const addresses = async (options: Partial<ResolverOptions>): Promise<unknown> =>
      (
        await ask(
          resolver(() => ({ value: hosts }), options),
          'db.service.consul',
        )
      )?.answers
        .map(({ data }) => 'address' in data && data.address)
        .sort();
    expect(await addresses({})).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(await addresses({ onlyPassing: true })).toEqual(['10.0.0.1']);
    expect(await addresses({ aRecordLimit: 1 })).toHaveLength(1);
  });

  it('weights by health, and takes the most particular TTL', async () => {
    const reply = await ask(
      resolver(() => ({ value: hosts.slice(0, 2) })),
      'db.service.consul',
      'SRV',
    );
    expect(
      reply?.answers.map(({ data, ttl }) => ('weight' in data ? [data.target, data.weight, ttl] : [])).sort(),
    ).toEqual([
      ['a.node.dc1.consul', 10, 3],
      ['b.node.dc1.consul', 2, 3],
    ]);
    const ttl = async (name: string): Promise<unknown> =>
      (
        await ask(
          resolver(() => ({ value: hosts.slice(0, 1) })),
          name,
        )
      )?.answers[0]?.ttl;
    expect([await ttl('dbx.service.consul'), await ttl('web.service.consul')]).toEqual([2, 1]);
  });

  it('leads to a name when that is all that is known', async () => {
    const external = resolver(() => ({ value: [instance('ext', 'db.example.com.')] }));
    const cname = (await ask(external, 'db.service.consul'))?.answers[0]?.data;
    expect(cname).toEqual({ type: 'CNAME', target: 'db.example.com' });
    const srv = (await ask(external, 'db.service.consul', 'SRV'))?.answers[0];
    expect([srv?.data, srv?.extra]).toMatchObject([{ target: 'db.example.com', port: 5_432 }, []]);
  });

  it('tells a failure from absence', async () => {
    expect(
      await ask(
        resolver(() => ({})),
        'db.service.dc2.consul',
      ),
    ).toMatchObject({ rcode: 2 });
    expect(
      await ask(
        resolver(() => ({ value: [] })),
        'db.service.consul',
      ),
    ).toMatchObject({
      rcode: 3,
      authorities: [{ name: 'consul', ttl: 4, data: { type: 'SOA', minimum: 4 } }],
    });
    expect(
      await ask(
        resolver(() => ({ value: hosts })),
        'db.service.nowhere.consul',
      ),
    ).toMatchObject({ rcode: 3 });
    expect(
      await ask(
        resolver(() => ({ problem: 'Query not found' })),
        'x.query.consul',
      ),
    ).toMatchObject({ rcode: 3 });
    expect(
      await ask(
        resolver(() => ({})),
        'example.com',
      ),
    ).toBeUndefined();
  });
});

describe('known answers', () => {
  it('are asked for once and followed until nobody wants them', async () => {
    const clock = new FakeClock();
    let tell: (state: { value?: unknown; index: number }) => void = () => undefined;
    let follows = 0;
    let ends = 0;
    const known = new KnownAnswers({
      clock,
      pool: {
        follow: ((_name: string, _args: object, _options: object, onState: typeof tell) => {
          follows += 1;
          tell = onState;
          return () => {
            ends += 1;
          };
        }) as never,
      },
    });
    const ask = () => known.ask('health.service', { service: 'db' }, {});
    const first = Promise.all([ask(), ask()]);
    tell({ value: ['one'], index: 1 });
    expect((await first).map(({ value }) => value)).toEqual([['one'], ['one']]);
    tell({ value: ['two'], index: 2 });
    expect([(await ask()).value, follows]).toEqual([['two'], 1]);
    await clock.advance(700_000);
    expect(ends).toBe(1);
    const refused = ask();
    tell({ index: 1, problem: 'Query not found' } as never);
    expect([(await refused).problem, ends]).toEqual(['Query not found', 2]);
    const late = ask();
    await clock.advance(3_000);
    expect(await late).toEqual({});
    known.close();
    expect([follows, ends, clock.next()]).toEqual([3, 3, undefined]);
  });
});
