import { IsthmusError } from '../../lib/errors.ts';
import { abortReason } from '../../lib/signals.ts';
import { createTaskGroup, type TaskGroup } from '../../lib/task.ts';
import type { ExecuteArgs, QueryExecution, QueryInstance } from '../../model/prepared-query.ts';
import type { QueryEntity } from './definition.ts';
import {
  type ExecuteDeps,
  type ExecuteOptions,
  executionOf,
  limited,
  nearFirst,
  nearNode,
  PATIENCE_MS,
} from './execute.ts';
import { planOf, type Step } from './plan.ts';

/** One place that is followed. */
interface Followed {
  nodes: readonly QueryInstance[] | undefined;
  /** It had its time to answer. */
  late: boolean;
  readonly tasks: TaskGroup;
}

interface Verdict {
  readonly step: Step | undefined;
  readonly failovers: number;
  readonly nodes: readonly QueryInstance[];
}

export interface FollowDeps extends ExecuteDeps {
  /** The query as it is now, filled in for what was asked; throws `not_found`. */
  readonly query: () => QueryEntity;
  /** Calls `listener` after every change of any query; returns what ends it. */
  readonly onQueries: (listener: () => void) => () => void;
}

/**
 * What the query leads to now, and after every change: of the query, of instances, of datacenters that come and go.
 * Only the places up to the first healthy one are followed.
 */
export async function* followExecution(
  deps: FollowDeps,
  args: ExecuteArgs,
  options: ExecuteOptions,
): AsyncGenerator<QueryExecution, never, void> {
  const following = new Following(deps, args, options);
  const { signal } = options;
  let told = '';
  let toldNodes: unknown;
  try {
    for (;;) {
      const { query, verdict } = following.judge();
      if (verdict !== undefined) {
        const state = JSON.stringify([verdict.step, verdict.failovers, query.DNS, query.Service.Near]);
        if (state !== told || verdict.nodes !== toldNodes) {
          told = state;
          toldNodes = verdict.nodes;
          const node = verdict.step?.datacenter === deps.mesh.datacenter ? nearNode(query, args) : '';
          const nodes = node === '' ? verdict.nodes : nearFirst(verdict.nodes, node);
          const execution = executionOf(deps.mesh, query, verdict, limited(nodes, args));
          yield node === '' ? execution : { ...execution, Near: node };
        }
      }
      await following.changed(signal);
    }
  } finally {
    await following.close();
  }
}

class Following {
  readonly #deps: FollowDeps;
  readonly #args: ExecuteArgs;
  readonly #options: ExecuteOptions;
  readonly #places = new Map<string, Followed>();
  readonly #closing = new Set<Promise<void>>();
  readonly #undo: readonly (() => void)[];
  #dirty = false;
  #wake: (() => void) | undefined;

  constructor(deps: FollowDeps, args: ExecuteArgs, options: ExecuteOptions) {
    this.#deps = deps;
    this.#args = args;
    this.#options = options;
    const poke = (): void => this.#poke();
    this.#undo = [deps.onQueries(poke), deps.mesh.onChange(poke)];
  }

  /** The verdict is undefined as long as a place that comes first has not answered. */
  judge(): { readonly query: QueryEntity; readonly verdict: Verdict | undefined } {
    this.#dirty = false;
    const { mesh } = this.#deps;
    const query = this.#deps.query();
    const token = query.Token || this.#options.token || '';
    const wanted = new Set<string>();
    let verdict: Verdict | undefined = { step: undefined, failovers: -1, nodes: [] };
    let tried = 0;
    for (const step of planOf(query, mesh, this.#args.connect === true)) {
      tried += 1;
      const key = JSON.stringify([step, token]);
      wanted.add(key);
      const place = this.#places.get(key) ?? this.#follow(key, step, token);
      const here = step.datacenter === mesh.datacenter;
      if (!here && !mesh.reaches(step.datacenter)) continue;
      if (place.nodes === undefined) {
        if (place.late) continue;
        verdict = undefined;
        break;
      }
      verdict = { step, failovers: tried - 1, nodes: place.nodes };
      if (place.nodes.length > 0) break;
    }
    for (const [key, place] of this.#places) if (!wanted.has(key)) this.#end(key, place);
    return {
      query,
      verdict: verdict === undefined || verdict.nodes.length > 0 ? verdict : { ...verdict, failovers: tried - 1 },
    };
  }

  async changed(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw abortReason(signal);
    if (this.#dirty) return;
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => reject(abortReason(signal));
      signal.addEventListener('abort', onAbort, { once: true });
      this.#wake = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
    });
  }

  async close(): Promise<void> {
    for (const undo of this.#undo) undo();
    for (const [key, place] of this.#places) this.#end(key, place);
    await Promise.all(this.#closing);
  }

  #poke(): void {
    this.#dirty = true;
    this.#wake?.();
    this.#wake = undefined;
  }

  #follow(key: string, { datacenter, selection }: Step, token: string): Followed {
    const { mesh, clock, log } = this.#deps;
    const tasks = createTaskGroup({
      clock,
      onError: (_task, error) => {
        log.debug('following a prepared query failed', { datacenter, error: error.message });
        place.nodes = undefined;
        place.late = true;
        this.#poke();
      },
    });
    const place: Followed = { nodes: undefined, late: false, tasks };
    this.#places.set(key, place);
    tasks.loop(datacenter, { backoff: { baseMs: 100, maxMs: PATIENCE_MS } }, async (signal, progress) => {
      const patience = clock.after(PATIENCE_MS, () => {
        place.late = true;
        this.#poke();
      });
      try {
        for await (const nodes of mesh.follow(datacenter, selection, { signal, ...(token === '' ? {} : { token }) })) {
          patience.cancel();
          progress();
          place.nodes = nodes;
          this.#poke();
        }
      } finally {
        patience.cancel();
      }
      throw new IsthmusError('unavailable', 'the watch ended');
    });
    return place;
  }

  #end(key: string, place: Followed): void {
    this.#places.delete(key);
    const stopped = place.tasks.stop().finally(() => this.#closing.delete(stopped));
    this.#closing.add(stopped);
  }
}
