import type {
  AclPolicy,
  AclPolicyListed,
  AclReplicationStatus,
  AclRole,
  AclToken,
  AclTokenListArgs,
  AclTokenListed,
} from '../../model/acl.ts';
import type { Autonomy } from '../../model/autonomy.ts';
import type { CaConfiguration, CaRoots, RotationStatus } from '../../model/ca.ts';
import type { CatalogNode, CatalogService, HealthCheck, NodeService, ServiceInstance } from '../../model/catalog.ts';
import type { ConfigEntry } from '../../model/config-entry.ts';
import type { DatacenterCoordinates, NodeCoordinate } from '../../model/coordinate.ts';
import type { ChainArgs, DiscoveryChain } from '../../model/discovery-chain.ts';
import type { Explanation, Intention, Verdicts } from '../../model/intention.ts';
import type { Member } from '../../model/member.ts';
import type {
  ExecuteArgs,
  PreparedQuery,
  QueryExecution,
  QueryExplanation,
  QueryForecast,
  QueryInstance,
  QuerySelection,
} from '../../model/prepared-query.ts';
import type { ReplicationStatus } from '../../model/replication.ts';
import type { CaStatus, HealthServiceArgs, IntentionPair, ListArgs, ServiceArgs } from '../../model/requests.ts';
import type { Grants } from '../../model/rights.ts';
import type { ListedInvitation } from '../../model/transport.ts';
import type { ResolveArgs, ResolvedUpstream } from '../../model/upstream.ts';

/**
 * Everything that can be read, each by one name. A read can be asked for once, blocked on until it changes, or
 * watched: all three are the same definition on the server.
 */
export interface Reads {
  'status.leader': { args: Record<never, never>; value: string };
  'status.peers': { args: Record<never, never>; value: readonly string[] };
  /** Known datacenters, nearest first. */
  'catalog.datacenters': { args: Record<never, never>; value: readonly string[] };
  'catalog.nodes': { args: ListArgs; value: readonly CatalogNode[] };
  'catalog.services': { args: ListArgs; value: Readonly<Record<string, readonly string[]>> };
  'catalog.service': { args: ServiceArgs; value: readonly CatalogService[] };
  'catalog.node': {
    args: { readonly node: string; readonly filter?: string };
    value: { readonly Node: CatalogNode; readonly Services: Readonly<Record<string, NodeService>> } | null;
  };
  'catalog.nodeServices': {
    args: { readonly node: string; readonly filter?: string };
    value: { readonly Node: CatalogNode; readonly Services: readonly NodeService[] } | null;
  };
  /** Names of the nodes with an address, and of the services whose own address it is. */
  'catalog.byAddress': {
    args: { readonly address: string };
    value: { readonly Nodes: readonly string[]; readonly Services: readonly string[] };
  };
  'health.node': { args: { readonly node: string; readonly filter?: string }; value: readonly HealthCheck[] };
  'health.checks': { args: ListArgs & { readonly service: string }; value: readonly HealthCheck[] };
  'health.service': { args: HealthServiceArgs; value: readonly ServiceInstance[] };
  'health.state': { args: ListArgs & { readonly state: string }; value: readonly HealthCheck[] };
  'config.get': { args: { readonly kind: string; readonly name: string }; value: ConfigEntry };
  'config.list': { args: { readonly kind: string; readonly filter?: string }; value: readonly ConfigEntry[] };
  'intentions.list': { args: { readonly filter?: string }; value: readonly Intention[] };
  'intentions.get': { args: { readonly id: string }; value: Intention };
  'intentions.exact': { args: IntentionPair; value: Intention };
  'intentions.match': {
    args: { readonly by: 'source' | 'destination'; readonly names: readonly string[] };
    value: Readonly<Record<string, readonly Intention[]>>;
  };
  'intentions.check': { args: IntentionPair; value: { readonly Allowed: boolean } };
  'intentions.explain': { args: IntentionPair; value: Explanation };
  /** Compiled authorization for one destination in the answering datacenter: what sidecars follow. */
  'intentions.verdicts': { args: { readonly destination: string }; value: Verdicts };
  'ca.roots': { args: Record<never, never>; value: CaRoots };
  'ca.config': { args: Record<never, never>; value: CaConfiguration };
  'ca.rotation': { args: Record<never, never>; value: RotationStatus };
  /** The CA's own condition: state, expiry of root and intermediate in seconds, last renewal error. */
  'ca.status': { args: Record<never, never>; value: CaStatus };
  /** How long the answering datacenter could run alone. */
  'federation.autonomy': { args: Record<never, never>; value: Autonomy };
  'replication.status': { args: Record<never, never>; value: ReplicationStatus };
  /** How old what is copied may be, milliseconds by kind; of the server that leads. */
  'replication.ages': { args: Record<never, never>; value: Readonly<Record<string, number>> };
  /** Answered once a revision of the primary is readable: with the revision at which it is here. */
  'replication.applied': { args: { readonly kind: string; readonly revision: number }; value: number };
  /** Invitations of the answering datacenter, without their secrets. */
  'transport.invitations': { args: Record<never, never>; value: readonly ListedInvitation[] };
  /** The agents of the datacenter, servers and clients. */
  'members.lan': { args: Record<never, never>; value: readonly Member[] };
  'members.wan': { args: Record<never, never>; value: readonly Member[] };
  'operator.raftConfiguration': { args: Record<never, never>; value: unknown };
  'operator.autopilotHealth': { args: Record<never, never>; value: unknown };
  'coordinate.datacenters': { args: Record<never, never>; value: readonly DatacenterCoordinates[] };
  'coordinate.nodes': { args: { readonly segment?: string }; value: readonly NodeCoordinate[] };
  'coordinate.node': { args: { readonly node: string; readonly segment?: string }; value: readonly NodeCoordinate[] };
  'discoveryChain.get': { args: ChainArgs; value: { readonly Chain: DiscoveryChain } };
  'queries.list': { args: Record<never, never>; value: readonly PreparedQuery[] };
  'queries.get': { args: { readonly id: string }; value: readonly PreparedQuery[] };
  /** The query that an ID or a name leads to, with its template filled in. */
  'queries.explain': { args: Pick<ExecuteArgs, 'query' | 'agent'>; value: QueryExplanation };
  /** Healthy instances in the answering datacenter, failing over to others; watched, it follows all of them. */
  'queries.execute': { args: ExecuteArgs; value: QueryExecution };
  /** Who would serve if a datacenter were lost. */
  'queries.forecast': { args: ExecuteArgs; value: QueryForecast };
  /** The part of a query that each datacenter answers for itself. */
  'queries.candidates': { args: QuerySelection; value: readonly QueryInstance[] };
  /** Where a sidecar's upstream leads. Watched, never read. */
  'upstreams.resolve': { args: ResolveArgs; value: ResolvedUpstream };
  'internal.uiServices': { args: ListArgs; value: unknown };
  'internal.uiNodes': { args: ListArgs; value: unknown };
  'acl.tokens': { args: AclTokenListArgs; value: readonly AclTokenListed[] };
  'acl.token': { args: { readonly accessor: string }; value: AclToken };
  /** The token of the call itself. */
  'acl.tokenSelf': { args: Record<never, never>; value: AclToken };
  /** What the token of the call may do in this datacenter: for agents, which decide about their own endpoints. */
  'acl.grants': { args: Record<never, never>; value: Grants };
  'acl.policies': { args: Record<never, never>; value: readonly AclPolicyListed[] };
  'acl.policy': { args: { readonly id: string } | { readonly name: string }; value: AclPolicy };
  'acl.roles': { args: { readonly policy?: string }; value: readonly AclRole[] };
  'acl.role': { args: { readonly id: string } | { readonly name: string }; value: AclRole };
  /** What the call's token lacks to replicate these tables (and `certificates`). */
  'acl.missingForReplication': {
    args: { readonly kinds: readonly string[] };
    value: { readonly Problem: string };
  };
  'acl.replication': { args: Record<never, never>; value: AclReplicationStatus };
}

export type ReadName = keyof Reads;
export type ReadArgs<N extends ReadName> = Reads[N]['args'];
export type ReadValue<N extends ReadName> = Reads[N]['value'];
