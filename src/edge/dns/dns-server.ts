import { createSocket, type Socket as Datagrams, type RemoteInfo } from 'node:dgram';
import { setMaxListeners } from 'node:events';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import type { Clock, Timer } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { failure, type ReplyOptions, readAddresses, readRequest, writeQuestion, writeReply } from './packet.ts';
import type { Recursors } from './recursors.ts';
import { type Question, RCODE, type Reply } from './types.ts';

export interface DnsServerDeps {
  /** Undefined for a question about what is not ours. */
  readonly resolve: (question: Question, signal: AbortSignal) => Promise<Reply | undefined>;
  readonly recursors: Recursors;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface DnsServerOptions {
  /** Each is bound for UDP and TCP; port 0 gives both the same free port. */
  readonly listeners: readonly { readonly host: string; readonly port: number }[];
  readonly udpAnswerLimit: number;
  readonly enableTruncate: boolean;
  readonly compress: boolean;
}

export interface DnsServer extends Service {
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
}

type Transport = 'udp' | 'tcp';

/** Questions being answered at a time; more are dropped: their askers ask again. */
const MAX_PENDING = 4_096;
const MAX_CONNECTIONS = 1_024;
/** A connection without a question for this long is closed, milliseconds. */
const IDLE_MS = 10_000;
/** Tries to find a port that is free for both UDP and TCP. */
const BIND_ATTEMPTS = 10;

/** Answers DNS questions over UDP and TCP. Whatever a packet holds, it is answered or dropped. */
export function createDnsServer(deps: DnsServerDeps, options: DnsServerOptions): DnsServer {
  return new DnsService(deps, options);
}

class DnsService implements DnsServer {
  readonly name = 'DNS';
  readonly addresses: { readonly host: string; readonly port: number }[] = [];
  readonly #deps: DnsServerDeps;
  readonly #options: DnsServerOptions;
  readonly #tasks;
  readonly #datagrams: Datagrams[] = [];
  readonly #servers: Server[] = [];
  readonly #connections = new Set<Socket>();
  readonly #questions;
  #pending = 0;

  constructor(deps: DnsServerDeps, options: DnsServerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (task, error) => deps.log.warn('answering failed', { task, error: error.message }),
    });
    setMaxListeners(0, this.#tasks.signal); // all questions share it
    this.#questions = deps.metrics.counter({
      name: 'isthmus_dns_questions_total',
      help: 'Questions by transport and what became of them: ours, recursed, refused, malformed, dropped',
      labels: ['transport', 'outcome'],
    });
  }

  async start(): Promise<void> {
    for (const { host, port } of this.#options.listeners) {
      const bound = await this.#bind(host, port);
      this.addresses.push({ host, port: bound });
    }
  }

  async stop(): Promise<void> {
    const closed = [
      ...this.#datagrams.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
      ...this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    ];
    for (const connection of this.#connections) connection.destroy();
    await this.#tasks.stop();
    await Promise.all(closed);
  }

  async #bind(host: string, port: number): Promise<number> {
    for (let attempt = 1; ; attempt += 1) {
      const server = createServer((socket) => this.#accept(socket));
      const datagrams = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', reuseAddr: false });
      try {
        const bound = await listenTcp(server, host, port);
        await listenUdp(datagrams, host, bound);
        this.#serve(server, datagrams);
        return bound;
      } catch (cause) {
        server.close();
        datagrams.close();
        if (port === 0 && attempt < BIND_ATTEMPTS) continue;
        throw new IsthmusError('unavailable', `cannot listen on ${host}:${port}: ${String(cause)}`, { cause });
      }
    }
  }

  #serve(server: Server, datagrams: Datagrams): void {
    const { log } = this.#deps;
    server.on('error', (error) => log.error('listener failed', { error: error.message }));
    datagrams.on('error', (error) => log.error('listener failed', { error: error.message }));
    datagrams.on('message', (message, from) => this.#datagram(datagrams, message, from));
    this.#servers.push(server);
    this.#datagrams.push(datagrams);
  }

  #datagram(socket: Datagrams, message: Buffer, from: RemoteInfo): void {
    if (this.#pending >= MAX_PENDING) {
      this.#questions.add(1, { transport: 'udp', outcome: 'dropped' });
      return;
    }
    this.#tasks.run('datagram', async (signal) => {
      const answer = await this.#answer(message, 'udp', signal);
      if (answer === undefined || signal.aborted) return;
      // Whoever is not there any more does not matter to the others.
      socket.send(answer, from.port, from.address, () => undefined);
    });
  }

  #accept(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    if (this.#connections.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#connections.add(socket);
    let idle: Timer = this.#deps.clock.after(IDLE_MS, () => socket.destroy());
    socket.once('close', () => {
      idle.cancel();
      this.#connections.delete(socket);
    });
    let received: Buffer = Buffer.alloc(0);
    let answering = Promise.resolve();
    socket.on('data', (chunk: Buffer) => {
      idle.cancel();
      idle = this.#deps.clock.after(IDLE_MS, () => socket.destroy());
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const messages: Buffer[] = [];
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0);
        messages.push(received.subarray(2, end));
        received = received.subarray(end);
      }
      if (messages.length === 0) return;
      socket.pause(); // one after the other: what is asked meanwhile waits in the kernel
      this.#tasks.run('connection', async (signal) => {
        answering = answering.then(() => this.#converse(socket, messages, signal));
        await answering;
        if (!socket.destroyed) socket.resume();
      });
    });
  }

  async #converse(socket: Socket, messages: readonly Buffer[], signal: AbortSignal): Promise<void> {
    for (const message of messages) {
      const answer = await this.#answer(message, 'tcp', signal);
      if (socket.destroyed) return;
      if (answer === undefined) {
        socket.destroy();
        return;
      }
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.write(Buffer.concat([length, answer]));
    }
  }

  /** Follows a name outside of our domains, which an external service has in place of an address. */
  async #completed({ type }: Question, reply: Reply, signal: AbortSignal): Promise<Reply> {
    const { recursors } = this.#deps;
    const [first, ...more] = reply.answers;
    if (first?.data.type !== 'CNAME' || more.length > 0 || type === 'CNAME' || !recursors.any) return reply;
    const answer = await recursors.ask(writeQuestion(first.data.target, type), 'udp', signal);
    return answer === undefined ? reply : { ...reply, answers: [first, ...readAddresses(answer)] };
  }

  async #answer(message: Buffer, transport: Transport, signal: AbortSignal): Promise<Buffer | undefined> {
    const count = (outcome: string): void => this.#questions.add(1, { transport, outcome });
    const request = readRequest(message);
    if (request === undefined || Buffer.isBuffer(request)) {
      count('malformed');
      return request;
    }
    const { recursors, log, resolve } = this.#deps;
    const options: ReplyOptions = { ...this.#options, transport, recursionAvailable: recursors.any };
    this.#pending += 1;
    try {
      const reply = await resolve(request.question, signal);
      if (reply !== undefined) {
        count('ours');
        return writeReply(request, await this.#completed(request.question, reply, signal), options);
      }
      if (!recursors.any) {
        count('refused');
        return writeReply(request, { rcode: RCODE.refused, authoritative: false, answers: [] }, options);
      }
      count('recursed');
      return (await recursors.ask(message, transport, signal)) ?? failure(message, RCODE.serverFailure);
    } catch (error) {
      if (!signal.aborted)
        log.warn('a question could not be answered', {
          name: request.question.name,
          type: request.question.type,
          error: IsthmusError.from(error).message,
        });
      return failure(message, RCODE.serverFailure);
    } finally {
      this.#pending -= 1;
    }
  }
}

function listenTcp(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function listenUdp(socket: Datagrams, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, host, () => {
      socket.off('error', reject);
      resolve();
    });
  });
}
