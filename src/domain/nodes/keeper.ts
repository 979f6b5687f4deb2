import type { Clock } from '../../lib/clock.ts';
import { sleep } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { Store } from '../../store/store.ts';
import type { Logger } from '../../telemetry/types.ts';
import { createMemberAges } from './member-ages.ts';
import type { NodeCatalog, Nodes } from './nodes.ts';
import { type MemberRow, memberKey, type NodeSessionRow } from './tables.ts';

export interface NodeKeeperDeps {
  readonly nodes: Nodes;
  /** Where lost nodes are written down; a fenced one where several servers could do it. */
  readonly store: Pick<Store, 'transact'>;
  /** Commits as the view shows them. */
  readonly onCommit: Store['onCommit'];
  readonly catalog: NodeCatalog;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface NodeKeeperOptions {
  /**
   * Nodes without a session count as lost only this long after the keeper began: they may be on their way back.
   * Milliseconds.
   */
  readonly graceMs: number;
  /** A failed node is removed after this, and not before the grace, milliseconds. */
  readonly reconnectTimeoutMs: number;
}

/** A node that left is listed for this long, milliseconds, as in Consul. */
const LEFT_LISTED_MS = 24 * 3_600_000;
/** Longest pause between two looks at what is due, milliseconds. */
const SWEEP_MS = 60_000;
const SHORTEST_MS = 50;
/** After a restore all sessions are gone, until their servers have written them anew a moment later. Milliseconds. */
const EVALUATE_AFTER_MS = 1_000;

/**
 * Marks nodes whose session ended with the lease of its server, and removes those that stayed away. It runs on one
 * server of a datacenter; on two it would do no harm: what is written down is written once.
 */
export function keepNodes(deps: NodeKeeperDeps, options: NodeKeeperOptions, tasks: TaskGroup): void {
  const { nodes, store, catalog, clock, log } = deps;
  const { members, nodeSessions } = nodes.tables;
  const evaluateFrom = clock.steady() + options.graceMs;

  const evaluate = async (node: string): Promise<void> => {
    if (nodeSessions.get(memberKey(node)) !== undefined || nodes.member(node)?.Status !== 'alive') return;
    const { result } = await store.transact((tx) => {
      const member = tx.get(members, memberKey(node));
      if (tx.get(nodeSessions, memberKey(node)) !== undefined || member?.Status !== 'alive') return false;
      tx.put(members, { ...member, Status: 'failed', Since: clock.now() });
      catalog.setLost(tx, node);
      return true;
    });
    if (result) log.warn('node lost: its session ended with the server that held it', { node });
  };

  const ages = createMemberAges(clock);
  for (const { value } of members.list()) ages.see(value); // before a jump can come between
  /** By the steady clock. */
  const dueAt = (row: MemberRow): number => {
    const limit = { failed: options.reconnectTimeoutMs, left: LEFT_LISTED_MS, alive: Number.POSITIVE_INFINITY };
    return Math.max(ages.see(row) + limit[row.Status], evaluateFrom);
  };
  const nextPause = (): number => {
    const now = clock.steady();
    let next = now + Math.min(SWEEP_MS, options.reconnectTimeoutMs);
    if (evaluateFrom > now) next = Math.min(next, evaluateFrom);
    for (const { value } of members.list()) next = Math.min(next, dueAt(value));
    return Math.max(SHORTEST_MS, next - now);
  };

  const sweep = async (): Promise<void> => {
    const now = clock.steady();
    for (const { value } of members.list()) {
      if (dueAt(value) <= now) {
        await nodes.forget(value.Node);
        log.info('node removed', { node: value.Node, status: value.Status });
      } else if (clock.steady() >= evaluateFrom) await evaluate(value.Node);
    }
  };

  const end = deps.onCommit(({ changes }) => {
    for (const { table, before, after } of changes) {
      if (table === members.spec.name) ages.changed(before?.value as MemberRow, after?.value as MemberRow);
      if (table !== nodeSessions.spec.name || before === undefined || after !== undefined) continue;
      if (clock.steady() < evaluateFrom) continue; // the sweep looks at all of them then
      const { Node } = before.value as NodeSessionRow;
      tasks.run(`evaluate ${Node}`, async (signal) => {
        await sleep(clock, EVALUATE_AFTER_MS, signal);
        await evaluate(Node);
      });
    }
  });
  tasks.signal.addEventListener('abort', end, { once: true });
  tasks.loop('reap nodes', { pauseMs: nextPause }, sweep);
}
