import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { DecodedPacket, OptAnswer } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { edns, question, read } from '../fakes/dns.ts';
import { type AgentProcess, assertNoneLeft, callAgent, portOf, startAgent, waitFor } from '../harness/index.ts';

const INSTANCES = 400;
const RATE_LIMIT = 100;
const QUESTIONS = 1_000;
const SILENT = 1_100;
const OTHERS = 100;
/** Questions on their way at a time: more would overflow the kernel's buffers, not the agent. */
const OUTSTANDING = 50;

/** An address of this machine that datagrams from elsewhere could have, unlike 127.0.0.1. */
const OUTSIDE = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.family === 'IPv4' && !address.internal)?.address;

/** Asks over UDP from one address; answers find their questions by their IDs. */
class UdpClient {
  readonly #socket: Datagrams = createSocket('udp4');
  readonly #waiting = new Map<number, (bytes: Buffer) => void>();
  #id = 0;

  async open(address: string, port: number): Promise<this> {
    this.#socket.on('message', (bytes) => this.#waiting.get(bytes.readUInt16BE(0))?.(bytes));
    this.#socket.bind(0, address);
    await once(this.#socket, 'listening');
    this.#socket.connect(port, address);
    await once(this.#socket, 'connect');
    return this;
  }

  ask(message: Buffer): Promise<Buffer> {
    const bytes = Buffer.from(message);
    this.#id = (this.#id + 1) & 0xffff;
    bytes.writeUInt16BE(this.#id, 0);
    return new Promise((resolve) => {
      this.#waiting.set(this.#id, resolve);
      this.#socket.send(bytes);
    });
  }

  /** The answers to a question that is asked so many times. */
  async askOften(message: Buffer, times: number): Promise<readonly Buffer[]> {
    const answers: Buffer[] = [];
    const worker = async (): Promise<void> => {
      while (answers.length < times) answers.push(await this.ask(message));
    };
    await Promise.all(Array.from({ length: OUTSTANDING }, worker));
    return answers;
  }

  close(): void {
    this.#socket.close();
  }
}

/** What anyone who reaches the DNS port can do to the agent, and to those whose address is forged. */
describe('DNS under attack', () => {
  let agent: AgentProcess;
  let port: number;
  beforeAll(async () => {
    agent = await startAgent({
      name: 'n1',
      datacenter: 'dc1',
      config: { addresses: { dns: '0.0.0.0' }, dns_config: { rate_limit: RATE_LIMIT } },
    });
    port = portOf(agent.ready.dns ?? '');
    let registered = 0;
    const register = async (): Promise<void> => {
      while (registered < INSTANCES) {
        registered += 1;
        await callAgent(agent, 'PUT', '/v1/catalog/register', {
          Node: `n${registered}`,
          Address: `10.0.${registered >> 8}.${registered & 255}`,
          Service: { ID: `db-${registered}`, Service: 'db', Port: registered },
        });
      }
    };
    await Promise.all(Array.from({ length: 16 }, register));
    const client = await new UdpClient().open('127.0.0.1', port);
    await waitFor(async () => rcodeOf(await client.ask(question('db.service.consul', 'SRV'))) === 'NOERROR', {
      what: 'the service in DNS',
    });
    client.close();
  });
  afterAll(async () => {
    await agent?.stop();
    await assertNoneLeft();
  });

  it('answers no more than 1,232 bytes over UDP, and all of it over TCP', async () => {
    const client = await new UdpClient().open('127.0.0.1', port);
    const bytes = await client.ask(question('db.service.consul', 'SRV', edns(65_535)));
    client.close();
    expect(bytes.length).toBeLessThanOrEqual(1_232);
    expect(read(bytes).flag_tc).toBe(true);
  });

  it.skipIf(OUTSIDE === undefined)(
    'gives a network no more than its limit, sends all that is above it to TCP, and lets cookies through',
    async () => {
      const client = await new UdpClient().open(OUTSIDE as string, port);
      const message = question('db.service.consul', 'A', edns(4_096));
      const began = Date.now();
      const answers = (await client.askOften(message, QUESTIONS)).map((bytes) => ({ bytes, read: read(bytes) }));
      const windows = Math.floor((Date.now() - began) / 1_000) + 2;
      const full = answers.filter(({ read: { answers: found } }) => (found?.length ?? 0) > 0);
      expect(full.length).toBeLessThanOrEqual(windows * RATE_LIMIT);
      for (const { bytes, read: answer } of answers) {
        if ((answer.answers?.length ?? 0) > 0) continue;
        expect([answer.flag_tc, bytes.length <= message.length]).toEqual([true, true]);
      }
      const clientCookie = Buffer.from('0102030405060708', 'hex');
      const given = read(await client.ask(question('db.service.consul', 'A', edns(4_096, clientCookie))));
      const opt = given.additionals?.find((record): record is OptAnswer => record.type === 'OPT');
      const cookie = Buffer.from(opt?.options[0]?.data ?? '');
      expect(cookie).toHaveLength(24);
      const proved = question('db.service.consul', 'A', edns(4_096, cookie));
      const cookied = await client.askOften(proved, QUESTIONS);
      expect(cookied.every((bytes) => (read(bytes).answers?.length ?? 0) > 0)).toBe(true);
      client.close();
    },
  );

  it.each(['web%20', 'web%00', '*', '..', 'a/../b', 'web\u0000', 'we\u001bb', 'web\n', 'web\u202e', ' web', '"web"'])(
    'has no service, node or tag %j',
    async (label) => {
      const client = await new UdpClient().open('127.0.0.1', port);
      const names = ['LABEL.service.consul', 'LABEL.db.service.consul', 'LABEL.node.consul', 'db.service.LABEL.consul'];
      for (const name of names)
        expect([name, rcodeOf(await client.ask(wire(name, label)))]).toEqual([name, 'NXDOMAIN']);
      client.close();
    },
  );

  it('serves the connections of others while one address floods it with silent ones', async () => {
    const flood = new Set<Socket>();
    let flooding = true;
    let connected = 0;
    const open = (): void => {
      const socket = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.1' });
      flood.add(socket);
      socket.on('connect', () => {
        connected += 1;
      });
      socket.on('error', () => undefined);
      socket.on('close', () => {
        flood.delete(socket);
        if (flooding) setImmediate(open); // again at once
      });
    };
    for (let number = 0; number < SILENT; number += 1) open();
    await waitFor(async () => connected >= SILENT, { what: 'the flood' });
    const served = await Promise.all(
      Array.from({ length: OTHERS }, (_, at) => askOverTcp(port, `127.0.${1 + (at >> 6)}.${2 + (at & 63)}`)),
    );
    flooding = false;
    const ended = [...flood].filter(({ closed }) => !closed).map((socket) => once(socket, 'close'));
    for (const socket of flood) socket.destroy();
    await Promise.all(ended);
    expect(served.filter(Boolean).length).toBeGreaterThanOrEqual(OTHERS * 0.95);
  });
});

const rcodeOf = (bytes: Buffer): string => (read(bytes) as DecodedPacket & { readonly rcode: string }).rcode;

/** A question for a name with this label in place of LABEL, whatever it holds. */
function wire(name: string, label: string): Buffer {
  const bytes = question(name, 'A');
  const at = bytes.indexOf('LABEL') - 1;
  const text = Buffer.from(label);
  return Buffer.concat([bytes.subarray(0, at), Buffer.from([text.length]), text, bytes.subarray(at + 'xLABEL'.length)]);
}

/** Whether an address that asks over TCP gets its answer. */
function askOverTcp(port: number, localAddress: string): Promise<boolean> {
  const message = question('db.service.consul', 'A');
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  return new Promise((resolve) => {
    socket.on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
    socket.once('data', () => {
      resolve(true);
      socket.destroy();
    });
    socket.write(Buffer.concat([Buffer.from([0, message.length]), message]));
  });
}
