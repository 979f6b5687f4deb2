import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../lib/clock.ts';
import { LAN_PROTOCOL, type Member } from '../../model/member.ts';
import type { Read } from '../../store/read.ts';
import type { AppliedCommit, Store, Tx } from '../../store/store.ts';
import { type Autopilot, createAutopilot } from './autopilot.ts';
import { checkClaim, type NodeClaimant } from './claim.ts';
import { createNodeTables, type MemberRow, type MemberStatus, memberKey, type NodeTables } from './tables.ts';

/** What a node's agent says of it. */
export interface NodeAgentInfo extends Pick<MemberRow, 'Node' | 'ID' | 'Role' | 'Addr' | 'Port' | 'Tags'> {
  readonly TaggedAddresses: Readonly<Record<string, string>>;
  readonly Meta: Readonly<Record<string, string>>;
}

/** What nodes need of the catalog. */
export interface NodeCatalog {
  /** Writes the node's row and whether its agent lives; may throw `rejected`. */
  setAlive(tx: Tx, node: NodeAgentInfo): void;
  /** The node, if it is there, has lost its agent. */
  setLost(tx: Tx, node: string): void;
  /** Removes the node with all that is registered on it. */
  remove(tx: Tx, node: string): void;
  /** Name of the node that is known by this ID. */
  nameOf(id: string): string | undefined;
}

export interface NodesDeps {
  readonly store: Store;
  readonly catalog: NodeCatalog;
  /** Name of this server. */
  readonly server: string;
  readonly clock: Clock;
}

/** A server that lives, as agents need to know it. */
export interface LivingServer {
  readonly node: string;
  readonly nodeId: string;
  readonly address: string;
  readonly port: number;
}

/** Which nodes have a living agent, and which had one. */
export interface Nodes {
  readonly tables: NodeTables;
  readonly reads: { readonly 'members.lan': Read<Record<never, never>, readonly Member[]> } & Autopilot['reads'];
  readonly autopilot: Autopilot;
  /**
   * The node has a session with this server from here on, and is bound to the key that was proved. Throws `rejected`,
   * with what to do, when the node belongs to another one.
   */
  begin(info: NodeAgentInfo, session: string, lease: string, proved?: Proved): Promise<void>;
  /** Nothing was heard of the node's agent for too long. Does nothing when the node has another session by now. */
  lost(node: string, session: string): Promise<boolean>;
  /** The node leaves for good: it is deregistered. Without a session, whichever it has. */
  left(node: string, session?: string): Promise<void>;
  /** Takes a failed or departed node off the list. */
  forget(node: string): Promise<void>;
  member(node: string): MemberRow | undefined;
  /** Names of the nodes with this ID, with an agent or without: who begins a session with it takes their place. */
  withId(id: string): readonly string[];
  members(): readonly Member[];
  servers(): readonly LivingServer[];
  onChange(listener: () => void): () => void;
}

/** What the agent of a session has proved. */
export type Proved = Pick<NodeClaimant, 'key' | 'mayReplace'>;

const STATUS: Readonly<Record<MemberStatus, number>> = { alive: 1, left: 3, failed: 4 };

export function createNodes({ store, catalog, server, clock }: NodesDeps): Nodes {
  const tables = createNodeTables(store);
  const { members, nodeSessions } = tables;
  const autopilot = createAutopilot(store);

  const setStatus = (tx: Tx, node: string, status: MemberStatus): void => {
    const row = tx.get(members, memberKey(node));
    if (row === undefined || row.Status === status) return;
    const { Key, ...unbound } = row;
    const bound = status === 'left' || Key === undefined ? {} : { Key };
    tx.put(members, { ...unbound, ...bound, Status: status, Since: clock.now() });
  };
  const shown = (): readonly Member[] =>
    members.list().map(({ value }) => ({
      Name: value.Node,
      Addr: value.Addr,
      Port: value.Port,
      Tags: value.Tags,
      Status: STATUS[value.Status],
      ...LAN_PROTOCOL,
    }));

  return {
    tables,
    reads: { 'members.lan': { topics: () => ['members'], produce: shown }, ...autopilot.reads },
    autopilot,

    async begin(info, session, lease, proved = {}) {
      const key = memberKey(info.Node);
      await store.transact((tx) => {
        checkClaim(tables, { ...info, ...proved }, tx);
        tx.put(nodeSessions, { Node: info.Node, ID: info.ID, Session: session, Server: server }, lease);
        const known = tx.get(members, key);
        const { TaggedAddresses: _addresses, Meta: _meta, ...own } = info;
        const bound = proved.key === undefined ? {} : { Key: proved.key };
        const row: MemberRow = { ...own, Status: 'alive', Since: clock.now(), ...bound };
        const same = known !== undefined && isDeepStrictEqual({ ...known, Since: 0 }, { ...row, Since: 0 });
        if (!same) tx.put(members, row);
        for (const { key: former } of members.by('id', info.ID.toLowerCase()))
          if (former !== key && tx.get(members, former)?.ID === info.ID) tx.delete(members, former); // it was renamed
        catalog.setAlive(tx, info);
      });
    },

    async lost(node, session) {
      const { result } = await store.transact((tx) => {
        if (tx.get(nodeSessions, memberKey(node))?.Session !== session) return false;
        tx.delete(nodeSessions, memberKey(node));
        setStatus(tx, node, 'failed');
        catalog.setLost(tx, node);
        return true;
      });
      return result;
    },

    async left(node, session) {
      await store.transact((tx) => {
        const held = tx.get(nodeSessions, memberKey(node));
        if (session !== undefined && held?.Session !== session) return;
        if (held !== undefined) tx.delete(nodeSessions, memberKey(node));
        setStatus(tx, node, 'left');
        catalog.remove(tx, node);
      });
    },

    async forget(node) {
      await store.transact((tx) => {
        if (tx.get(nodeSessions, memberKey(node)) !== undefined) return;
        if (tx.row(members, memberKey(node)) !== undefined) tx.delete(members, memberKey(node));
        catalog.remove(tx, node);
      });
    },

    member: (node) => members.get(memberKey(node))?.value,
    withId(id) {
      const staying = members.by('id', id.toLowerCase()).filter(({ value }) => value.Status !== 'left');
      const listed = catalog.nameOf(id);
      return [...staying.map(({ value }) => value.Node), ...(listed === undefined ? [] : [listed])];
    },
    members: shown,
    servers: () =>
      members
        .list()
        .flatMap(({ value }) =>
          value.Role === 'server' && value.Status === 'alive'
            ? [{ node: value.Node, nodeId: value.ID, address: value.Addr, port: Number(value.Tags.port ?? 0) }]
            : [],
        ),
    onChange(listener) {
      return store.onCommit(({ changes }: AppliedCommit) => {
        if (changes.some(({ table }) => table === members.spec.name)) listener();
      });
    },
  };
}
