import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import packet, { type Answer, type OptAnswer } from 'dns-packet';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DnsBed, edns, question, read, tcp, udp } from '../../../test/fakes/dns.ts';
import type { DnsServer } from './dns-server.ts';
import type { Reply } from './types.ts';

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

function numbered<T>(count: number, of: (at: number) => T): readonly T[] {
  return Array.from({ length: count }, (_, at) => of(at));
}

describe('answers', () => {
  const bed = new DnsBed();
  afterEach(() => bed.stop());

  it('keeps to three over plain UDP, to the size told with EDNS, and gives all over TCP', async () => {
    const { port } = await bed.serve(() => many(100));
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

  it('sends no more than 1,232 bytes over UDP, whatever the asker takes, and the rest over TCP', async () => {
    for (const enableTruncate of [true, false]) {
      const { port } = await bed.serve(() => many(1_000), { enableTruncate });
      const bytes = await udp(port, question('db.service.consul', 'SRV', edns(65_535)));
      expect(bytes.length).toBeLessThanOrEqual(1_232);
      expect(read(bytes).flag_tc).toBe(true);
      const [whole] = await tcp(port, question('db.service.consul', 'SRV'));
      expect(whole?.length).toBeGreaterThan(40_000);
    }
    const { port } = await bed.serve(() => many(100), { udpMaxSize: 4_096 });
    expect((await udp(port, question('db.service.consul', 'SRV', edns(65_535)))).length).toBeGreaterThan(3_500);
  });

  it('counts addresses against the limit, not names that lead to them, and says that some are left out', async () => {
    const { port } = await bed.serve(
      () => ({
        rcode: 0,
        authoritative: true,
        truncatable: true,
        answers: [
          { ttl: 0, data: { type: 'CNAME', target: 'a.example' } },
          { name: 'a.example', ttl: 0, data: { type: 'CNAME', target: 'b.example' } },
          ...numbered(5, (at) => ({
            name: 'b.example',
            ttl: 0,
            data: { type: 'A' as const, address: `10.0.0.${at}` },
          })),
        ],
      }),
      { enableTruncate: false },
    );
    const plain = read(await udp(port, question('db.service.consul', 'A')));
    expect(plain.answers?.map(({ type }) => type)).toEqual(['CNAME', 'CNAME', 'A', 'A', 'A']);
    expect(plain.flag_tc).toBe(true);
    const [whole] = (await tcp(port, question('db.service.consul', 'A'))).map(read);
    expect([whole?.answers?.length, whole?.flag_tc]).toEqual([7, false]);
  });

  it('does not say that answers were left out when it must not', async () => {
    const { port } = await bed.serve(() => many(10), { enableTruncate: false, udpAnswerLimit: 1 });
    const answer = read(await udp(port, question('db.service.consul', 'SRV')));
    expect([answer.answers?.length, answer.flag_tc]).toEqual([1, false]);
  });

  it('answers several questions of one connection in order', async () => {
    const { port } = await bed.serve((name) => ({
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

  it('fails when an answer can not be written', async () => {
    const { port } = await bed.serve(() => ({
      rcode: 0,
      authoritative: true,
      answers: [{ ttl: 0, data: { type: 'CNAME', target: `${'x'.repeat(64)}.consul` } }],
    }));
    expect(read(await udp(port, question('a.consul', 'A')))).toMatchObject({ rcode: 'SERVFAIL', answers: [] });
  });

  it('refuses versions of EDNS that it does not speak', async () => {
    const { port } = await bed.serve(() => many(1));
    const [opt] = edns(1_232).additionals ?? [];
    const bytes = await udp(port, question('a.consul', 'A', { additionals: [{ ...opt, ednsVersion: 1 } as Answer] }));
    expect(read(bytes)).toMatchObject({ answers: [], additionals: [{ type: 'OPT', extendedRcode: 1 }] });
  });
});

describe('cookies', () => {
  const bed = new DnsBed();
  afterEach(() => bed.stop());
  const client = Buffer.from('0102030405060708', 'hex');
  const optionOf = (bytes: Buffer): Buffer | undefined => {
    const opt = read(bytes).additionals?.find((record): record is OptAnswer => record.type === 'OPT');
    const option = opt?.options.find(({ code }) => Number(code) === 10);
    return option?.data === undefined ? undefined : Buffer.from(option.data);
  };

  it('are given to who asks with one, over UDP and TCP, and to no other client', async () => {
    const { port } = await bed.serve(() => many(1));
    const given = optionOf(await udp(port, question('a.consul', 'A', edns(1_232, client))));
    expect([given?.length, given?.subarray(0, 8)]).toEqual([24, client]);
    const again = question('a.consul', 'A', edns(1_232, given));
    expect(optionOf(await udp(port, again))).toEqual(given);
    expect(optionOf((await tcp(port, again))[0] as Buffer)).toEqual(given);
    expect(optionOf(await udp(port, question('a.consul', 'A', edns(1_232))))).toBeUndefined();
  });

  it('of a wrong length are refused', async () => {
    const { port } = await bed.serve(() => many(1));
    for (const length of [1, 7, 9, 15, 41]) {
      const bytes = await udp(port, question('a.consul', 'A', edns(1_232, Buffer.alloc(length))));
      expect(read(bytes)).toMatchObject({ rcode: 'FORMERR', answers: [] });
    }
  });
});

describe('connections', () => {
  const bed = new DnsBed();
  const open: Socket[] = [];
  afterEach(async () => {
    for (const socket of open.splice(0)) socket.destroy();
    await bed.stop();
  });
  const silent = async (port: number, from: string): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from }).on('error', () => undefined);
    await once(socket, 'connect');
    open.push(socket);
    return socket;
  };

  it('that are silent make room for those that ask, of their own address and of others', async () => {
    const { port } = await bed.serve(() => many(1), { maxConnectionsPerClient: 4 });
    const first = await silent(port, '127.0.0.2');
    const closed = once(first, 'close');
    for (let number = 0; number < 20; number += 1) await silent(port, '127.0.0.2');
    await closed;
    expect(await tcp(port, question('a.consul', 'A'))).toHaveLength(1);
    const socket = await silent(port, '127.0.0.2');
    socket.write(Buffer.concat([Buffer.from([0, question('a.consul', 'A').length]), question('a.consul', 'A')]));
    await once(socket, 'data');
    expect(socket.destroyed).toBe(false);
  });

  it('on which answers are not read get no more of them', async () => {
    let answered = 0;
    const { port } = await bed.serve((name) => {
      if (name === 'db.service.consul') answered += 1;
      return many(1_000);
    });
    const socket = await silent(port, '127.0.0.2');
    socket.pause();
    const message = question('db.service.consul', 'SRV');
    const one = Buffer.concat([Buffer.from([0, message.length]), message]);
    socket.write(Buffer.concat(Array.from({ length: 1_000 }, () => one)));
    for (let before = -1; before !== answered || answered === 0; ) {
      before = answered;
      await tcp(port, question('a.consul', 'A')); // the others have their turn meanwhile
    }
    expect(answered).toBeLessThan(900);
  });
});

describe('malformed packets', () => {
  const bed = new DnsBed();
  let server: DnsServer & { readonly port: number };
  beforeAll(async () => {
    server = await bed.serve((name) => ({
      rcode: 3,
      authoritative: true,
      answers: [{ name, ttl: 0, data: { type: 'TXT', text: '' } }],
    }));
  });
  afterAll(() => bed.stop());

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
