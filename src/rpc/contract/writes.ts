import type {
  AclBootstrap,
  AclPolicy,
  AclPolicyInput,
  AclRole,
  AclRoleInput,
  AclToken,
  AclTokenInput,
} from '../../model/acl.ts';
import type { DatacenterRotation, HolderReport, IssuedCert } from '../../model/ca.ts';
import type { DeregisterRequest, RegisterRequest } from '../../model/catalog.ts';
import type { CoordinateUpdate } from '../../model/coordinate.ts';
import type { Intention } from '../../model/intention.ts';
import type { QueryRequest } from '../../model/prepared-query.ts';
import type { IntentionPair } from '../../model/requests.ts';
import type { InviteArgs, MadeInvitation } from '../../model/transport.ts';

/** Everything that can be changed, each by one name. `args` is what the caller sent: the server validates it. */
export interface Writes {
  'catalog.register': { args: RegisterRequest; value: true };
  'catalog.deregister': { args: DeregisterRequest; value: true };
  'coordinate.update': { args: CoordinateUpdate; value: null };
  /** `cas`: only if the entry's ModifyIndex is this (0: only if it doesn't exist); the value tells whether it was written. */
  'config.apply': { args: { readonly entry: unknown; readonly cas?: number }; value: boolean };
  'config.delete': { args: { readonly kind: string; readonly name: string }; value: Record<never, never> };
  'intentions.create': { args: { readonly intention: Partial<Intention> }; value: { readonly ID: string } };
  'intentions.update': {
    args: { readonly id: string; readonly intention: Partial<Intention> };
    value: { readonly ID: string };
  };
  'intentions.upsertExact': { args: IntentionPair & { readonly intention: Partial<Intention> }; value: true };
  'intentions.delete': { args: { readonly id: string }; value: true };
  'intentions.deleteExact': { args: IntentionPair; value: true };
  'queries.create': { args: { readonly query: QueryRequest }; value: { readonly ID: string } };
  'queries.update': { args: { readonly id: string; readonly query: QueryRequest }; value: null };
  'queries.delete': { args: { readonly id: string }; value: null };
  'ca.setConfig': { args: { readonly config: unknown }; value: null };
  /** Starts a rotation to a new root key made by the provider. */
  'ca.rotate': { args: { readonly force?: boolean }; value: { readonly NewRootID: string } };
  /**
   * Signs a leaf for the service named in the CSR's SPIFFE URI, in this datacenter. `expires` is when the certificate that
   * it replaces ends, milliseconds since the epoch (absent: there is none): above the limit, the least goes first.
   */
  'ca.signLeaf': { args: { readonly csr: string; readonly expires?: number }; value: IssuedCert };
  /** Primary only, called by secondaries: signs a CA certificate for a datacenter. */
  'ca.signIntermediate': {
    args: { readonly csr: string; readonly datacenter: string };
    value: { readonly certPem: string; readonly rootId: string };
  };
  /** An agent tells which roots its verifiers hold and which leaves are live. */
  'ca.reportHolder': { args: HolderReport; value: null };
  /** An operator's word that the primary's store is right although it is older, or another one. */
  'replication.acceptSource': { args: { readonly kind: string }; value: null };
  /** A secondary tells the primary how far its datacenter is in a rotation. */
  'ca.reportDatacenter': { args: DatacenterRotation; value: null };
  /** Invites a datacenter (asked of the primary) or an agent of the datacenter that is asked. */
  'transport.invite': { args: InviteArgs; value: MadeInvitation };
  'transport.revokeInvitation': { args: { readonly id: string }; value: null };
  /** A failed node counts as having left, and is deregistered; pruned, it is forgotten. Also a server of another datacenter. */
  'nodes.forceLeave': { args: { readonly node: string; readonly prune: boolean }; value: null };
  'acl.bootstrap': { args: Record<never, never>; value: AclBootstrap };
  /** With an ID it changes that policy, else it creates one. */
  'acl.setPolicy': { args: { readonly policy: AclPolicyInput }; value: AclPolicy };
  'acl.deletePolicy': { args: { readonly id: string }; value: true };
  'acl.setRole': { args: { readonly role: AclRoleInput }; value: AclRole };
  'acl.deleteRole': { args: { readonly id: string }; value: true };
  'acl.createToken': { args: { readonly token: AclTokenInput }; value: AclToken };
  'acl.updateToken': { args: { readonly token: AclTokenInput }; value: AclToken };
  'acl.cloneToken': { args: { readonly accessor: string; readonly description?: string }; value: AclToken };
  'acl.deleteToken': { args: { readonly accessor: string }; value: true };
}

export type WriteName = keyof Writes;
export type WriteArgs<N extends WriteName> = Writes[N]['args'];
export type WriteValue<N extends WriteName> = Writes[N]['value'];
