/** Arguments and small answers that more than one floor names. */

/** Conditions that most lists take. */
export interface ListArgs {
  /** Expression in the filter grammar. */
  readonly filter?: string;
  /** All must match. */
  readonly nodeMeta?: Readonly<Record<string, string>>;
  /** Sort by round-trip time from this node ('_agent' is resolved by the edge). */
  readonly near?: string;
}

export interface ServiceArgs extends ListArgs {
  readonly service: string;
  /** All must be carried by the instance. */
  readonly tags?: readonly string[];
  /** Instances that accept mesh connections for the service: its proxies, and native instances. */
  readonly connect?: boolean;
}

export interface HealthServiceArgs extends ServiceArgs {
  readonly passing?: boolean;
  /** Lists that were not given stay null. */
  readonly asStored?: boolean;
}

export interface IntentionPair {
  readonly source: string;
  readonly destination: string;
  readonly sourceDatacenter?: string;
  readonly destinationDatacenter?: string;
}

/** What is asked to be explained: a connection, or a request on it. */
export interface ExplainArgs extends IntentionPair {
  readonly request?: ExplainedRequest;
}

export interface ExplainedRequest {
  /** Default GET. */
  readonly method?: string;
  readonly path: string;
  /** `name: value` each. */
  readonly headers?: readonly string[];
}

/** GET /v1/connect/ca/status */
export interface CaStatus {
  readonly Datacenter: string;
  readonly Provider: string;
  /** 'uninitialized' names its blocker in `Reason`. */
  readonly State: 'uninitialized' | 'ready' | 'rotating' | 'degraded';
  readonly Reason: string;
  readonly TrustDomain: string;
  readonly ActiveRootID: string;
  readonly RootExpiresIn: number;
  /** Seconds; equals RootExpiresIn in a primary that signs with its root. */
  readonly IntermediateExpiresIn: number;
  readonly IntermediateRenewsIn: number;
  /** Seconds until the next planned rotation of the root; in a primary only. */
  readonly RootRotatesIn?: number;
  readonly LastRenewalError: string;
}
