import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import { sleep, withDeadline } from '../../lib/signals.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { HolderReport } from '../../model/ca.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { RootsSource } from './roots-cache.ts';

/** Something behind this agent that verifies certificates: a sidecar that follows its configuration. */
export interface Verifier {
  readonly name: string;
  /** Roots that it has acknowledged; undefined before its first acknowledgement. */
  readonly rootIds: readonly string[] | undefined;
}

/** Where verifiers are known. */
export interface VerifierSource {
  verifiers(): readonly Verifier[];
  onChange(listener: () => void): () => void;
}

/** Where leaves are known. */
export interface LeafInventory {
  leavesByRoot(): Readonly<Record<string, number>>;
  onChange(listener: () => void): () => void;
}

export interface HolderReporterDeps {
  readonly contract: Pick<ServerContract, 'write'>;
  readonly roots: RootsSource;
  readonly leaves: LeafInventory;
  readonly verifiers: VerifierSource;
  /** This agent's node name. */
  readonly node: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly token?: string;
}

export interface HolderReporterOptions {
  /** A report is made at least this often, milliseconds. Default 30,000. */
  readonly intervalMs?: number;
  /** In a rotation, the first change is reported at once, those after it this long apart, milliseconds. Default 20. */
  readonly collectMs?: number;
}

const REPORT_DEADLINE_MS = 5_000;

/**
 * Tells the server which roots this agent's verifiers hold and under which its leaves are: at once while a rotation
 * is under way, every half minute otherwise.
 */
export class HolderReporter implements Service {
  readonly name = 'holder reporter';
  readonly #deps: HolderReporterDeps;
  readonly #intervalMs: number;
  readonly #collectMs: number;
  readonly #tasks;
  readonly #undo: (() => void)[] = [];
  #reportedRoots = '';
  #reportedAt = Number.NEGATIVE_INFINITY;
  #due = false;
  #wake: (() => void) | undefined;

  constructor(deps: HolderReporterDeps, options: HolderReporterOptions = {}) {
    this.#deps = deps;
    this.#intervalMs = options.intervalMs ?? 30_000;
    this.#collectMs = options.collectMs ?? 20;
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (_name, error, retryInMs) =>
        deps.log.warn('reporting the roots held here failed', { error: error.message, retryInMs }),
    });
  }

  async start(): Promise<void> {
    const { roots, leaves, verifiers } = this.#deps;
    const onChange = (): void => this.#onChange();
    this.#undo.push(roots.held.subscribe(onChange), leaves.onChange(onChange), verifiers.onChange(onChange));
    this.#tasks.loop('report', { backoff: { baseMs: 200, maxMs: 10_000 } }, async (signal) => {
      await this.#nextTurn(signal);
      await this.#report(signal);
    });
    this.#onChange();
  }

  async stop(): Promise<void> {
    for (const undo of this.#undo.splice(0)) undo();
    await this.#tasks.stop();
  }

  /** What would be reported now. */
  report(): HolderReport {
    const { roots, leaves, verifiers, node } = this.#deps;
    const held = roots.held.current?.value.Roots.map((root) => root.ID) ?? [];
    const behind = verifiers.verifiers();
    const everywhere = held.filter((id) => behind.every(({ rootIds }) => rootIds?.includes(id) === true));
    const pending = behind.filter(({ rootIds }) => !held.every((id) => rootIds?.includes(id) === true));
    return {
      Holder: node,
      Verifiers: behind.length + 1, // the agent itself holds what it follows
      RootIDs: everywhere,
      Pending: pending.map(({ name }) => name).sort(),
      LeavesByRoot: leaves.leavesByRoot(),
    };
  }

  /** Only while roots change, or several are trusted, does each change matter at once. */
  #onChange(): void {
    const ids = this.#rootIds();
    if (ids === '' || (ids === this.#reportedRoots && !ids.includes(' '))) return;
    this.#due = true;
    this.#wake?.();
  }

  #rootIds(): string {
    const roots = this.#deps.roots.held.current?.value;
    return roots === undefined ? '' : roots.Roots.map((root) => (root.Active ? `${root.ID}!` : root.ID)).join(' ');
  }

  async #nextTurn(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    if (!this.#due) {
      const turn = withDeadline(clock, this.#intervalMs, 'the pause between reports', signal);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        turn.signal.addEventListener('abort', () => resolve(), { once: true });
      });
      this.#wake = undefined;
      turn.release();
    }
    const rest = this.#reportedAt + this.#collectMs - clock.steady();
    if (this.#due && rest > 0) await sleep(clock, Math.min(rest, this.#collectMs), signal);
  }

  async #report(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#deps.roots.held.current === undefined) return;
    this.#due = false;
    this.#reportedAt = this.#deps.clock.steady();
    const ids = this.#rootIds();
    const limit = withDeadline(this.#deps.clock, REPORT_DEADLINE_MS, 'reporting the roots held here', signal);
    const { token } = this.#deps;
    try {
      const options = token === undefined ? { signal: limit.signal } : { signal: limit.signal, token };
      await this.#deps.contract.write('ca.reportHolder', this.report(), options);
      this.#reportedRoots = ids;
    } catch (error) {
      this.#due = true; // again after the backoff
      throw error;
    } finally {
      limit.release();
    }
  }
}
