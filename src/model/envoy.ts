/** What an agent reports about the Envoys that follow it. Own format; not part of Consul's API. */

/** What is known of an Envoy that follows this agent. */
export interface EnvoyStatus {
  readonly ProxyID: string;
  readonly Service: string;
  readonly Address: string;
  /** `delta` or `state of the world` */
  readonly Protocol: string;
  readonly ConnectedAt: string;
  /** By Envoy's names: CDS, EDS, … */
  readonly Types: Readonly<Record<string, EnvoyTypeStatus>>;
  /** What it rejected and still does; it goes on with what it had before. */
  readonly Rejected: readonly EnvoyRejection[];
}

export interface EnvoyTypeStatus {
  /** Resources sent in all. */
  readonly Sent: number;
  /** Of the message that was sent last: made of the versions of its resources. */
  readonly SentVersion?: string;
  /** Of the message that was confirmed last. */
  readonly AcknowledgedVersion?: string;
  readonly AcknowledgedAt?: string;
  /** The message that was rejected last, also when it was taken over since. */
  readonly LastRejection?: { readonly Version: string; readonly Error: string; readonly At: string };
}

export interface EnvoyRejection {
  readonly Type: string;
  readonly Resource: string;
  readonly Version: string;
  readonly Error: string;
  readonly At: string;
}

/**
 * In `node.metadata` of a bootstrap, when true: the Envoy takes a listener inside of itself, in which connections from
 * others are kept apart by who calls.
 */
export const SEPARATES_CALLERS = 'isthmus.separates_callers';
