import type { Clock } from '../lib/clock.ts';
import type { LogFields, Logger } from '../telemetry/types.ts';
import type { SidecarMeters } from './meters.ts';

export type Direction = 'inbound' | 'outbound';

/**
 * Why a connection was refused or given up:
 * - denied: an intention or the default policy · no_certificate, untrusted, expired, not_yet_valid, wrong_trust_domain,
 *   bad_identity: the other side's certificate · wrong_peer: another service or datacenter answered than was dialled
 * - plain_text, handshake_timeout, handshake_failed, hung_up: no TLS session came about
 * - limit: a bound of the sidecar · local_unreachable: the application behind the sidecar
 * - unreachable, no_instance: the other side · bad_answer: it answers with errors
 * - bad_request: a stream that is no CONNECT, or a request that is none · stopping
 */
export type RefusalReason =
  | 'denied'
  | 'no_certificate'
  | 'untrusted'
  | 'expired'
  | 'not_yet_valid'
  | 'wrong_trust_domain'
  | 'bad_identity'
  | 'wrong_peer'
  | 'plain_text'
  | 'handshake_timeout'
  | 'handshake_failed'
  | 'hung_up'
  | 'limit'
  | 'local_unreachable'
  | 'unreachable'
  | 'no_instance'
  | 'bad_answer'
  | 'bad_request'
  | 'stopping';

interface Window {
  readonly until: number;
  suppressed: number;
}

/** The same refusal is logged once in this time, with the number of those left out. */
const WINDOW_MS = 60_000;
/** Kinds of refusal remembered at once; beyond, the oldest window is forgotten. */
const MAX_WINDOWS = 1_000;

export interface RefusalDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly meters: SidecarMeters;
}

/** Counts every refusal and logs each kind once a minute. */
export class Refusals {
  readonly #deps: RefusalDeps;
  readonly #windows = new Map<string, Window>();
  readonly #counts = new Map<RefusalReason, number>();

  constructor(deps: RefusalDeps) {
    this.#deps = deps;
  }

  /** @param subject what tells one kind of refusal from another beside its reason, such as the source's identity. */
  refuse(direction: Direction, reason: RefusalReason, subject: string, fields: LogFields = {}): void {
    const { clock, log, meters } = this.#deps;
    meters.refused.add(1, { direction, reason });
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
    if (reason === 'hung_up') return; // port scans and TCP checks: counted, not worth a line
    const key = `${direction} ${reason} ${subject}`;
    const now = clock.steady();
    const window = this.#windows.get(key);
    if (window !== undefined && now < window.until) {
      window.suppressed += 1;
      return;
    }
    this.#windows.delete(key);
    if (this.#windows.size >= MAX_WINDOWS) {
      const [oldest] = this.#windows.keys();
      if (oldest !== undefined) this.#windows.delete(oldest);
    }
    this.#windows.set(key, { until: now + WINDOW_MS, suppressed: 0 });
    const suppressed = window?.suppressed ?? 0;
    log.warn('connection refused', { direction, reason, ...fields, ...(suppressed > 0 ? { suppressed } : {}) });
  }

  counts(): Readonly<Partial<Record<RefusalReason, number>>> {
    return Object.fromEntries(this.#counts);
  }
}
