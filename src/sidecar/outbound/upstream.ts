import { createServer, type Server, type Socket } from 'node:net';
import { IsthmusError } from '../../lib/errors.ts';
import { type UpstreamOptions, upstreamOptions } from '../../model/proxy-options.ts';
import type { SidecarEndpoint, SidecarRequests, SidecarUpstream } from '../../model/sidecar.ts';
import { listen, listenAtSocket, stopListening } from '../wire/listening.ts';
import type { OpenConnection } from '../wire/open-connections.ts';
import { pump } from '../wire/pump.ts';
import { hostPort, ignoreError, resetSocket, socketEnd } from '../wire/sockets.ts';
import type { UpstreamDeps } from './deps.ts';
import { DialError } from './dialer.ts';
import { HeldBalancer } from './held-balancer.ts';
import type { Far, Instance } from './instance.ts';
import { type Tolerance, toleranceOf } from './outlier.ts';
import { OutboundRequests } from './requests.ts';

/** An application's bytes: nothing is known of what they say. */
const NO_PROTOCOLS: readonly string[] = [];

/** The listener of one upstream: the application connects here, and is connected to an instance of the service. */
export class Upstream {
  readonly config: SidecarUpstream;
  readonly #deps: UpstreamDeps;
  readonly #server: Server;
  readonly #balancer: HeldBalancer;
  #requests: OutboundRequests | undefined;
  /** Accepted connections of the application, those being connected included. */
  readonly #accepted = new Set<Socket>();
  readonly #options: UpstreamOptions;
  readonly #tolerance: Tolerance;
  #port = 0;

  constructor(config: SidecarUpstream, deps: UpstreamDeps) {
    this.config = config;
    this.#deps = deps;
    this.#balancer = new HeldBalancer(deps, NO_PROTOCOLS);
    this.#options = upstreamOptions(config.config);
    this.#tolerance = toleranceOf(this.#options.passiveHealthCheck);
    // Paused: what the application sends first waits in the kernel until an instance took the connection.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
    this.#server.on('connection', (socket) => this.#accept(socket));
  }

  get address(): string {
    const { bindAddress, bindSocketPath } = this.config;
    if (bindSocketPath !== undefined) return `unix://${bindSocketPath}`;
    return hostPort(bindAddress === '' ? '127.0.0.1' : bindAddress, this.#port);
  }

  async start(): Promise<void> {
    const { bindAddress, bindPort, bindSocketPath, bindSocketMode } = this.config;
    if (bindSocketPath !== undefined) await listenAtSocket(this.#server, bindSocketPath, bindSocketMode);
    else this.#port = await listen(this.#server, bindAddress, bindPort);
    this.#server.on('error', (error) => {
      this.#deps.log.error('listener failed', { upstream: this.config.key, error: error.message });
    });
  }

  setEndpoints(endpoints: readonly SidecarEndpoint[]): void {
    this.#balancer.set(endpoints);
  }

  /** New connections carry requests; null: they are forwarded as bytes. Those that are open stay what they are. */
  setRequests(requests: SidecarRequests | null): void {
    if (requests !== null && this.#requests?.protocol === requests.table.protocol) {
      this.#requests.set(requests);
      return;
    }
    this.#requests?.drain();
    this.#requests =
      requests === null
        ? undefined
        : new OutboundRequests(requests, { ...this.#deps, key: this.config.key, options: this.#options });
  }

  /** Takes no new connections; those that are open go on. Resolves once they are gone. */
  async stopAccepting(): Promise<void> {
    this.setEndpoints([]);
    this.#requests?.drain();
    await stopListening(this.#server);
  }

  abort(): void {
    for (const socket of this.#accepted) resetSocket(socket);
  }

  #accept(socket: Socket): void {
    socket.on('error', ignoreError);
    const { maxConnections = this.#deps.limits.maxUpstreamConnections } = this.#options;
    if (this.#accepted.size >= maxConnections) {
      this.#give(socket, new DialError('limit', `more than ${maxConnections} connections`, { retry: false }));
      return;
    }
    this.#accepted.add(socket);
    socket.once('close', () => this.#accepted.delete(socket));
    if (this.#requests !== undefined) {
      this.#requests.accept(socket, socket.remoteAddress ?? '');
      return;
    }
    const startedAt = this.#deps.clock.steady();
    this.#reach(socket).then(
      ({ far, instance }) => this.#join(socket, far, instance, startedAt),
      (error: unknown) => this.#give(socket, error),
    );
  }

  /** Tries instances until one takes the connection. */
  async #reach(socket: Socket): Promise<{ far: Far; instance: Instance }> {
    const { limits, meters } = this.#deps;
    const tried = new Set<Instance>();
    const maxTries = this.#balancer.maxTries(limits.maxAttempts);
    let last: DialError | undefined;
    while (tried.size < maxTries && !socket.destroyed) {
      const candidate = this.#balancer.pick(tried);
      if (candidate === undefined) break;
      const { instance } = candidate;
      if (tried.size > 0) meters.retries.add(1, { upstream: this.config.key });
      tried.add(instance);
      instance.load += 1;
      try {
        const far = await instance.connect(
          this.#options.connectTimeoutMs ?? candidate.connectTimeoutMs ?? limits.connectTimeoutMs,
        );
        instance.succeeded();
        return { far, instance };
      } catch (error) {
        instance.load -= 1;
        last = error instanceof DialError ? error : new DialError('unreachable', String(error), { retry: true });
        if (!last.retry) break;
        instance.failed(last.reason, this.#tolerance);
        if (tried.size < maxTries) this.#note(last, instance);
      }
    }
    throw last ?? new DialError('no_instance', 'no healthy instance', { retry: false });
  }

  #join(socket: Socket, far: Far, instance: Instance, startedAt: number): void {
    const { clock, limits, meters, open } = this.#deps;
    if (socket.destroyed || far.stream.destroyed || this.#deps.isRefused(far.peer)) {
      instance.load -= 1;
      resetSocket(socket);
      far.reset();
      return;
    }
    const near = socketEnd(socket);
    const connection: OpenConnection = {
      peer: far.peer,
      abort: () => {
        near.reset();
        far.reset();
      },
    };
    open.add(connection);
    meters.opened.add(1, { direction: 'outbound' });
    meters.connect.observe((clock.steady() - startedAt) / 1_000);
    pump(near, far, {
      clock,
      idleTimeoutMs: limits.idleTimeoutMs,
      onClose: (sent, received) => {
        open.remove(connection);
        instance.load -= 1;
        meters.bytes.add(sent, { direction: 'outbound', flow: 'sent' });
        meters.bytes.add(received, { direction: 'outbound', flow: 'received' });
      },
    });
  }

  /** One instance failed, the next one is tried. */
  #note(error: DialError, instance: Instance): void {
    const { address, port } = instance.endpoint;
    this.#deps.log.debug('an instance could not be reached, another one is tried', {
      upstream: this.config.key,
      instance: hostPort(address, port),
      reason: error.reason,
      error: error.message,
    });
  }

  #give(socket: Socket, error: unknown): void {
    resetSocket(socket);
    const failure = error instanceof DialError ? error : undefined;
    const reason = failure?.reason ?? 'unreachable';
    this.#deps.refusals.refuse('outbound', reason, this.config.key, {
      upstream: this.config.key,
      service: this.config.name,
      datacenter: this.config.datacenter,
      error: IsthmusError.from(error).message,
      ...(failure?.details ?? {}),
    });
  }
}
