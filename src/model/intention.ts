import type { JwtProviderEntry } from './layer7/jwt-provider.ts';
import type { HttpMatchFields } from './layer7/match.ts';

/** API types of intentions and of the configuration entry that holds them. */

export type IntentionAction = 'allow' | 'deny';

/** What a source may do with some requests: the first permission that matches one decides. */
export interface IntentionPermission {
  readonly Action?: IntentionAction;
  readonly HTTP?: HttpMatchFields;
  readonly JWT?: JwtFields;
}

/** A token that requests need: of any of the providers. */
export interface JwtFields {
  readonly Providers?: readonly {
    /** Of a `jwt-provider` entry. */
    readonly Name?: string;
    readonly VerifyClaims?: readonly { readonly Path?: readonly string[]; readonly Value?: string }[];
  }[];
}

/** One source inside a `service-intentions` entry, as stored and as /v1/config shows it. */
export interface SourceIntention {
  readonly Name: string;
  readonly Action?: IntentionAction;
  /** Instead of an action for everything. */
  readonly Permissions?: readonly IntentionPermission[];
  readonly Precedence: number;
  readonly LegacyID?: string;
  readonly Type: 'consul';
  readonly Description?: string;
  readonly LegacyMeta?: Readonly<Record<string, string>>;
  readonly LegacyCreateTime?: string;
  readonly LegacyUpdateTime?: string;
  /** Source datacenters that this source is limited to; absent means any. Not in Consul. */
  readonly Datacenters?: readonly string[];
  /**
   * Destination datacenters that this source is limited to, within the entry's; absent means all of those. Not in
   * Consul.
   */
  readonly DestinationDatacenters?: readonly string[];
}

export interface ServiceIntentionsEntry {
  readonly Kind: 'service-intentions';
  /** The destination; '*' is every service. */
  readonly Name: string;
  readonly Meta?: Readonly<Record<string, string>>;
  /** Destination datacenters that the entry is limited to; absent means any. Not in Consul. */
  readonly Datacenters?: readonly string[];
  readonly Sources: readonly SourceIntention[];
  /** A token that every request needs, whatever source it comes from. */
  readonly JWT?: JwtFields;
  readonly CreateIndex?: number;
  readonly ModifyIndex?: number;
}

/** An intention as /v1/connect/intentions shows it: one (source, destination) pair. */
export interface Intention {
  readonly CreatedAt?: string;
  readonly UpdatedAt?: string;
  readonly ID?: string;
  readonly Description?: string;
  readonly SourceNS: string;
  readonly SourceName: string;
  /** Absent means any datacenter. Not in Consul. */
  readonly SourceDatacenter?: string;
  readonly DestinationNS: string;
  readonly DestinationName: string;
  /** Absent means any datacenter. Not in Consul. */
  readonly DestinationDatacenter?: string;
  readonly SourceType: string;
  readonly Action?: IntentionAction;
  readonly Permissions?: readonly IntentionPermission[];
  readonly Meta?: Readonly<Record<string, string>>;
  readonly Precedence: number;
  readonly Hash?: string;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

/** One line of compiled authorization for a destination: the first rule that matches the source decides. */
export interface VerdictRule {
  /** Source service, or '*'. */
  readonly source: string;
  /** Absent means any. */
  readonly sourceDatacenter?: string;
  /** Destination as written: the service, or '*'. */
  readonly destination: string;
  readonly destinationDatacenter?: string;
  readonly action: IntentionAction;
  readonly precedence: number;
  /** Revision at which the rule's entry was last written in the datacenter that answers. */
  readonly revision: number;
  readonly id?: string;
  /** How many L7 permissions the rule has: the action is deny then, because they can't be decided on a connection. */
  readonly permissions?: number;
  /**
   * What is decided request by request, where that can be; the action is deny then. It allows everything that has the
   * token when there are no permissions.
   */
  readonly requests?: { readonly Permissions?: readonly IntentionPermission[]; readonly JWT?: JwtFields };
}

/** All that decides about connections to one destination in one datacenter, most specific rule first. */
export interface Verdicts {
  readonly destination: string;
  readonly destinationDatacenter: string;
  readonly rules: readonly VerdictRule[];
  readonly defaultAction: IntentionAction;
  readonly revision: number;
  /** Those of the token issuers that the rules name which exist. */
  readonly providers?: readonly JwtProviderEntry[];
}

/** The answer of /v1/internal/explain. */
export interface Explanation {
  readonly Source: string;
  readonly SourceDatacenter?: string;
  readonly Destination: string;
  readonly DestinationDatacenter?: string;
  readonly Allowed: boolean;
  /** A sentence: which rule decided, or that none matched and the default applied. */
  readonly Reason: string;
  readonly Rule?: VerdictRule;
  /**
   * Each request is decided by itself: of a connection alone nothing can be said but what an older sidecar does with
   * it.
   */
  readonly ByRequest?: true;
  /** Place of the permission of `Rule` that decided about the request, from 0. */
  readonly Permission?: number;
  readonly DefaultAction: IntentionAction;
  readonly Revision: number;
  readonly Datacenter: string;
  /** Rules that would have matched but came after the one that decided. */
  readonly Shadowed: readonly VerdictRule[];
  /** The smallest change that would turn the verdict round, as a command; absent when allowed. */
  readonly ToAllow?: string;
}
