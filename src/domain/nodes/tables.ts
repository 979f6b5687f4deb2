import type { Store } from '../../store/store.ts';
import { joinKey, type Table } from '../../store/table.ts';

export type NodeRole = 'server' | 'client';
export type MemberStatus = 'alive' | 'failed' | 'left';

/** A node that has, or had, an agent in this datacenter. */
export interface MemberRow {
  readonly Node: string;
  readonly ID: string;
  readonly Role: NodeRole;
  readonly Addr: string;
  /** Where it is knocked at; 0 for a client agent, which nobody knocks at. */
  readonly Port: number;
  readonly Tags: Readonly<Record<string, string>>;
  readonly Status: MemberStatus;
  /** When the status began, milliseconds since the epoch. */
  readonly Since: number;
}

/** Proof that a node's agent lives: hangs on a lease of the server that holds the session. */
export interface SessionRow {
  readonly Node: string;
  readonly ID: string;
  /** Tells this session from a later one of the same node. */
  readonly Session: string;
  /** Name of the server that holds it; a server holds its own. */
  readonly Server: string;
}

export interface NodeTables {
  readonly members: Table<MemberRow>;
  readonly sessions: Table<SessionRow>;
}

/** Names are compared without regard to case. */
export function memberKey(node: string): string {
  return joinKey(node.toLowerCase());
}

export function createNodeTables(store: Pick<Store, 'table'>): NodeTables {
  return {
    members: store.table<MemberRow>({ name: 'members', key: ({ Node }) => memberKey(Node) }),
    sessions: store.table<SessionRow>({ name: 'sessions', key: ({ Node }) => memberKey(Node) }),
  };
}
