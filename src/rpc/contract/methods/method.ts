import type { CatalogNode, HealthCheck, NodeService } from '../../../model/catalog.ts';
import type { ReplicatedKindName } from '../../../model/replication.ts';
import type { Rights } from '../../../model/rights.ts';
import type { Callers } from './roles.ts';

/** What a call from another process is refused without; what else there is, the domains look at. */
export type ArgumentType = 'text' | 'texts' | 'number' | 'object';

type RequiredKeys<T> = { [K in keyof T]-?: object extends Pick<T, K> ? never : K }[keyof T] & string;
type RequiredTexts<T> = { [K in RequiredKeys<T>]: T[K] extends string ? K : never }[RequiredKeys<T>];

/** Every text that must be there, and what else the rights or the way of the call depend on. */
export type Needs<Args> = { readonly [K in RequiredTexts<Args>]: 'text' } & {
  readonly [K in Exclude<keyof Args, RequiredTexts<Args>> & string]?: ArgumentType;
};

/** What the configuration says about rights. */
export interface RightsOptions {
  /** `acl.enable_key_list_policy` */
  readonly keyListPolicy: boolean;
}

/** What a read takes: a right to ask at all, and what is left out of the answer. */
export interface ReadRights<Args, Value> {
  /** False refuses the read. */
  allow?(rights: Rights, args: Args, options: RightsOptions): boolean;
  /** The answer as this reader may see it; the same object when nothing is left out. Undefined refuses it after all. */
  show?(rights: Rights, value: Value, args: Args): Value | undefined;
}

export type StoredNode = Pick<CatalogNode, 'Node' | 'ID' | 'Address' | 'TaggedAddresses' | 'Meta'>;

/** What is stored now, as the decision on a write needs it. */
export interface StoredFacts {
  node(name: string): StoredNode | undefined;
  /** Name of the node with this ID. */
  nodeWithId(id: string): string | undefined;
  services(node: string): readonly Pick<NodeService, 'ID' | 'Service'>[];
  checks(node: string): readonly Pick<HealthCheck, 'CheckID' | 'ServiceName'>[];
  /** Destination of an intention. */
  intentionDestination(id: string): string | undefined;
  /** Name of a prepared query. */
  queryName(id: string): string | undefined;
  /** Node that a session of the key/value store belongs to. */
  sessionNode(id: string): string | undefined;
  /** What a certificate request asks to be; undefined when it can't be read. */
  csrUri(csr: string): string | undefined;
}

/** True when the write may be carried out. */
export type WriteRights<Args> = (rights: Rights, args: Args, facts: StoredFacts) => boolean;

/**
 * Which server decides a write:
 * - here: one of the datacenter that is asked
 * - named: one of the datacenter that is asked, else of the one that the argument `Datacenter` names
 * - primary: one of the primary datacenter, wherever it was asked
 * - token owner: here when the token that it is about belongs to this datacenter alone, else the primary
 */
export type Decided<Args> =
  | 'here'
  | 'primary'
  | ('Datacenter' extends keyof Args ? 'named' : never)
  /** @returns true when the token belongs to this datacenter alone */
  | { readonly tokenOwner: (args: Args, isLocal: (accessor: string) => boolean) => boolean };

/** Everything about a read but its answer. */
export interface ReadMethod<Args, Value> {
  readonly needs: Needs<Args>;
  /** The datacenter that answers unless the request names one. */
  readonly answered: 'here' | 'primary';
  /** Only the server that leads its datacenter knows it. */
  readonly leader: boolean;
  /** What it is made from when that is copied from the primary: it is as old as the copy. */
  readonly madeFrom: ReplicatedKindName | undefined;
  /**
   * True: where other servers write too, the answer includes whatever they have acknowledged, unless a stale one is
   * asked for.
   */
  readonly current?: true;
  /** Who may call it over the server port. */
  readonly callers: Callers;
  /** `caller`: the answer is about the caller, and the guard gives it. */
  readonly rights: ReadRights<Args, Value> | 'caller';
  /** The arguments with what is refused of them, where parts of a call may be. */
  narrow?(rights: Rights, args: Args, facts: StoredFacts): Args;
  /** Not answered to other datacenters once this one's data is too old: they would send connections by it. */
  readonly refusedOnceOld?: true;
  /** Never set: carries the types. */
  readonly types?: { readonly args: Args; readonly value: Value };
}

/** Everything about a write but what it does. */
export interface WriteMethod<Args, Value> {
  readonly needs: Needs<Args>;
  readonly decided: Decided<Args>;
  /** Only the server that leads its datacenter carries it out. */
  readonly leader: boolean;
  /**
   * Carried out twice, it does what it does once: another server may be asked when the first one was lost meanwhile.
   */
  readonly repeatable: boolean;
  /**
   * The arguments that say what it is about, as the audit log names them (`entry.Name`, in any case); none can be a
   * secret. `never`: reports that servers and agents make by themselves, many a minute, and certificates, which are
   * counted.
   */
  readonly audit: readonly string[] | 'never';
  /** What secondaries copy it in, so that it is readable there; undefined when it is not copied. */
  readonly arrivesIn: ReplicatedKindName | undefined;
  /** Who may call it over the server port. */
  readonly callers: Callers;
  /** The argument that must name the caller's own datacenter, when the caller is a server of another. */
  readonly speaksFor?: keyof Args & string;
  readonly rights: WriteRights<Args>;
  /** As {@link ReadMethod.narrow}. */
  narrow?(rights: Rights, args: Args, facts: StoredFacts): Args;
  /** As {@link ReadRights.show}; what was written stays written. */
  show?(rights: Rights, value: Value, args: Args): Value;
  /** Never set: carries the types. */
  readonly types?: { readonly args: Args; readonly value: Value };
}

export function read<Args, Value>(method: ReadMethod<Args, Value>): ReadMethod<Args, Value> {
  return method;
}

export function write<Args, Value>(method: WriteMethod<Args, Value>): WriteMethod<Args, Value> {
  return method;
}

/** Arguments of a call that takes none. */
export type NoArgs = Record<never, never>;

/** What most reads have in common: any server of the datacenter answers from its own tables. */
export const OWN_DATA = { answered: 'here', leader: false, madeFrom: undefined } as const;
