/** What secondaries copy from the primary, each a table. */
export const CONFIG_ENTRIES = 'config-entries';
export const ACL_POLICIES = 'acl-policies';
export const ACL_ROLES = 'acl-roles';
export const ACL_TOKENS = 'acl-tokens';
export type ReplicatedKindName = typeof CONFIG_ENTRIES | typeof ACL_POLICIES | typeof ACL_ROLES | typeof ACL_TOKENS;

/** GET /v1/internal/replication */
export type ReplicationState = 'off' | 'connecting' | 'snapshot' | 'following' | 'stalled' | 'refused';

export interface QuarantinedEntry {
  readonly Key: string;
  readonly Revision: number;
  readonly Error: string;
  readonly Since: string;
}

export interface KindReplication {
  readonly Kind: string;
  readonly State: ReplicationState;
  /** Why it is stalled or refused; '' otherwise. */
  readonly Reason: string;
  readonly SourceDatacenter: string;
  /** Newest revision of the source that was applied here. */
  readonly AppliedRevision: number;
  /** Newest revision of the source that is known here. */
  readonly SourceRevision: number;
  readonly LagRevisions: number;
  readonly LagSeconds: number;
  readonly LastError: string;
  /** '' when there was none. */
  readonly LastErrorAt: string;
  readonly LastSuccess: string;
  readonly Quarantined: readonly QuarantinedEntry[];
}

export interface ReplicationStatus {
  readonly Datacenter: string;
  readonly PrimaryDatacenter: string;
  readonly Primary: boolean;
  /** What the replication token lacks in the primary; '' when it suffices. */
  readonly TokenProblem: string;
  readonly Kinds: readonly KindReplication[];
}
