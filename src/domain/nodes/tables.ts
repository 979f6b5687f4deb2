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
  /** The agent's own port within the datacenter (`serf_lan`); 0 for a client agent, which is never dialled. */
  readonly Port: number;
  readonly Tags: Readonly<Record<string, string>>;
  readonly Status: MemberStatus;
  /** When the status began, milliseconds since the epoch. */
  readonly Since: number;
  /**
   * SHA-256 of the public key that the node is bound to, hex. Absent for servers, which prove themselves by holding the
   * store; for agents of earlier versions; and once the node has left, when its name is free again.
   */
  readonly Key?: string;
}

/** Proof that a node's agent lives: it is deleted with the lease of the server that holds the session. */
export interface NodeSessionRow {
  readonly Node: string;
  readonly ID: string;
  /** Tells this session from a later one of the same node. */
  readonly Session: string;
  /** Name of the server that holds it; a server holds its own. */
  readonly Server: string;
}

export interface NodeTables {
  readonly members: Table<MemberRow>;
  readonly nodeSessions: Table<NodeSessionRow>;
}

/** Names are compared without regard to case. */
export function memberKey(node: string): string {
  return joinKey(node.toLowerCase());
}

export function createNodeTables(store: Pick<Store, 'table'>): NodeTables {
  return {
    members: store.table<MemberRow>({
      name: 'members',
      key: ({ Node }) => memberKey(Node),
      indexes: { id: ({ ID }) => [ID.toLowerCase()] },
    }),
    // The stored name is older: servers of an earlier version may run beside these: their leader takes a node without a
    // row for lost.
    nodeSessions: store.table<NodeSessionRow>({ name: 'sessions', key: ({ Node }) => memberKey(Node) }),
  };
}
