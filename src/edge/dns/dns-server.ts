import { createSocket, type Socket as Datagrams, type RemoteInfo } from 'node:dgram';
import { createServer, isIPv6, type Server } from 'node:net';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { Failure, watchListening } from '../../lib/failure.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { Cookies } from './cookies.ts';
import {
  answerLimit,
  type ReplyLimits,
  type ReplyOptions,
  type Request,
  readRequest,
  replySize,
  withCookie,
  writeReply,
} from './packet.ts';
import type { Recursors } from './recursors.ts';
import { ResponseRate } from './response-rate.ts';
import { TcpQuestions } from './tcp-questions.ts';
import { type Question, RCODE, type Reply } from './types.ts';

export interface DnsLimits extends ReplyLimits {
  /** UDP answers to a source network within a second; 0 is without limit. */
  readonly rateLimit: number;
}

export interface DnsServerDeps {
  /** At once where everything is known. Undefined for a question about what is not ours. */
  readonly resolve: (question: Question, signal: AbortSignal) => Reply | Promise<Reply | undefined>;
  readonly recursors: () => Recursors;
  readonly limits: () => DnsLimits;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface DnsServerOptions {
  /** Each is bound for UDP and TCP; port 0 gives both the same free port. */
  readonly listeners: readonly { readonly host: string; readonly port: number }[];
  /** TCP connections of one address; 0 is without limit. */
  readonly maxConnectionsPerClient: number;
}

export interface DnsServer extends Service {
  onFailure: Failure['onFailure'];
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
}

type Transport = 'udp' | 'tcp';

/** Questions being answered at a time; more are dropped: their askers ask again. */
const MAX_PENDING = 4_096;
/** Nothing, and that it is to be asked for over TCP, where no one can forge an address. */
const TRUNCATED: Reply = { rcode: RCODE.noError, authoritative: false, answers: [], more: true, truncatable: true };
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
  readonly #cookies: Cookies;
  readonly #rate: ResponseRate;
  readonly #tcp: TcpQuestions;
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
      help: 'Questions by transport and what became of them: ours, recursed, refused, malformed, limited, dropped',
      labels: ['transport', 'outcome'],
    });
    const closed = deps.metrics.counter({
      name: 'isthmus_dns_closed_connections_total',
      help: 'TCP connections that were closed because of the limits',
    });
    this.#cookies = new Cookies(deps.clock);
    this.#rate = new ResponseRate(deps.clock);
    this.#tcp = new TcpQuestions({
      answer: (message, source) => this.#answer(message, 'tcp', source),
      maxConnectionsPerClient: options.maxConnectionsPerClient,
      clock: deps.clock,
      tasks: this.#tasks,
      onClosed: () => closed.add(1),
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
    this.#tcp.close();
    await this.#tasks.stop();
    await Promise.all(closed);
  }

  async #bind(host: string, port: number): Promise<number> {
    for (let attempt = 1; ; attempt += 1) {
      const server = createServer((socket) => this.#tcp.accept(socket));
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

  /** At once where everything is known; undefined when there is nothing to say. */
  #answer(message: Buffer, transport: Transport, address: string): Buffer | Promise<Buffer> | undefined {
    if (this.#pending >= MAX_PENDING) {
      this.#count(transport, 'dropped');
      return undefined;
    }
    const limits = this.#deps.limits();
    const source = address.replace(/^::ffff:/, '');
    const request = readRequest(message);
    if (request === undefined || Buffer.isBuffer(request)) {
      this.#count(transport, 'malformed');
      return this.#rate.take(source, transport === 'udp' ? limits.rateLimit : 0) ? request : undefined;
    }
    const cookie = request.cookie === undefined ? undefined : this.#cookies.check(request.cookie, source);
    const options: ReplyOptions = {
      ...limits,
      transport,
      recursionAvailable: this.#deps.recursors().any,
      ...(cookie === undefined ? {} : { cookie: cookie.answer }),
    };
    if (transport === 'udp' && cookie?.valid !== true && !this.#rate.take(source, limits.rateLimit)) {
      this.#count(transport, 'limited');
      return writeReply(request, TRUNCATED, options);
    }
    const { name, type } = request;
    try {
      const limit = answerLimit(request, options);
      const reply = this.#deps.resolve({ name, type, limit, source }, this.#tasks.signal);
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
      const asked = request.cookie === undefined ? message : withCookie(message);
      const given = await recursors.ask(asked, transport, this.#tasks.signal);
      if (given === undefined) return writeReply(request, SERVER_FAILURE, options);
      const answer = withCookie(given, options.cookie);
      return answer.length <= replySize(request.ednsSize, options) ? answer : writeReply(request, TRUNCATED, options);
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
