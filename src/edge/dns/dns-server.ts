import { createSocket, type Socket as Datagrams, type RemoteInfo } from 'node:dgram';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import type { Clock, Timer } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { Failure, watchListening } from '../../lib/failure.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { answerLimit, type ReplyLimits, type ReplyOptions, type Request, readRequest, writeReply } from './packet.ts';
import type { Recursors } from './recursors.ts';
import { type Question, RCODE, type Reply } from './types.ts';

export interface DnsServerDeps {
  /** At once where everything is known. Undefined for a question about what is not ours. */
  readonly resolve: (question: Question, signal: AbortSignal) => Reply | Promise<Reply | undefined>;
  readonly recursors: () => Recursors;
  readonly limits: () => ReplyLimits;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface DnsServerOptions {
  /** Each is bound for UDP and TCP; port 0 gives both the same free port. */
  readonly listeners: readonly { readonly host: string; readonly port: number }[];
}

export interface DnsServer extends Service {
  onFailure: Failure['onFailure'];
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
}

type Transport = 'udp' | 'tcp';

/** Questions being answered at a time; more are dropped: their askers ask again. */
const MAX_PENDING = 4_096;
const MAX_CONNECTIONS = 1_024;
/** A connection without a question for this long is closed, milliseconds. */
const IDLE_MS = 10_000;
const SERVER_FAILURE: Reply = { rcode: RCODE.serverFailure, authoritative: false, answers: [] };
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
  readonly #datagrams = new Set<Datagrams>();
  readonly #servers: Server[] = [];
  readonly #connections = new Set<Socket>();
  readonly #questions;
  #pending = 0;
  readonly #ending = new Failure();
  readonly onFailure = this.#ending.onFailure;
  #stopping = false;

  constructor(deps: DnsServerDeps, options: DnsServerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (task, error) => deps.log.warn('answering failed', { task, error: error.message }),
    });
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
    this.#stopping = true;
    const closed = [
      ...[...this.#datagrams].map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
      ...this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    ];
    for (const connection of this.#connections) connection.destroy();
    await this.#tasks.stop();
    await Promise.all(closed);
  }

  async #bind(host: string, port: number): Promise<number> {
    for (let attempt = 1; ; attempt += 1) {
      const server = createServer((socket) => this.#accept(socket));
      const datagrams = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', lookup });
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
    const watch = (protocol: string, socket: Server | Datagrams): void =>
      watchListening(socket, {
        what: `ports.dns (${protocol})`,
        failure: this.#ending,
        onPassing: (error) => log.warn('a question was not taken', { protocol, error: error.message }),
        closing: () => this.#stopping,
      });
    watch('TCP', server);
    watch('UDP', datagrams);
    datagrams.on('message', (message, from) => this.#datagram(datagrams, message, from));
    this.#servers.push(server);
    this.#datagrams.add(datagrams);
    datagrams.once('close', () => this.#datagrams.delete(datagrams)); // one that is closed can't be closed again
  }

  #datagram(socket: Datagrams, message: Buffer, from: RemoteInfo): void {
    const answer = this.#answer(message, 'udp', from.address);
    // Whoever is not there any more does not matter to the others.
    const send = (bytes: Buffer): void => socket.send(bytes, from.port, from.address, () => undefined);
    if (Buffer.isBuffer(answer)) send(answer);
    else if (answer !== undefined)
      this.#tasks.run('datagram', async (signal) => {
        const bytes = await answer;
        if (!signal.aborted) send(bytes);
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
      this.#tasks.run('connection', async () => {
        answering = answering.then(() => this.#converse(socket, messages));
        await answering;
        if (!socket.destroyed) socket.resume();
      });
    });
  }

  async #converse(socket: Socket, messages: readonly Buffer[]): Promise<void> {
    for (const message of messages) {
      const answer = await this.#answer(message, 'tcp', socket.remoteAddress ?? '');
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

  /** At once where everything is known; undefined when there is nothing to say. */
  #answer(message: Buffer, transport: Transport, source: string): Buffer | Promise<Buffer> | undefined {
    if (this.#pending >= MAX_PENDING) {
      this.#count(transport, 'dropped');
      return undefined;
    }
    const request = readRequest(message);
    if (request === undefined || Buffer.isBuffer(request)) {
      this.#count(transport, 'malformed');
      return request;
    }
    const options: ReplyOptions = {
      ...this.#deps.limits(),
      transport,
      recursionAvailable: this.#deps.recursors().any,
    };
    const { name, type } = request;
    try {
      const limit = answerLimit(request, options);
      const reply = this.#deps.resolve(
        { name, type, limit, source: source.replace(/^::ffff:/, '') },
        this.#tasks.signal,
      );
      if (reply instanceof Promise) return this.#later(reply, request, message, options);
      const bytes = writeReply(request, reply, options);
      this.#count(transport, 'ours');
      return bytes;
    } catch (error) {
      return this.#failure(error, request, options);
    }
  }

  async #later(
    reply: Promise<Reply | undefined>,
    request: Request,
    message: Buffer,
    options: ReplyOptions,
  ): Promise<Buffer> {
    const recursors = this.#deps.recursors();
    const { transport } = options;
    this.#pending += 1;
    try {
      const own = await reply;
      if (own !== undefined) {
        this.#count(transport, 'ours');
        return writeReply(request, own, options);
      }
      if (!recursors.any) {
        this.#count(transport, 'refused');
        return writeReply(request, { rcode: RCODE.refused, authoritative: false, answers: [] }, options);
      }
      this.#count(transport, 'recursed');
      const answer = await recursors.ask(message, transport, this.#tasks.signal);
      return answer ?? writeReply(request, SERVER_FAILURE, options);
    } catch (error) {
      return this.#failure(error, request, options);
    } finally {
      this.#pending -= 1;
    }
  }

  #failure(error: unknown, request: Request, options: ReplyOptions): Buffer {
    const { name, type } = request;
    if (!this.#tasks.signal.aborted)
      this.#deps.log.warn('a question could not be answered', {
        name,
        type,
        error: IsthmusError.from(error).message,
      });
    return writeReply(request, SERVER_FAILURE, options);
  }

  #count(transport: Transport, outcome: string): void {
    this.#questions.add(1, { transport, outcome });
  }
}

/** Of addresses, which need none: Node's own one comes later, after each answer. */
function lookup(
  address: string,
  _options: unknown,
  callback: (error: NodeJS.ErrnoException | null, address: string, family: number) => void,
): void {
  callback(null, address, isIPv6(address) ? 6 : 4);
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
