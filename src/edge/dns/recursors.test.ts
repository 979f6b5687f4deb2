import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
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
