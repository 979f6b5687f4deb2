import type { Clock, Timer } from '../../lib/clock.ts';
import { abortable } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { PassiveHealthCheck } from '../../model/proxy-options.ts';
import type { SidecarLimits } from '../limits.ts';
import type { RefusalReason } from '../refusals.ts';

/** How many failures an upstream takes before it leaves an instance out. */
export interface Tolerance {
  /** Consecutive ones. */
  readonly maxFailures: number;
  /** Failures further apart than this are not consecutive, milliseconds. */
  readonly intervalMs: number;
}

/** As an upstream's options say. */
export function toleranceOf({ maxFailures, intervalMs }: PassiveHealthCheck): Tolerance {
  return { maxFailures: maxFailures ?? 1, intervalMs: intervalMs ?? Number.POSITIVE_INFINITY };
}

/** Before all times: what did not happen. */
const NEVER = Number.NEGATIVE_INFINITY;

const NO_TOLERANCE: Tolerance = { maxFailures: 1, intervalMs: Number.POSITIVE_INFINITY };

export interface OutlierDeps {
  readonly clock: Clock;
  readonly limits: Pick<SidecarLimits, 'ejectBaseMs' | 'ejectMaxMs'>;
  readonly tasks: TaskGroup;
  /** Reaches the instance without a connection of an application; rejects when it can't be reached. */
  readonly probe: () => Promise<void>;
  /** Told when it is left out, and why, and when it is taken back. */
  readonly onChange: (reason: RefusalReason | undefined) => void;
}

/** What a probe can't tell: the other side was reached, and said no. */
const REACHED: ReadonlySet<RefusalReason> = new Set([
  'limit',
  'local_unreachable',
  'bad_answer',
  'stopping',
  'expired',
]);

/**
 * Passive outlier detection of one instance. After failures it is left out, for longer each time. One that could not be
 * reached comes back only once the sidecar has reached it by itself, so that no application waits for a time-out to
 * find out; one that was reached and refused comes back when its time is up.
 */
export class Outlier {
  readonly #deps: OutlierDeps;
  #strikes = 0;
  #lastFailure = Number.NEGATIVE_INFINITY;
  #ejections = 0;
  #retryAt = NEVER;
  /** Being reached again; the timer is for the next attempt, absent while one is under way. */
  #away: { timer: Timer | undefined } | undefined;
  #recoveredAt = NEVER;
  #closed = false;

  constructor(deps: OutlierDeps) {
    this.#deps = deps;
  }

  /**
   * Left out until then, by the steady clock: in the past when it is not. While it is being reached again, always in
   * the future.
   */
  get ejectedUntil(): number {
    return this.#away === undefined ? this.#retryAt : Math.max(this.#retryAt, this.#deps.clock.steady() + 1);
  }

  /** When it was last taken back, by the steady clock; {@link NEVER} left out: before all times. */
  get recoveredAt(): number {
    return Math.max(this.#recoveredAt, this.#retryAt);
  }

  succeeded(): void {
    if (this.#strikes === 0 && this.#ejections === 0) return;
    const wasOut = this.#ejections > 0;
    if (wasOut) this.#recoveredAt = this.#deps.clock.steady();
    this.#strikes = 0;
    this.#ejections = 0;
    this.#retryAt = NEVER;
    this.#endProbing();
    if (wasOut) this.#deps.onChange(undefined);
  }

  failed(reason: RefusalReason, { maxFailures, intervalMs }: Tolerance = NO_TOLERANCE): void {
    const now = this.#deps.clock.steady();
    if (this.ejectedUntil > now) return; // begun before it was left out, or tried for want of another
    this.#strikes = now - this.#lastFailure > intervalMs ? 1 : this.#strikes + 1;
    this.#lastFailure = now;
    if (this.#strikes < maxFailures) return;
    if (this.#ejections === 0) this.#deps.onChange(reason);
    this.#eject(now);
    if (REACHED.has(reason) || this.#closed) return;
    this.#away = { timer: undefined };
    this.#probeLater();
  }

  recheck(): void {
    if (this.#away?.timer === undefined) return;
    this.#ejections = 1;
    this.#probeNow();
  }

  close(): void {
    this.#closed = true;
    this.#endProbing();
  }

  #eject(now: number): void {
    const { ejectBaseMs, ejectMaxMs } = this.#deps.limits;
    this.#retryAt = now + Math.min(ejectMaxMs, ejectBaseMs * 2 ** Math.min(this.#ejections, 20));
    this.#ejections += 1;
  }

  #probeLater(): void {
    const { clock } = this.#deps;
    if (this.#away !== undefined)
      this.#away.timer = clock.after(this.#retryAt - clock.steady(), () => this.#probeNow());
  }

  #probeNow(): void {
    const { clock, tasks, probe } = this.#deps;
    const away = this.#away;
    away?.timer?.cancel();
    if (away === undefined) return;
    away.timer = undefined;
    tasks.run('reach an instance again', async (signal) => {
      const reached = await abortable(probe(), signal).then(
        () => true,
        () => false, // it stays left out
      );
      if (this.#away !== away) return;
      if (reached) {
        this.succeeded();
        return;
      }
      this.#eject(clock.steady());
      this.#probeLater();
    });
  }

  #endProbing(): void {
    this.#away?.timer?.cancel();
    this.#away = undefined;
  }
}
