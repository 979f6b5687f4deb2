import type { Socket } from 'node:net';
import { type Server as GrpcServer, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import type { ProxyFeeds } from '../../agent/proxycfg/proxy-configs.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { type Failure, watchListening } from '../../lib/failure.ts';
import { PerKeyLimit } from '../../lib/per-key-limit.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup, type TaskGroup } from '../../lib/task.ts';
import type { EnvoyStatus } from '../../model/envoy.ts';
import { createGrpcServer } from '../../rpc/grpc/grpc-server.ts';
import type { Logger } from '../../telemetry/types.ts';
import { adsService } from './ads-service.ts';
import { AdsStream, type XdsRequest, type XdsResponse } from './ads-stream.ts';
import { DeltaProtocol } from './delta.ts';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from './gen/envoy/service/discovery/v3/discovery_pb.ts';
import { grpcStatus } from './grpc-status.ts';
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
  /** Those that follow this agent now. */
  envoys(): readonly EnvoyStatus[];
}

/** Time for connections to close when stopping, milliseconds; then they are cut. */
const DRAIN_MS = 1_000;
const HANDSHAKE_MS = 5_000;

export function createXdsServer(deps: XdsServerDeps, options: XdsServerOptions): XdsServer {
  return new Server(deps, options);
}

class Server implements XdsServer {
  readonly name = 'xDS server';
  readonly #deps: XdsServerDeps;
  readonly #options: XdsServerOptions;
  readonly #limits: XdsLimits;
  readonly #meters: XdsMeters;
  readonly #grpc: GrpcServer;
  readonly #injector: ReturnType<GrpcServer['createConnectionInjector']>;
  readonly #tasks: TaskGroup;
  readonly #open: OpenXdsListener[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #connections: PerKeyLimit;
  readonly #streams: PerKeyLimit;
  readonly #envoys = new Set<StreamStatus>();

  constructor(deps: XdsServerDeps, options: XdsServerOptions) {
    const { clock, log } = deps;
    this.#deps = deps;
    this.#options = options;
    this.#limits = { ...DEFAULT_XDS_LIMITS, ...options.limits };
    const { perAddress, total } = this.#limits;
    this.#connections = new PerKeyLimit({ perKey: perAddress, total });
    this.#streams = new PerKeyLimit({ perKey: perAddress, total });
    this.#meters = deps.meters;
    this.#tasks = createTaskGroup({
      clock,
      onError: (task, error) => log.error('the stream of an Envoy broke', { task, error: error.message }),
    });
    this.#grpc = createGrpcServer({
      'grpc.enable_channelz': 0,
      'grpc.max_concurrent_streams': this.#limits.perConnection,
      'grpc.max_connection_idle_ms': this.#limits.idleConnectionMs,
      'grpc.keepalive_time_ms': this.#limits.keepaliveMs,
      'grpc.keepalive_timeout_ms': this.#limits.keepaliveTimeoutMs,
      'grpc.max_receive_message_length': this.#limits.messageBytes,
      'grpc.max_send_message_length': -1,
    });
    this.#grpc.addService(adsService, {
      DeltaAggregatedResources: (call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>) =>
        this.#serve(call, 'delta', new DeltaProtocol(this.#limits)),
      StreamAggregatedResources: (call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>) =>
        this.#serve(call, 'state of the world', new StateOfTheWorldProtocol(this.#limits)),
    });
    this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
  }

  get addresses(): readonly XdsAddress[] {
    return this.#open.map(({ address }) => address);
  }

  envoys(): readonly EnvoyStatus[] {
    return [...this.#envoys].map((status) => status.report());
  }

  async start(): Promise<void> {
    try {
      for (const listener of this.#options.listeners)
        this.#watch(
          await openXdsListener(listener, {
            admit: (socket) => this.#admit(socket),
            accept: (socket) => this.#injector.injectConnection(socket),
            onTlsError: (client, reason) => this.#refuse('tls', client, reason),
            handshakeMs: HANDSHAKE_MS,
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
    this.#injector.destroy();
    const cut = this.#deps.clock.after(DRAIN_MS, () => this.#cut());
    await Promise.all([...this.#sockets].map((socket) => new Promise((done) => socket.once('close', done))));
    cut.cancel();
    this.#grpc.forceShutdown();
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
    const slot = this.#connections.admit(client);
    if (slot === undefined) {
      this.#refuse('connections', client ?? '', `its address holds ${this.#limits.perAddress} connections, the limit`);
      return false;
    }
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      slot.release();
    });
    return true;
  }

  #serve<Request extends XdsRequest, Response extends XdsResponse>(
    call: ServerDuplexStream<Request, Response>,
    name: string,
    protocol: XdsProtocol<Request, Response>,
  ): void {
    const address = call.getPeer().replace(/:\d+$/, '');
    const slot = this.#streams.admit(address);
    if (slot === undefined || this.#tasks.signal.aborted) {
      slot?.release();
      this.#refuse('streams', address, `its address holds ${this.#limits.perAddress} streams, the limit`);
      call.emit('error', grpcStatus(new IsthmusError('unavailable', 'too many streams of this address')));
      return;
    }
    const { feeds, clock, log } = this.#deps;
    const stream = new AdsStream(
      call,
      protocol,
      { feeds, limits: this.#limits, clock, log, meters: this.#meters, enter: (status) => this.#enter(status) },
      this.#tasks.signal,
    );
    this.#tasks.run(`xDS stream of ${call.getPeer()}`, async () => {
      try {
        await stream.run(name);
      } finally {
        slot.release();
      }
    });
  }

  /** Several streams of one proxy are fine, as in Consul: an Envoy that restarts hot has two for a while. */
  #enter(status: StreamStatus): () => void {
    const same = [...this.#envoys].filter(({ proxyId }) => proxyId === status.proxyId).length;
    if (same >= this.#limits.perProxy)
      throw new IsthmusError(
        'rate_limited',
        `${this.#limits.perProxy} Envoys follow proxy ${status.proxyId} already: give each Envoy a proxy of its own`,
      );
    this.#envoys.add(status);
    return () => this.#envoys.delete(status);
  }

  #refuse(reason: string, client: string, why: string): void {
    this.#meters.refused(reason);
    this.#deps.log.warn('an Envoy was refused', { client, reason, why });
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
