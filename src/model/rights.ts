/** What a token may do: the decisions that everything above the ACL domain asks for. */

export type Resource =
  | 'acl'
  | 'agent'
  | 'event'
  | 'intention'
  | 'key'
  | 'keyring'
  | 'mesh'
  | 'node'
  | 'operator'
  | 'peering'
  | 'query'
  | 'service'
  | 'session';

/** `list` is for keys alone: to see the names below a prefix. */
export type Access = 'read' | 'list' | 'write';

export interface Rights {
  /** True when nothing is refused: lists need no filter then. */
  readonly everything: boolean;
  /** May follow the primary's tables and get a datacenter's CA certificate signed, whatever else it may. */
  readonly replication: boolean;
  /**
   * @param name ignored for acl, keyring, mesh, operator and peering. An intention is named by its destination; '*'
   * asks for any (read) or all (write).
   */
  may(resource: Resource, name: string, access: Access): boolean;
  /** True when no name that begins with `prefix` is refused. */
  mayBelow(resource: Resource, prefix: string, access: Access): boolean;
  /** True when a name that begins with `prefix` may be granted. */
  mayAny(resource: Resource, prefix: string, access: Access): boolean;
  /** True when no name of the resource is refused. */
  mayAll(resource: Resource, access: Access): boolean;
}

/** What rights are made of: how they are carried to another process. */
export interface Grants {
  readonly AccessorID: string;
  readonly Everything: boolean;
  readonly Replication: boolean;
  /** What no rule decides is allowed. */
  readonly DefaultAllow: boolean;
  readonly Rules: readonly GrantRule[];
}

export interface GrantRule {
  readonly resource: Resource;
  /** '' for acl, keyring, mesh, operator and peering. */
  readonly name: string;
  readonly prefix: boolean;
  readonly level: 'deny' | 'read' | 'list' | 'write';
}

/** Who asks, and what that one may do. */
export interface Caller {
  readonly accessor: string;
  readonly rights: Rights;
  /**
   * The token is of the primary, which is away and has said nothing of it: these rights are what `acl.down_policy`
   * leaves.
   */
  readonly undecided?: true;
}

/** Knows tokens by their secrets. '' is a call without one. */
export interface Callers {
  /** What is known here at once. */
  peek(token: string): Caller | undefined;
  /** Throws `permission_denied` when there is no such token. */
  resolve(token: string, signal: AbortSignal): Promise<Caller>;
  /** Calls `listener` when the rights of a token may have changed. */
  onChange(listener: () => void): () => void;
}

/** Where ACLs are off. */
export const ALL_RIGHTS: Rights = {
  everything: true,
  replication: true,
  may: () => true,
  mayBelow: () => true,
  mayAny: () => true,
  mayAll: () => true,
};

/** Where nothing can be decided. */
export const NO_RIGHTS: Rights = {
  everything: false,
  replication: false,
  may: () => false,
  mayBelow: () => false,
  mayAny: () => false,
  mayAll: () => false,
};
