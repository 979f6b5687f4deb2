import type { LinkStatus } from '../federation/types.ts';
import type { Service } from '../lib/service.ts';
import type { Member } from '../model/member.ts';
import type { Callers } from '../model/rights.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import type { ReadName } from '../rpc/contract/reads.ts';
import type { SnapshotContract } from '../rpc/contract/snapshots.ts';
import type { BoundAddress } from '../rpc/transport/listener.ts';
import type { AgentTokens } from './access/agent-tokens.ts';

/** How an agent reaches the servers of its datacenter: it is one, or it has a session with one. */
export interface Core {
  /** As tokens see it; calls without one get the agent's default. */
  readonly contract: ServerContract;
  /** As tokens see it; calls without one get the agent's default. */
  readonly snapshots: SnapshotContract;
  /** For leaves and roots, which the agent holds whoever asks. */
  readonly trusted: ServerContract;
  readonly tokens: AgentTokens;
  /** Who asks this agent, and what that one may do. */
  readonly callers: Callers;
  /** AccessorID of a token, as far as it is known here; '' otherwise. For records, not for decisions. */
  accessorOf(token: string): string;
  /** Where servers and agents reach it, by listener; none on a client agent. */
  readonly addresses: Readonly<Record<string, BoundAddress>>;
  /** In the order of starting, before the node's own. */
  readonly services: readonly Service[];
  /** The agent as a member of its datacenter. */
  member(): Member;
  members(options: {
    readonly wan: boolean;
    readonly token?: string;
    readonly signal: AbortSignal;
  }): Promise<readonly Member[]>;
  /** How old what the servers know may be, milliseconds: while the primary is away, what it decides ages. */
  ageMs(name: ReadName): number;
  /** Links to other datacenters; a client agent has none. */
  links(): readonly LinkStatus[];
  join(address: string, options: { readonly wan: boolean; readonly signal: AbortSignal }): Promise<void>;
  forceLeave(node: string, options: ForceLeaveOptions): Promise<void>;
  /** Calls `listener` when what the servers know of this node may be old: a session was made, or the store restored. */
  onBehind(listener: () => void): void;
  /** Says goodbye for good; resolves once it is written down. */
  leave(): Promise<void>;
  /** What /v1/agent/self reports about the servers. */
  stats(): Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface ForceLeaveOptions {
  readonly prune: boolean;
  readonly token?: string;
  readonly signal: AbortSignal;
}
