import { ChangeSignal } from '../../lib/change-signal.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup, type TaskGroup } from '../../lib/task.ts';
import { KEPT_EVENTS, type UserEvent } from '../../model/event.ts';
import { compilePattern } from '../../model/filter/pattern/pattern.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Logger } from '../../telemetry/types.ts';

export interface UserEventsDeps {
  readonly contract: Pick<ServerContract, 'watch'>;
  readonly node: string;
  /** Of this node, for the filters. */
  readonly services: () => readonly {
    readonly ID: string;
    readonly Service: string;
    readonly Tags: readonly string[];
  }[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** The events that an agent has: those for its node, fired since it started. */
export interface EventSource {
  /** Oldest first. */
  list(): readonly UserEvent[];
  /** Resolves when another one has come; rejects when `signal` aborts. */
  next(signal: AbortSignal): Promise<void>;
}

/**
 * Follows the events of the datacenter. What was fired before the agent started is not for it, so that a restart does
 * not carry out an old event again; what was fired while it had no server is, as long as the servers keep it.
 */
export class UserEvents implements EventSource, Service {
  readonly name = 'user events';
  readonly #deps: UserEventsDeps;
  readonly #tasks: TaskGroup;
  readonly #changed = new ChangeSignal();
  readonly #kept: UserEvent[] = [];
  /** IDs in the newest answer. */
  #seen: ReadonlySet<string> | undefined;

  constructor(deps: UserEventsDeps) {
    this.#deps = deps;
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (task, error, retryInMs) =>
        deps.log.debug('following events failed', { task, error: error.message, retryInMs }),
    });
  }

  async start(): Promise<void> {
    this.#tasks.loop('events of the datacenter', { pauseMs: 1_000 }, async (signal, progress) => {
      for await (const { value } of this.#deps.contract.watch('events.recent', {}, { signal })) {
        progress();
        this.#take(value);
      }
    });
  }

  async stop(): Promise<void> {
    await this.#tasks.stop();
  }

  list(): readonly UserEvent[] {
    return [...this.#kept];
  }

  next(signal: AbortSignal): Promise<void> {
    return this.#changed.next(signal);
  }

  #take(recent: readonly UserEvent[]): void {
    const seen = this.#seen;
    this.#seen = new Set(recent.map(({ ID }) => ID));
    if (seen === undefined) return;
    const fresh = recent.filter((event) => !seen.has(event.ID) && this.#isForThis(event));
    if (fresh.length === 0) return;
    for (const { Name, ID } of fresh) this.#deps.log.debug('event', { event: Name, id: ID });
    this.#kept.push(...fresh);
    this.#kept.splice(0, Math.max(0, this.#kept.length - KEPT_EVENTS));
    this.#changed.notify();
  }

  #isForThis({ NodeFilter, ServiceFilter, TagFilter }: UserEvent): boolean {
    const { node, services } = this.#deps;
    try {
      if (NodeFilter !== '' && !compilePattern(NodeFilter)(node)) return false;
      if (ServiceFilter === '') return true;
      const isService = compilePattern(ServiceFilter);
      const isTag = TagFilter === '' ? undefined : compilePattern(TagFilter);
      return services().some(
        ({ ID, Service, Tags }) =>
          (isService(Service) || isService(ID)) && (isTag === undefined || Tags.some((tag) => isTag(tag))),
      );
    } catch {
      return false; // a pattern that this version can't read
    }
  }
}
