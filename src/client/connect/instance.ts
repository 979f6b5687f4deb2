import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../lib/clock.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { SidecarEndpoint } from '../../model/sidecar.ts';
import { DEFAULT_LIMITS } from '../../sidecar/limits.ts';
import type { Balanced } from '../../sidecar/outbound/balancer.ts';
import { DialError, type Dialer } from '../../sidecar/outbound/dialer.ts';
import { Outlier } from '../../sidecar/outbound/outlier.ts';
import type { OpenConnections } from '../../sidecar/wire/open-connections.ts';
import { hostPort } from '../../sidecar/wire/sockets.ts';
import type { Callees } from './callees.ts';

export interface InstanceDeps {
  readonly clock: Clock;
  readonly tasks: TaskGroup;
  readonly dialer: Dialer;
  readonly protocols: readonly string[];
  readonly callees: Callees;
  readonly open: OpenConnections;
}

/** One instance of a service that is called: how to reach it, and how it does. */
export class NativeInstance implements Balanced {
  readonly endpoint: SidecarEndpoint;
  readonly #deps: InstanceDeps;
  readonly #outlier: Outlier;
  load = 0;

  constructor(endpoint: SidecarEndpoint, deps: InstanceDeps) {
    this.endpoint = endpoint;
    this.#deps = deps;
    this.#outlier = new Outlier({
      ...deps,
      limits: DEFAULT_LIMITS,
      probe: () => this.#probe(),
      onChange: () => undefined,
    });
  }

  get ejectedUntil(): number {
    return this.#outlier.ejectedUntil;
  }

  get recoveredAt(): number {
    return this.#outlier.recoveredAt;
  }

  get address(): string {
    return hostPort(this.endpoint.address, this.endpoint.port);
  }

  recheck(): void {
    this.#outlier.recheck();
  }

  /**
   * A connection to it. Throws {@link DialError} and leaves the instance out for a while; `permission_denied` if it may
   * not.
   */
  async connect(timeoutMs: number): Promise<TLSSocket> {
    const { dialer, protocols, callees, open } = this.#deps;
    callees.require(this.endpoint);
    this.load += 1;
    try {
      const { tls, peer } = await dialer.dial(this.endpoint, { timeoutMs, protocols });
      const connection = { peer, abort: () => tls.destroy() };
      open.add(connection);
      tls.once('close', () => {
        open.remove(connection);
        this.load -= 1;
      });
      tls.allowHalfOpen = false; // as Node's own sockets: the dialler's are made for pumps
      this.#outlier.succeeded();
      return tls;
    } catch (error) {
      this.load -= 1;
      if (error instanceof DialError) this.#outlier.failed(error.reason);
      throw error;
    }
  }

  /**
   * The own certificate changed: who has connections from here is shown the new one. When the old root ends, a sidecar
   * closes those of callers that have shown none below the new one.
   */
  refresh(): void {
    if (this.load > 0) this.#deps.tasks.run('show the new certificate', () => this.#probe().catch(() => undefined));
  }

  /** Nothing is dialled any more; what is open goes on. */
  close(): void {
    this.#outlier.close();
  }

  async #probe(): Promise<void> {
    const { dialer, protocols } = this.#deps;
    const timeoutMs = this.endpoint.connectTimeoutMs ?? DEFAULT_LIMITS.connectTimeoutMs;
    const { tls } = await dialer.dial(this.endpoint, { timeoutMs, protocols });
    tls.destroy();
  }
}
