import { Backoff } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { sleep } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { SidecarEndpoint } from '../../model/sidecar.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { SidecarLimits } from '../limits.ts';
import type { SidecarMeters } from '../meters.ts';
import type { RefusalReason } from '../refusals.ts';
import { isTrusted, type Peer } from '../wire/peer.ts';
import type { End } from '../wire/pump.ts';
import { hostPort, tlsEnd } from '../wire/sockets.ts';
import type { Trust } from '../wire/trust.ts';
import { TUNNEL_PROTOCOL } from '../wire/tunnel.ts';
import { DialError, type Dialer, type Dialled, isProtocolRefusal } from './dialer.ts';
import { Outlier, type Tolerance } from './outlier.ts';
import { StreamUntouched, Tunnel } from './tunnel-client.ts';

/** The far end of an application's connection. */
export interface Far extends End {
  readonly peer: Peer;
  /** What was agreed to be spoken, as an ALPN name; undefined: nothing was. */
  readonly protocol?: string;
}

export interface InstanceDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: SidecarLimits;
  readonly meters: SidecarMeters;
  readonly dialer: Dialer;
  readonly tasks: TaskGroup;
  readonly trust: () => Trust;
}

/**
 * How the other side is spoken to:
 * - unknown: not dialled yet; the first handshake tells
 * - tunnel: a built-in sidecar
 * - plain: one TLS connection each; tunnels are still offered, so that an upgrade is noticed
 * - bare: as plain, but it ends handshakes that offer a tunnel
 */
type Mode = 'unknown' | 'tunnel' | 'plain' | 'bare';

/** New tunnels made for one connection when tunnels close under it. */
const MAX_NEW_TUNNELS = 3;

/** One instance of a service: how to reach it, the tunnels to it, and how it does. */
export class Instance {
  readonly endpoint: SidecarEndpoint;
  readonly #deps: InstanceDeps;
  /** What is offered to be spoken when there is no tunnel, as ALPN names. */
  readonly #protocols: readonly string[];
  #mode: Mode = 'unknown';
  readonly #tunnels = new Set<Tunnel>();
  #establishing: Promise<void> | undefined;
  /** A plain connection that the first handshake left behind, for who asked for it. */
  #spare: Dialled | undefined;
  #replacing = false;
  #released = false;
  /** Connections open or being opened. */
  load = 0;
  readonly #outlier: Outlier;

  constructor(endpoint: SidecarEndpoint, deps: InstanceDeps, protocols: readonly string[]) {
    this.endpoint = endpoint;
    this.#deps = deps;
    this.#protocols = protocols;
    this.#outlier = new Outlier({
      ...deps,
      probe: () => this.#probe(),
      onChange: (reason) => this.#tell(reason),
    });
  }

  get tunnels(): number {
    return this.#tunnels.size;
  }

  /** Left out until then. */
  get ejectedUntil(): number {
    return this.#outlier.ejectedUntil;
  }

  /** When it was last taken back; 0 when it was never left out. */
  get recoveredAt(): number {
    return this.#outlier.recoveredAt;
  }

  succeeded(): void {
    this.#outlier.succeeded();
  }

  failed(reason: RefusalReason, tolerance?: Tolerance): void {
    this.#outlier.failed(reason, tolerance);
  }

  /** Tries soon whether it can be reached again, if it could not. */
  recheck(): void {
    this.#outlier.recheck();
  }

  /** A connection to the application of the instance. Throws {@link DialError}. */
  async connect(withinMs: number): Promise<Far> {
    const { clock } = this.#deps;
    const end = clock.steady() + withinMs;
    for (let made = 0; ; ) {
      const timeoutMs = end - clock.steady();
      if (timeoutMs <= 0) throw new DialError('unreachable', `not reached within ${withinMs} ms`, { retry: true });
      if (this.#mode === 'plain' || this.#mode === 'bare') return await this.#connectPlain(timeoutMs);
      const tunnel = this.#pick();
      if (tunnel === undefined) {
        if (made === MAX_NEW_TUNNELS)
          throw new DialError('unreachable', 'tunnels close before they can be used', { retry: true });
        made += 1;
        await this.#establish(timeoutMs);
        const spare = this.#takeSpare();
        if (spare !== undefined) return plainEnd(spare);
        continue;
      }
      this.#growBeside(tunnel);
      try {
        const end = await tunnel.connect(this.endpoint.service, timeoutMs);
        return { ...end, peer: tunnel.peer };
      } catch (error) {
        const closing = error instanceof StreamUntouched || (error instanceof DialError && error.reason === 'expired');
        if (!closing) throw error;
        // All tunnels of an instance close together when it gets a new leaf, and this side may learn of each late: each
        // is passed over once, and the loop ends with the last one.
        tunnel.retire();
      }
    }
  }

  /** The own leaf or the roots changed: a new tunnel in the background, then no new streams in the old ones. */
  refresh(): void {
    const { trust, clock } = this.#deps;
    const { roots } = trust();
    const now = clock.now();
    for (const tunnel of [...this.#tunnels]) if (!isTrusted(tunnel.peer, roots, now)) tunnel.retire();
    this.#replace();
  }

  /** No upstream names it any more: what is open goes on. */
  release(): void {
    this.#released = true;
    this.#outlier.close();
    for (const tunnel of [...this.#tunnels]) tunnel.retire();
  }

  abort(): void {
    this.#released = true;
    this.#outlier.close();
    for (const tunnel of [...this.#tunnels]) tunnel.abort();
  }

  /** The least loaded tunnel, one made with the own current leaf if there is any. */
  #pick(): Tunnel | undefined {
    const { leafPem } = this.#deps.trust();
    let best: Tunnel | undefined;
    for (const tunnel of this.#tunnels) {
      if (!tunnel.open) continue;
      if (!tunnel.valid) {
        tunnel.retire();
        continue;
      }
      if (best === undefined || better(tunnel, best, leafPem)) best = tunnel;
    }
    return best;
  }

  #growBeside(least: Tunnel): void {
    const { limits, tasks } = this.#deps;
    if (least.streams < limits.streamsBeforeGrowth || this.#establishing !== undefined) return;
    let open = 0;
    for (const tunnel of this.#tunnels) if (!tunnel.retired) open += 1;
    if (open >= limits.tunnelsPerInstance) return;
    tasks.run('open another tunnel', async () => {
      await this.#establish(limits.connectTimeoutMs).catch(() => undefined); // the ones that exist go on
      this.#dropSpare();
    });
  }

  /**
   * Whoever has a tunnel keeps a current one, even if only streams in old tunnels are left: by it both sides show
   * their newest certificates to each other.
   */
  #replace(): void {
    if (this.#replacing || !this.#outdated()) return;
    this.#replacing = true;
    const { clock, limits, tasks } = this.#deps;
    tasks.run('replace tunnels', async (signal) => {
      const backoff = new Backoff({ baseMs: 200, maxMs: 10_000 });
      try {
        while (!signal.aborted && this.#outdated()) {
          try {
            await this.#establish(limits.connectTimeoutMs);
            this.#dropSpare();
            if (this.#mode !== 'tunnel') break;
          } catch {
            await sleep(clock, backoff.next(), signal); // the old ones serve meanwhile
          }
        }
        for (const tunnel of this.#tunnels) if (!this.#current(tunnel)) tunnel.retire();
      } finally {
        this.#replacing = false;
      }
    });
  }

  #outdated(): boolean {
    if (this.#released || this.#tunnels.size === 0) return false;
    for (const tunnel of this.#tunnels) if (this.#current(tunnel)) return false;
    return true;
  }

  #current(tunnel: Tunnel): boolean {
    return !tunnel.retired && tunnel.leafPem === this.#deps.trust().leafPem;
  }

  /** One handshake at a time, shared by all who wait: afterwards there is a tunnel, or the mode is plain. */
  #establish(timeoutMs: number): Promise<void> {
    this.#establishing ??= this.#dialFirst(timeoutMs).finally(() => {
      this.#establishing = undefined;
    });
    return this.#establishing;
  }

  async #dialFirst(timeoutMs: number): Promise<void> {
    const own = this.#deps.trust();
    const dialled = await this.#dial(timeoutMs);
    if (dialled.tunnel) this.#adopt(dialled, own);
    else {
      this.#dropSpare();
      this.#spare = dialled;
    }
  }

  async #dial(timeoutMs: number): Promise<Dialled> {
    const { dialer } = this.#deps;
    const { endpoint } = this;
    if (this.#mode === 'bare') return await dialer.dial(endpoint, { timeoutMs, protocols: this.#protocols });
    try {
      const dialled = await dialer.dial(endpoint, { timeoutMs, protocols: [TUNNEL_PROTOCOL, ...this.#protocols] });
      this.#mode = dialled.tunnel ? 'tunnel' : 'plain';
      return dialled;
    } catch (error) {
      if (!isProtocolRefusal(error)) throw error;
      this.#mode = 'bare';
      return await dialer.dial(endpoint, { timeoutMs, protocols: this.#protocols });
    }
  }

  async #connectPlain(timeoutMs: number): Promise<Far> {
    const own = this.#deps.trust();
    const dialled = await this.#dial(timeoutMs);
    if (!dialled.tunnel) return plainEnd(dialled);
    this.#adopt(dialled, own); // a built-in sidecar has taken the place of the other one
    return await this.connect(timeoutMs);
  }

  #adopt(dialled: Dialled, own: Trust): void {
    const { clock, limits, meters } = this.#deps;
    const tunnel = new Tunnel(dialled, own, {
      clock,
      limits,
      onRefused: () => this.#replace(),
      onClosed: (closed) => this.#tunnels.delete(closed),
    });
    this.#tunnels.add(tunnel);
    meters.tunnelsOpened.add(1, { direction: 'outbound' });
    if (this.#released) tunnel.retire();
  }

  /** Reaches the instance anew, whatever tunnels there are. */
  async #probe(): Promise<void> {
    await this.#establish(this.#deps.limits.connectTimeoutMs);
    this.#dropSpare();
  }

  #tell(reason: RefusalReason | undefined): void {
    const { address, port, service, datacenter } = this.endpoint;
    const fields = { instance: hostPort(address, port), service, datacenter };
    if (reason === undefined) this.#deps.log.info('an instance is taken back', fields);
    else this.#deps.log.info('an instance is left out until it is reached again', { ...fields, reason });
  }

  #takeSpare(): Dialled | undefined {
    const spare = this.#spare;
    this.#spare = undefined;
    return spare?.tls.destroyed === false ? spare : undefined;
  }

  #dropSpare(): void {
    this.#takeSpare()?.tls.destroy();
  }
}

function better(a: Tunnel, b: Tunnel, leafPem: string): boolean {
  const fresh = (tunnel: Tunnel): boolean => tunnel.leafPem === leafPem;
  if (fresh(a) !== fresh(b)) return fresh(a);
  return a.streams < b.streams;
}

function plainEnd(dialled: Dialled): Far {
  const { tls, raw, peer } = dialled;
  const end = { ...tlsEnd(tls, raw), peer };
  return typeof tls.alpnProtocol === 'string' ? { ...end, protocol: tls.alpnProtocol } : end;
}
