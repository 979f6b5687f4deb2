import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { parseAddress } from '../../lib/address.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { isTruncated, questionOf } from './packet.ts';
import { RCODE } from './types.ts';

export interface RecursorsOptions {
  /** host, host:port or [v6]:port. */
  readonly addresses: readonly string[];
  readonly timeoutMs: number;
  /** Any of them first, instead of the first. A number in [0, 1). */
  readonly random?: () => number;
}

interface Server {
  readonly host: string;
  readonly port: number;
}

const DNS_PORT = 53;
const HEADER = 12;
const FLAG_RESPONSE = 0x8000;
/** How long a server that did not answer is asked after the others, milliseconds. */
const SILENT_MS = 10_000;

/** Other DNS servers, asked in turn about what is not ours. */
export class Recursors {
  readonly #clock: Clock;
  readonly #servers: readonly Server[];
  readonly #timeoutMs: number;
  readonly #random: (() => number) | undefined;
  /** Those that did not answer, and until when the others go before them, milliseconds of the clock. */
  readonly #silent = new Map<Server, number>();

  constructor(clock: Clock, options: RecursorsOptions) {
    this.#clock = clock;
    this.#servers = options.addresses.map(parseServer);
    this.#timeoutMs = options.timeoutMs;
    this.#random = options.random;
  }

  get any(): boolean {
    return this.#servers.length > 0;
  }

  /** The first answer of one that knows, be it that there is no such name; undefined when none does. */
  async ask(request: Buffer, transport: 'udp' | 'tcp', signal: AbortSignal): Promise<Buffer | undefined> {
    for (const server of this.#inTurn()) {
      if (signal.aborted) return undefined;
      try {
        const ask = transport === 'udp' ? this.#udp(server, request, signal) : this.#tcp(server, request, signal);
        const answer = await ask;
        this.#silent.delete(server);
        const rcode = answer.readUInt16BE(2) & 0xf;
        if (rcode === RCODE.noError || rcode === RCODE.nxDomain) return answer;
      } catch {
        this.#silent.set(server, this.#clock.steady() + SILENT_MS); // the next one is asked
      }
    }
    return undefined;
  }

  /** As {@link ask} over UDP, then over TCP when the answer was not whole. Truncated still when TCP brought none. */
  async askWhole(request: Buffer, signal: AbortSignal): Promise<Buffer | undefined> {
    const answer = await this.ask(request, 'udp', signal);
    if (answer === undefined || !isTruncated(answer)) return answer;
    return (await this.ask(request, 'tcp', signal)) ?? answer;
  }

  /** As configured, but for those that were silent lately: each of them would cost every question its time-out. */
  #inTurn(): readonly Server[] {
    const now = this.#clock.steady();
    const first = Math.floor((this.#random?.() ?? 0) * this.#servers.length);
    const servers = [...this.#servers.slice(first), ...this.#servers.slice(0, first)];
    const silent = (server: Server): boolean => (this.#silent.get(server) ?? 0) > now;
    return [...servers.filter((server) => !silent(server)), ...servers.filter(silent)];
  }

  #udp({ host, port }: Server, request: Buffer, signal: AbortSignal): Promise<Buffer> {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    return this.#within(signal, (resolve, reject) => {
      socket.on('error', reject);
      socket.on('message', (message) => {
        if (isAnswerTo(message, request)) resolve(message);
      });
      // A connected socket takes datagrams of this server only.
      socket.connect(port, host, () => socket.send(request));
      return () => socket.close();
    });
  }

  #tcp({ host, port }: Server, request: Buffer, signal: AbortSignal): Promise<Buffer> {
    const socket = connect(port, host);
    return this.#within(signal, (resolve, reject) => {
      let received = Buffer.alloc(0);
      socket.on('error', reject);
      socket.on('close', () => reject(new IsthmusError('unavailable', 'the recursor hung up')));
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
        const message = received.subarray(2, 2 + received.readUInt16BE(0));
        if (isAnswerTo(message, request)) resolve(message);
        else reject(new IsthmusError('unavailable', 'the recursor answered something else'));
      });
      const length = Buffer.alloc(2);
      length.writeUInt16BE(request.length);
      socket.write(Buffer.concat([length, request]));
      return () => socket.destroy();
    });
  }

  #within(
    signal: AbortSignal,
    begin: (resolve: (answer: Buffer) => void, reject: (error: Error) => void) => () => void,
  ): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let done = false;
      const finish = (act: () => void): void => {
        if (done) return;
        done = true;
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        end();
        act();
      };
      const onAbort = (): void => finish(() => reject(new IsthmusError('cancelled', 'stopping')));
      const timer = this.#clock.after(this.#timeoutMs, () =>
        finish(() => reject(new IsthmusError('deadline', 'the recursor did not answer in time'))),
      );
      signal.addEventListener('abort', onAbort, { once: true });
      const end = begin(
        (answer) => finish(() => resolve(answer)),
        (error) => finish(() => reject(error)),
      );
    });
  }
}

/** The same ID, an answer, and the same question; servers that fail may leave the question out. */
function isAnswerTo(message: Buffer, request: Buffer): boolean {
  if (message.length < HEADER || message.readUInt16BE(0) !== request.readUInt16BE(0)) return false;
  if ((message.readUInt16BE(2) & FLAG_RESPONSE) === 0) return false;
  if (message.readUInt16BE(4) === 0) return (message.readUInt16BE(2) & 0xf) !== RCODE.noError;
  const question = questionOf(request);
  return question !== undefined && message.subarray(HEADER, HEADER + question.length).equals(question);
}

/** Throws `invalid_argument` for what is no address. */
function parseServer(text: string): Server {
  const address = parseAddress(text, DNS_PORT);
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}
