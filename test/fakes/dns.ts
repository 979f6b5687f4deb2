import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import packet, { type DecodedPacket, type OptAnswer, type Packet } from 'dns-packet';
import { createDnsServer, type DnsLimits, type DnsServer } from '../../src/edge/dns/dns-server.ts';
import { Recursors } from '../../src/edge/dns/recursors.ts';
import type { Reply } from '../../src/edge/dns/types.ts';
import { type Clock, systemClock } from '../../src/lib/clock.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';

const LIMITS: DnsLimits = {
  udpAnswerLimit: 3,
  udpMaxSize: 1_232,
  rateLimit: 1_000,
  enableTruncate: true,
  compress: true,
};

export interface DnsBedOptions extends Partial<DnsLimits> {
  readonly maxConnectionsPerClient?: number;
  readonly host?: string;
  readonly recursors?: readonly string[];
  readonly clock?: Clock;
}

/** Starts DNS servers that answer what they are told to, on free ports. */
export class DnsBed {
  readonly #running: DnsServer[] = [];

  async serve(
    resolve: (name: string) => Reply | undefined,
    {
      recursors = [],
      clock = systemClock,
      maxConnectionsPerClient = 128,
      host = '127.0.0.1',
      ...limits
    }: DnsBedOptions = {},
  ): Promise<DnsServer & { readonly port: number }> {
    const asked = new Recursors(clock, { addresses: recursors, timeoutMs: 200 });
    const server = createDnsServer(
      {
        resolve: async ({ name }) => resolve(name),
        recursors: () => asked,
        limits: () => ({ ...LIMITS, ...limits }),
        clock: systemClock,
        log: noLog,
        metrics: noMetrics,
      },
      { listeners: [{ host, port: 0 }], maxConnectionsPerClient },
    );
    await server.start(new AbortController().signal);
    this.#running.push(server);
    return Object.assign(server, { port: server.addresses[0]?.port ?? 0 });
  }

  async stop(): Promise<void> {
    for (const server of this.#running.splice(0)) await server.stop();
  }
}

export function udp(port: number, message: Buffer): Promise<Buffer> {
  const socket = createSocket('udp4');
  return new Promise<Buffer>((resolve, reject) => {
    socket.once('message', resolve);
    socket.once('error', reject);
    socket.send(message, port, '127.0.0.1');
  }).finally(() => socket.close());
}

export function tcp(port: number, ...messages: readonly Buffer[]): Promise<readonly Buffer[]> {
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

export function question(name: string, type: string, more: Packet = {}): Buffer {
  return packet.encode({
    type: 'query',
    id: 4_711,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: type as 'A' }],
    ...more,
  });
}

export function edns(udpPayloadSize: number, cookie?: Buffer): Packet {
  const options = cookie === undefined ? [] : [{ code: 10, data: cookie }];
  const opt = { type: 'OPT', name: '.', udpPayloadSize, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false };
  return { additionals: [{ ...opt, options } as OptAnswer] };
}

export const read = (bytes: Buffer): DecodedPacket => packet.decode(bytes);
