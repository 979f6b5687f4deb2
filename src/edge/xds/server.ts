import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { ProxyFeeds } from '../../agent/proxycfg/proxy-configs.ts';
import { bucketOf, formatAddress } from '../../lib/address.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { type Failure, watchListening } from '../../lib/failure.ts';
import { PerKeyLimit, type Slot } from '../../lib/per-key-limit.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup, type TaskGroup } from '../../lib/task.ts';
import type { EnvoyStatus } from '../../model/envoy.ts';
import { Intake } from '../../rpc/grpc/intake.ts';
import type { Logger } from '../../telemetry/types.ts';
import { AdsStream } from './ads-stream.ts';
import { Connections } from './connections.ts';
import { DeltaProtocol } from './delta.ts';
import { GrpcCall } from './grpc-call.ts';
import { DEFAULT_XDS_LIMITS, type XdsLimits } from './limits.ts';
import { type OpenXdsListener, openXdsListener, type XdsAddress, type XdsListener } from './listener.ts';
import type { XdsMeters } from './meters.ts';
import type { XdsProtocol } from './protocol.ts';
import { StateOfTheWorldProtocol } from './state-of-the-world.ts';
import type { StreamStatus } from './status.ts';

export interface XdsServerDeps {
  /** Guarded: a feed is for whoever may write the service behind the proxy. */
  readonly feeds: ProxyFeeds;
  /** Gets the failure when a listener ends without being closed. */
  readonly failure: Failure;
  readonly clock: Clock;
  readonly log: Logger;
  readonly meters: XdsMeters;
}

export interface XdsServerOptions {
  readonly listeners: readonly XdsListener[];
  readonly limits?: Partial<XdsLimits>;
}

/** Envoy's xDS over gRPC. */
export interface XdsServer extends Service {
  readonly addresses: readonly XdsAddress[];
  /** How many streams are served now. */
  readonly streams: number;
  /** Those that follow this agent now. */
  envoys(): readonly EnvoyStatus[];
}

/** Time for connections to close when stopping, milliseconds; then they are cut. */
const DRAIN_MS = 1_000;
const HANDSHAKE_MS = 5_000;

interface Method {
  /** As users know it. */
  readonly protocol: string;
  readonly begin: (limits: XdsLimits) => XdsProtocol;
}

const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
/** By their paths: one stream for all types, in either protocol. */
const METHODS: ReadonlyMap<string, Method> = new Map([
  [
    `${SERVICE}/DeltaAggregatedResources`,
    { protocol: 'delta', begin: (limits: XdsLimits) => new DeltaProtocol(limits) },
  ],
  [
    `${SERVICE}/StreamAggregatedResources`,
    { protocol: 'state of the world', begin: (limits: XdsLimits) => new StateOfTheWorldProtocol(limits) },
  ],
]);

export function createXdsServer(deps: XdsServerDeps, options: XdsServerOptions): XdsServer {
  return new Server(deps, options);
}

class Server implements XdsServer {
  readonly name = 'xDS server';
  readonly #deps: XdsServerDeps;
  readonly #options: XdsServerOptions;
  readonly #limits: XdsLimits;
  readonly #tasks: TaskGroup;
  readonly #open: OpenXdsListener[] = [];
  /** Raw connections. */
  readonly #sockets = new Set<Socket>();
  /** Their places: each is on trial until a stream of it is served. */
  readonly #places = new Map<string | Socket, Slot>();
  readonly #connections: Connections;
  readonly #connectionLimit: PerKeyLimit;
  readonly #streamLimit: PerKeyLimit;
  readonly #intake: Intake;
  /** Streams by the proxy that they follow. */
  readonly #envoys = new Map<string, Set<StreamStatus>>();
  #count = 0;

  constructor(deps: XdsServerDeps, options: XdsServerOptions) {
    const { clock, log } = deps;
    this.#deps = deps;
    this.#options = options;
    this.#limits = { ...DEFAULT_XDS_LIMITS, ...options.limits };
    const { perAddress, total, messageBytes, unfinishedPerConnection, unfinishedTotal } = this.#limits;
    this.#connectionLimit = new PerKeyLimit({ perKey: perAddress, total });
    this.#streamLimit = new PerKeyLimit({ perKey: perAddress, total });
    this.#intake = new Intake({
      perMessage: () => messageBytes,
      perConnection: unfinishedPerConnection,
      total: unfinishedTotal,
    });
    this.#tasks = createTaskGroup({
      clock,
      onError: (task, error) => log.error('the stream of an Envoy broke', { task, error: error.message }),
    });
    this.#connections = new Connections({
      clock,
      limits: this.#limits,
      onStream: (stream, headers, socket) => this.#onStream(stream, headers, socket),
    });
  }

  get addresses(): readonly XdsAddress[] {
    return this.#open.map(({ address }) => address);
  }

  get streams(): number {
    return this.#count;
  }

  envoys(): readonly EnvoyStatus[] {
    return [...this.#envoys.values()].flatMap((streams) => [...streams].map((status) => status.report()));
  }

  async start(): Promise<void> {
    try {
      for (const listener of this.#options.listeners)
        this.#watch(
          await openXdsListener(listener, {
            admit: (socket) => this.#admit(socket),
            accept: (socket) => this.#connections.accept(socket),
            onTlsError: (client, reason) => this.#refuse('tls', client, reason),
            handshakeMs: HANDSHAKE_MS,
            probeMs: this.#limits.probeMs,
          }),
        );
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    const closed = this.#open.splice(0).map(({ server }) => new Promise((resolve) => server.close(resolve)));
    await this.#tasks.stop(); // every stream ends with a status: Envoys go elsewhere or come back
    this.#connections.close();
    const cut = this.#deps.clock.after(DRAIN_MS, () => this.#cut());
    await Promise.all([...this.#sockets].map((socket) => new Promise((done) => socket.once('close', done))));
    cut.cancel();
    await Promise.all(closed);
  }

  #watch(open: OpenXdsListener): void {
    const { failure, log } = this.#deps;
    this.#open.push(open);
    watchListening(open.server, {
      what: `ports.${open.address.name}`,
      failure,
      onPassing: (error) => log.warn('a connection was not taken', { error: error.message }),
      closing: () => !this.#open.includes(open),
    });
  }

  #admit(socket: Socket): boolean {
    const client = socket.remoteAddress; // undefined on a Unix socket
    const full = `its address holds ${this.#limits.perAddress} connections, the limit`;
    const place = placeOf(socket);
    const slot = this.#connectionLimit.admit(bucketOf(client), () => {
      this.#refuse('connections', client ?? '', `${full}, and nothing was served on this one yet`);
      socket.destroy();
    });
    if (slot === undefined) {
      this.#refuse('connections', client ?? '', full);
      return false;
    }
    this.#sockets.add(socket);
    this.#places.set(place, slot);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (this.#places.get(place) === slot) this.#places.delete(place);
      slot.release();
    });
    return true;
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, socket: Socket): void {
    const { feeds, clock, log, meters } = this.#deps;
    const client = socket.remoteAddress;
    const call = new GrpcCall(stream, headers, peerOf(socket), this.#limits.messageBytes);
    const method = METHODS.get(String(headers[':path']));
    if (method === undefined) {
      call.end(new IsthmusError('method_not_allowed', 'only the aggregated discovery service (ADS) is served'));
      return;
    }
    const full = `its address holds ${this.#limits.perAddress} streams, the limit`;
    const tooMany = new IsthmusError('rate_limited', 'too many streams of this address');
    const slot = this.#streamLimit.admit(bucketOf(client), () => {
      this.#refuse('streams', client ?? '', full);
      call.end(tooMany);
    });
    if (slot === undefined || this.#tasks.signal.aborted) {
      slot?.release();
      this.#refuse('streams', client ?? '', full);
      call.end(tooMany);
      return;
    }
    const ads = new AdsStream(
      call,
      method.begin(this.#limits),
      {
        feeds,
        limits: this.#limits,
        clock,
        log,
        meters,
        enter: (status) => {
          const leave = this.#enter(status);
          slot.keep();
          this.#places.get(placeOf(socket))?.keep();
          return leave;
        },
      },
      this.#tasks.signal,
    );
    this.#intake.follow(stream);
    this.#tasks.run(`xDS stream of ${call.peer}`, async () => {
      try {
        await ads.run(method.protocol);
      } finally {
        slot.release();
      }
    });
  }

  /** Several streams of one proxy are fine, as in Consul: an Envoy that restarts hot has two for a while. */
  #enter(status: StreamStatus): () => void {
    const { proxyId } = status;
    const streams = this.#envoys.get(proxyId) ?? new Set();
    if (streams.size >= this.#limits.perProxy)
      throw new IsthmusError(
        'rate_limited',
        `${this.#limits.perProxy} Envoys follow proxy ${proxyId} already: give each Envoy a proxy of its own`,
      );
    this.#envoys.set(proxyId, streams.add(status));
    this.#count += 1;
    return () => {
      streams.delete(status);
      if (streams.size === 0) this.#envoys.delete(proxyId);
      this.#count -= 1;
    };
  }

  #refuse(reason: string, client: string, why: string): void {
    this.#deps.meters.refused(reason);
    this.#deps.log.warn('an Envoy was refused', { client, reason, why });
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** The same for a raw connection and for TLS on it. */
function placeOf(socket: Socket): string | Socket {
  const { remoteAddress, remotePort, localPort } = socket;
  return remoteAddress === undefined ? socket : `${remoteAddress}:${remotePort}>${localPort}`;
}

function peerOf({ remoteAddress, remotePort = 0 }: Socket): string {
  return remoteAddress === undefined ? 'unix socket' : formatAddress({ address: remoteAddress, port: remotePort });
}
