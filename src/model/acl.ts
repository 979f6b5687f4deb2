import type { TemplatedPolicy } from './templated-policies.ts';

/** API types of tokens, policies and roles. */

export const ANONYMOUS_ID = '00000000-0000-0000-0000-000000000002';
export const GLOBAL_MANAGEMENT_ID = '00000000-0000-0000-0000-000000000001';
export const GLOBAL_READ_ONLY_ID = '00000000-0000-0000-0000-000000000002';
/** The secret by which Consul's tables know the anonymous token. */
export const ANONYMOUS_SECRET = 'anonymous';
/**
 * A role that every datacenter knows without its being written: it suffices for replication, and for nothing else that
 * writes.
 */
export const REPLICATION_ROLE = 'builtin/replication';
export const REPLICATION_ROLE_ID = '00000000-0000-0000-0000-000000000003';

export interface AclLink {
  readonly ID: string;
  readonly Name?: string;
}

export interface ServiceIdentity {
  readonly ServiceName: string;
  /** Absent means every datacenter. */
  readonly Datacenters?: readonly string[];
}

export interface NodeIdentity {
  readonly NodeName: string;
  readonly Datacenter: string;
}

export interface AclPolicy {
  readonly ID: string;
  readonly Name: string;
  readonly Description: string;
  readonly Rules: string;
  /** Absent means every datacenter. */
  readonly Datacenters?: readonly string[];
  readonly Hash: string;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

/** A policy in a list: without its rules. */
export type AclPolicyListed = Omit<AclPolicy, 'Rules' | 'Datacenters'> & {
  readonly Datacenters: readonly string[] | null;
};

/** What tokens and roles grant. */
export interface AclGrants {
  readonly Policies?: readonly AclLink[];
  readonly Roles?: readonly AclLink[];
  readonly ServiceIdentities?: readonly ServiceIdentity[];
  readonly NodeIdentities?: readonly NodeIdentity[];
  readonly TemplatedPolicies?: readonly TemplatedPolicy[];
}

export interface AclRole extends Omit<AclGrants, 'Roles'> {
  readonly ID: string;
  readonly Name: string;
  readonly Description: string;
  readonly Hash: string;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

export interface AclToken extends AclGrants {
  readonly AccessorID: string;
  readonly SecretID: string;
  readonly Description: string;
  readonly Local: boolean;
  readonly ExpirationTime?: string;
  readonly CreateTime: string;
  readonly Hash: string;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

/** A token in a list: without its secret. */
export type AclTokenListed = Omit<AclToken, 'SecretID'>;

/** The answer of /v1/acl/bootstrap. */
export type AclBootstrap = { readonly ID: string } & AclToken;

export interface AclPolicyInput {
  readonly ID?: string;
  readonly Name?: string;
  readonly Description?: string;
  readonly Rules?: string;
  readonly Datacenters?: readonly string[];
}

interface LinkInput {
  readonly ID?: string;
  readonly Name?: string;
}

interface GrantsInput {
  readonly Policies?: readonly LinkInput[];
  readonly Roles?: readonly LinkInput[];
  readonly ServiceIdentities?: readonly Partial<ServiceIdentity>[];
  readonly NodeIdentities?: readonly Partial<NodeIdentity>[];
  readonly TemplatedPolicies?: readonly Partial<TemplatedPolicy>[];
}

export interface AclRoleInput extends Omit<GrantsInput, 'Roles'> {
  readonly ID?: string;
  readonly Name?: string;
  readonly Description?: string;
}

export interface AclTokenInput extends GrantsInput {
  readonly AccessorID?: string;
  readonly SecretID?: string;
  readonly Description?: string;
  readonly Local?: boolean;
  readonly ExpirationTime?: string;
  /** Milliseconds. */
  readonly ExpirationTTL?: number;
}

export interface AclTokenListArgs {
  readonly policy?: string;
  readonly role?: string;
  /** Of a service identity, also of one in a template. */
  readonly serviceName?: string;
}

/** GET /v1/acl/replication */
export interface AclReplicationStatus {
  readonly Enabled: boolean;
  readonly Running: boolean;
  readonly SourceDatacenter: string;
  readonly ReplicationType: string;
  readonly ReplicatedIndex: number;
  readonly ReplicatedRoleIndex: number;
  readonly ReplicatedTokenIndex: number;
  readonly LastSuccess: string;
  readonly LastError: string;
}
