import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import { withDeadline } from '../../lib/signals.ts';
import { createTaskGroup } from '../../lib/task.ts';
import { coordinateAt, DIMENSIONS } from '../../model/coordinate.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Logger } from '../../telemetry/types.ts';

export interface CoordinateReporterDeps {
  readonly node: string;
  /** Smoothed round-trip time to the server of the session, milliseconds; undefined when it is not known. */
  readonly rttMs: () => number | undefined;
  readonly contract: Pick<ServerContract, 'write'>;
  readonly clock: Clock;
  /** Chance in [0, 1): agents don't report in step. */
  readonly random: () => number;
  readonly log: Logger;
}

/** Between two looks at what was measured, milliseconds, plus up to half. */
const LOOK_MS = 30_000;
/** A change below both is noise: it is not worth a write in the store. */
const LEAST_CHANGE_MS = 0.5;
const LEAST_SHARE = 0.25;
const WRITE_MS = 5_000;

/**
 * Tells the servers how far the node is from them, as its session measured it, whenever that has changed. With it `?near=` sorts
 * within the datacenter, and `isthmus rtt` knows nodes.
 */
export class CoordinateReporter implements Service {
  readonly name = 'coordinate of the node';
  readonly #deps: CoordinateReporterDeps;
  readonly #tasks;
  #told: number | undefined;

  constructor(deps: CoordinateReporterDeps) {
    this.#deps = deps;
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (_task, error) => deps.log.debug('the coordinate was not taken', { error: error.message }),
    });
  }

  async start(): Promise<void> {
    const { random } = this.#deps;
    const pauseMs = (): number => LOOK_MS * (this.#told === undefined ? 0.1 : 1 + random() / 2);
    this.#tasks.loop('coordinate', { pauseMs, backoff: { baseMs: LOOK_MS, maxMs: 10 * LOOK_MS } }, (signal) =>
      this.#look(signal),
    );
  }

  async stop(): Promise<void> {
    await this.#tasks.stop();
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { node, contract, clock, rttMs } = this.#deps;
    const now = rttMs();
    if (now === undefined || !this.#matters(now)) return;
    const limit = withDeadline(clock, WRITE_MS, 'telling the coordinate', signal);
    try {
      const Coord = coordinateAt(now, axisOf(node));
      await contract.write('coordinate.update', { Node: node, Segment: '', Coord }, { signal: limit.signal });
      this.#told = now;
    } finally {
      limit.release();
    }
  }

  #matters(now: number): boolean {
    if (this.#told === undefined) return true;
    const change = Math.abs(now - this.#told);
    return change > LEAST_CHANGE_MS && change > LEAST_SHARE * this.#told;
  }
}

/** Two nodes that are near the servers are not taken for near each other: that was not measured. */
function axisOf(node: string): number {
  let sum = 0;
  for (const character of node) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 65_521;
  return sum % DIMENSIONS;
}
