import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { type Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';
import { bucketOf } from '../../lib/address.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { Failure, watchListening } from '../../lib/failure.ts';
import { PerKeyLimit, type Slot } from '../../lib/per-key-limit.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { createGrpcServer } from '../grpc/grpc-server.ts';
import { Intake } from '../grpc/intake.ts';
import { Admission } from './admission.ts';
import { admitCalls } from './admit-calls.ts';
import { DEFAULT_LIMITS, type RpcHandlers, type TransportLimits } from './handlers.ts';
import { inspectPreface, type PrefaceVerdict } from './preface.ts';
import { Refusals } from './refusals.ts';
import { plaintext, type SecuredConnection, type TransportSecurity } from './security.ts';
import { createServerMethods, serviceDefinition } from './server-methods.ts';
import { maxRequestBytes } from './wire.ts';

export interface ListenerSpec {
  /** 'server', 'serf_lan' or 'serf_wan'. All speak the same protocol. */
  readonly name: string;
  readonly address: string;
  /** 0: any free port. -1: not opened. */
  readonly port: number;
}

export interface BoundAddress {
  readonly address: string;
  readonly port: number;
}

export interface RpcListenerDeps {
  readonly listeners: readonly ListenerSpec[];
  /** Called with each listener's name once it is open. */
  readonly onBound?: (name: string, address: BoundAddress) => void;
  readonly handlers: RpcHandlers;
  readonly limits?: TransportLimits;
  readonly security?: TransportSecurity;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface RpcListener extends Service {
  /** Where each opened listener is bound, by name; once started. */
  readonly addresses: Readonly<Record<string, BoundAddress>>;
}

/** Time for calls to end when stopping, milliseconds; then their connections are cut. */
const DRAIN_MS = 2_000;

const WHY: Readonly<Record<Exclude<PrefaceVerdict, 'http2' | 'closed'>, string>> = {
  http1: 'it spoke HTTP/1; this port is for servers and agents, the HTTP API has a port of its own',
  tls:
    'it spoke TLS, and this server has no certificate: give it one (cert_file, key_file, ca_file) or unset ' +
    'verify_outgoing there',
  garbage: 'it did not speak HTTP/2',
  silent: 'it said nothing',
};

const TOO_MANY =
  'its address holds limits.rpc_max_conns_per_client connections, or all together hold as many as this server takes';

const HTTP1_ANSWER =
  'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 54\r\n\r\n' +
  'This port is for servers and agents, not for HTTP/1.1\n';

/** Opens the ports on which servers and agents are spoken to. */
export function createRpcListener(deps: RpcListenerDeps): RpcListener {
  return new Listener(deps);
}

class Listener implements RpcListener {
  readonly name = 'rpc listener';
  readonly addresses: Record<string, BoundAddress> = {};
  readonly #failure = new Failure();
  readonly onFailure = this.#failure.onFailure;
  #stopping = false;
  readonly #deps: RpcListenerDeps;
  readonly #limits: Required<TransportLimits>;
  readonly #security: TransportSecurity;
  readonly #refusals: Refusals;
  readonly #grpc: GrpcServer;
  readonly #injector: ReturnType<GrpcServer['createConnectionInjector']>;
  readonly #accepting;
  readonly #calls;
  readonly #servers: NetServer[] = [];
  readonly #sockets = new Set<Socket>();
  /** Those that have not shown yet who they are and what they speak. */
  readonly #entering = new Set<Socket>();
  /** On trial until they have. */
  readonly #connections: PerKeyLimit;

  constructor(deps: RpcListenerDeps) {
    const { clock, log, metrics } = deps;
    this.#deps = deps;
    this.#limits = { ...DEFAULT_LIMITS, ...deps.limits };
    const { maxConnectionsPerClient: perKey, maxConnections: total } = this.#limits;
    this.#connections = new PerKeyLimit({ perKey, total });
    this.#security = deps.security ?? plaintext;
    this.#refusals = new Refusals(
      clock,
      log,
      metrics.counter({
        name: 'isthmus_rpc_refused_connections_total',
        help: 'Connections to the server ports that were refused, by listener and reason.',
        labels: ['listener', 'reason'],
      }),
    );
    metrics.gauge({ name: 'isthmus_rpc_connections', help: 'Open connections to the server ports.' }, (set) =>
      set(this.#sockets.size),
    );
    const onError = (name: string, error: IsthmusError): void =>
      log.error('a call broke', { call: name, error: error.message });
    this.#accepting = createTaskGroup({ clock, onError });
    this.#calls = createTaskGroup({ clock, onError });
    const { maxUnfinished, maxUnfinishedOfConnection: perConnection } = this.#limits;
    const perMessage = (path: string): number => maxRequestBytes(path, this.#limits);
    const intake = new Intake({ perMessage, perConnection, total: maxUnfinished });
    metrics.gauge(
      {
        name: 'isthmus_rpc_unfinished_bytes',
        help: 'Bytes of messages to the server ports that have not arrived whole.',
      },
      (set) => set(intake.held),
    );
    const { datacenter, tokensDecide = false } = deps.handlers;
    const admission = new Admission({ datacenter, tokensDecide });
    const identify: TransportSecurity['identify'] = (certificate) => this.#security.identify(certificate);
    const calls = metrics.counter({
      name: 'isthmus_rpc_calls_total',
      help: 'Calls answered on the server ports, by method and outcome.',
      labels: ['method', 'code'],
    });
    const admit = admitCalls({
      admission,
      identify,
      onRefused(method, peer, { code, message }) {
        calls.add(1, { method, code });
        log.warn('refused a call', { method, peer, error: message });
      },
    });
    this.#grpc = createGrpcServer({ ...serverOptions(this.#limits), interceptors: [admit] }, intake);
    this.#grpc.addService(
      serviceDefinition,
      createServerMethods({
        handlers: deps.handlers,
        admission,
        identify,
        tasks: this.#calls,
        log,
        steady: () => clock.steady(),
        calls,
        watchBytes: metrics.counter({
          name: 'isthmus_rpc_watch_bytes_total',
          help: 'Bytes of watched answers sent, by form: whole, or the change since the answer before.',
          labels: ['form'],
        }),
        seconds: metrics.histogram({
          name: 'isthmus_rpc_call_seconds',
          help: 'Time to answer calls that do not block.',
          labels: ['method'],
        }),
      }),
    );
    this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
  }

  async start(_signal: AbortSignal): Promise<void> {
    try {
      for (const spec of this.#deps.listeners) {
        if (spec.port < 0) continue;
        const address = await this.#listen(spec);
        this.addresses[spec.name] = address;
        this.#deps.onBound?.(spec.name, address);
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const closed = this.#servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve)));
    for (const socket of this.#entering) socket.destroy();
    await this.#accepting.stop();
    await this.#calls.stop(); // every call ends with `unavailable`
    this.#injector.destroy(); // says goodbye on each connection
    const cut = this.#deps.clock.after(DRAIN_MS, () => this.#cut());
    // A client that has nothing to send closes at once when told goodbye; one that does not is cut.
    await Promise.race([Promise.all(closed), this.#idle()]);
    cut.cancel();
    this.#cut();
    this.#grpc.forceShutdown();
    await Promise.all(closed);
  }

  #listen(spec: ListenerSpec): Promise<BoundAddress> {
    return new Promise((resolve, reject) => {
      const server = createServer({ noDelay: true }, (socket) => this.#onConnection(spec.name, socket));
      server.once('error', (cause) => {
        const where = `${spec.address}:${spec.port}`;
        reject(
          new IsthmusError('unavailable', `ports.${spec.name}: can't listen on ${where}: ${cause.message}`, { cause }),
        );
      });
      server.listen(spec.port, spec.address, () => {
        const bound = server.address();
        if (bound === null || typeof bound === 'string') return;
        this.#servers.push(server);
        watchListening(server, {
          what: `ports.${spec.name} on ${bound.address}:${bound.port}`,
          failure: this.#failure,
          onPassing: (error) => this.#deps.log.warn('a connection was not taken', { error: error.message }),
          closing: () => this.#stopping,
        });
        resolve({ address: bound.address, port: bound.port });
      });
    });
  }

  #onConnection(listener: string, raw: Socket): void {
    raw.on('error', () => undefined); // 'close' follows; a connection that breaks is no event worth telling
    const client = raw.remoteAddress;
    const refuse = (): void => {
      this.#refusals.note(listener, client ?? '', 'too_many', TOO_MANY);
      raw.destroy();
    };
    const slot = this.#connections.admit(bucketOf(client), refuse);
    if (slot === undefined) {
      refuse();
      return;
    }
    this.#sockets.add(raw);
    raw.once('close', () => {
      this.#sockets.delete(raw);
      slot.release();
    });
    this.#entering.add(raw);
    this.#accepting.run('accept', async () => {
      try {
        await this.#enter(listener, raw, slot);
      } finally {
        this.#entering.delete(raw);
      }
    });
  }

  /** Finds out who and what a new connection is, and hands it on or refuses it. */
  async #enter(listener: string, raw: Socket, slot: Slot): Promise<void> {
    const peer = raw.remoteAddress ?? '';
    let accepted: SecuredConnection | undefined;
    try {
      accepted = await this.#security.accept(raw);
    } catch (thrown) {
      const { details, message } = IsthmusError.from(thrown);
      this.#refusals.note(listener, peer, typeof details.reason === 'string' ? details.reason : 'identity', message);
      raw.destroy();
      return;
    }
    if (accepted === undefined) return;
    const { socket } = accepted;
    const verdict =
      accepted.http2 === true ? 'http2' : await inspectPreface(socket, this.#deps.clock, this.#limits.handshakeMs);
    if (verdict === 'http2') {
      slot.keep();
      this.#injector.injectConnection(socket);
      return;
    }
    if (verdict === 'http1') socket.end(HTTP1_ANSWER);
    if (verdict !== 'closed') this.#refusals.note(listener, peer, verdict, WHY[verdict]);
    if (verdict !== 'http1') socket.destroy();
    else socket.once('finish', () => socket.destroy());
  }

  #idle(): Promise<void> {
    const open = [...this.#sockets].map((socket) => new Promise<void>((done) => socket.once('close', () => done())));
    return Promise.all(open).then(() => undefined);
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

function serverOptions(limits: Required<TransportLimits>) {
  return {
    'grpc.enable_channelz': 0,
    'grpc.max_concurrent_streams': limits.maxConcurrentStreams,
    'grpc.keepalive_time_ms': limits.keepaliveMs,
    'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
    'grpc.max_receive_message_length': limits.maxWriteBytes, // of one method; see maxRequestBytes
    'grpc.max_send_message_length': limits.maxMessageBytes,
  };
}
