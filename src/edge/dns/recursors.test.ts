import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import packet from 'dns-packet';
import { afterEach, describe, expect, it } from 'vitest';
import { DnsBed, edns, question, read, tcp, udp } from '../../../test/fakes/dns.ts';
import { systemClock } from '../../lib/clock.ts';
import { Recursors } from './recursors.ts';
import { RCODE, type Reply } from './types.ts';

const FOUND: Reply = {
  rcode: RCODE.noError,
  authoritative: false,
  answers: [{ ttl: 60, data: { type: 'A', address: '192.0.2.1' } }],
};
const at = (port: number): string => `127.0.0.1:${port}`;

describe('recursors', () => {
  const bed = new DnsBed();
  const sockets: Socket[] = [];
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.close();
    await bed.stop();
  });

  /** Answers questions as `answer` says, and counts them. */
  async function peculiar(answer: (message: Buffer) => readonly Buffer[]): Promise<{ port: number; asked: number }> {
    const socket = createSocket('udp4');
    const found = { port: 0, asked: 0 };
    socket.on('message', (message, from) => {
      found.asked += 1;
      for (const bytes of answer(message)) socket.send(bytes, from.port, from.address);
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    sockets.push(socket);
    return Object.assign(found, { port: socket.address().port });
  }

  it('are asked in turn, over the transport of the question', async () => {
    const far = await bed.serve(() => FOUND);
    const refusing = await bed.serve(() => undefined);
    const silent = await peculiar(() => []);
    const near = await bed.serve(() => undefined, {
      recursors: [at(silent.port), at(refusing.port), at(far.port)],
    });
    const [overTcp] = await tcp(near.port, question('example.com', 'A'));
    for (const bytes of [await udp(near.port, question('example.com', 'A')), overTcp as Buffer])
      expect(read(bytes)).toMatchObject({ id: 4_711, rcode: 'NOERROR', answers: [{ data: '192.0.2.1' }] });
  });

  it('get no cookie of the asker, who gets the own one with the answer', async () => {
    const optionsOf = (bytes: Buffer) =>
      (read(bytes).additionals ?? []).flatMap((record) =>
        record.type === 'OPT' ? record.options.map(({ code, data }) => [Number(code), Buffer.from(data ?? '')]) : [],
      );
    const asked: Buffer[] = [];
    const far = await peculiar((message) => {
      asked.push(message);
      // It answers with a cookie of its own, as if it had been asked with one, and with another option.
      const cookie = { code: 10, data: Buffer.alloc(24, 7) };
      const answer = packet.encode({
        ...(packet.decode(message) as packet.Packet),
        type: 'response',
        answers: [{ type: 'A', name: 'example.com', ttl: 60, data: '192.0.2.1' }],
        additionals: [{ ...edns(1_232).additionals?.[0], options: [cookie, { code: 3, data: Buffer.from('x') }] }],
      } as packet.Packet);
      return [answer];
    });
    const near = await bed.serve(() => undefined, { recursors: [at(far.port)] });
    const client = Buffer.from('0102030405060708', 'hex');
    const given = await udp(near.port, question('example.com', 'A', edns(1_232, client)));
    expect(read(given)).toMatchObject({ rcode: 'NOERROR', answers: [{ data: '192.0.2.1' }] });
    const cookie = optionsOf(given).find(([code]) => code === 10)?.[1] as Buffer;
    expect([cookie.length, cookie.subarray(0, 8)]).toEqual([24, client]);
    expect(optionsOf(given).map(([code]) => code)).toEqual([3, 10]);
    expect(asked.map((message) => optionsOf(message))).toEqual([[]]);
    expect(read(asked[0] as Buffer).additionals).toMatchObject([{ type: 'OPT', udpPayloadSize: 1_232 }]);
    await udp(near.port, question('example.com', 'A', edns(1_232)));
    expect(optionsOf(await udp(near.port, question('example.com', 'A', edns(1_232)))).map(([code]) => code)).toEqual([
      3,
    ]);
  });

  it('that were silent come last for a while', async () => {
    const far = await bed.serve(() => FOUND);
    const silent = await peculiar(() => []);
    const near = await bed.serve(() => undefined, { recursors: [at(silent.port), at(far.port)] });
    for (let times = 0; times < 5; times += 1) await udp(near.port, question('example.com', 'A'));
    expect(silent.asked).toBe(1);
  });

  it('leave a failure with the question in it when none of them knows', async () => {
    const refusing = await bed.serve(() => undefined);
    const near = await bed.serve(() => undefined, { recursors: [at(refusing.port)] });
    expect(read(await udp(near.port, question('example.com', 'A')))).toMatchObject({
      rcode: 'SERVFAIL',
      flag_ra: true,
      questions: [{ name: 'example.com', type: 'A' }],
    });
  });

  it('do not make an answer longer than ours may be', async () => {
    const long = (name: string): Reply => ({
      ...FOUND,
      answers: Array.from({ length: 200 }, (_, at) => ({
        name,
        ttl: 60,
        data: { type: 'A', address: `192.0.2.${at}` },
      })),
    });
    const far = await bed.serve(long, { udpMaxSize: 65_000 });
    const near = await bed.serve(() => undefined, { recursors: [at(far.port)] });
    const asked = question('example.com', 'A', edns(65_000));
    const cut = await udp(near.port, asked);
    expect([cut.length < 100, read(cut).flag_tc, read(cut).answers?.length]).toEqual([true, true, 0]);
    expect(read((await tcp(near.port, asked))[0] as Buffer).answers).toHaveLength(200);
  });

  it('are believed only when they answer what was asked', async () => {
    const forging = await peculiar((message) => {
      const otherId = Buffer.from(message);
      otherId.writeUInt16BE(1, 0);
      const otherName = Buffer.from(message);
      otherName[13] = 0x78;
      const answers = [otherId, otherName, Buffer.from(message.subarray(0, 12)), Buffer.from(message)];
      for (const bytes of answers) bytes.writeUInt16BE(0x8180, 2);
      answers[2]?.writeUInt16BE(0, 4);
      return answers;
    });
    const recursors = new Recursors(systemClock, { addresses: [at(forging.port)], timeoutMs: 2_000 });
    const asked = question('example.com', 'A');
    const answer = await recursors.ask(asked, 'udp', new AbortController().signal);
    expect(answer?.subarray(12)).toEqual(asked.subarray(12));
  });

  it('end with the server', async () => {
    const silent = await peculiar(() => []);
    const recursors = new Recursors(systemClock, { addresses: [at(silent.port)], timeoutMs: 60_000 });
    const stopping = new AbortController();
    const answer = recursors.ask(question('example.com', 'A'), 'udp', stopping.signal);
    stopping.abort();
    expect(await answer).toBeUndefined();
  });
});
