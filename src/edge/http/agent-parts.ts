import type { RightsOf } from '../../agent/access/rights-of.ts';
import type { EventSource } from '../../agent/events/user-events.ts';
import type { ProxyFeeds } from '../../agent/proxycfg/proxy-configs.ts';
import type { CaRoots, LeafCert } from '../../model/ca.ts';
import type { Member } from '../../model/member.ts';

/** What the HTTP edge needs of the agent that it belongs to, beside the server contract. */
export interface AgentParts {
  readonly nodeName: string;
  readonly access: AgentAccess;
  /** The answer of /v1/agent/self. */
  self(): Promise<unknown>;
  /** The answer of /v1/agent/host. */
  host(): Promise<unknown>;
  /** The answer of /v1/agent/version. */
  version(): unknown;
  members(options: MembersOptions): Promise<readonly Member[]>;
  /**
   * Reads the configuration again; resolves with the changed keys that need a restart. One that is not valid changes
   * nothing.
   */
  reload(): Promise<readonly string[]>;
  /** Leaves the datacenter and asks the process to stop; resolves before the edge is stopped. */
  leave(): Promise<void>;
  join(address: string, options: { readonly wan: boolean }): Promise<void>;
  forceLeave(
    node: string,
    options: { readonly prune: boolean; readonly token?: string; readonly signal: AbortSignal },
  ): Promise<void>;
  readonly metrics: AgentMetrics;
  readonly log: LogLines;
  readonly leaves: {
    get(service: string, options: CachedReadOptions): Promise<CachedAnswer<LeafCert>>;
  };
  readonly roots: {
    get(options: CachedReadOptions): Promise<CachedAnswer<CaRoots>>;
  };
  /** Decides whether a client certificate may connect; throws `invalid_argument` with Consul's texts. */
  authorize(request: AuthorizeRequest, options: CachedReadOptions): Promise<CachedAnswer<AuthorizeResponse>>;
  /** Links to other datacenters, for /v1/internal/links. */
  links(): readonly unknown[];
  readonly proxies: ProxyFeeds;
  readonly events: EventSource;
}

/** The agent's log, a line each. */
export interface LogLines {
  /** The newest lines, oldest first. */
  list(): readonly string[];
  /** Every line from now on, until `signal` aborts. */
  follow(signal: AbortSignal): AsyncIterable<string>;
}

export interface MembersOptions {
  readonly wan: boolean;
  readonly segment?: string;
  readonly token?: string;
  readonly signal: AbortSignal;
}

/** Access control, as the agent's own endpoints need it. */
export interface AgentAccess {
  readonly rights: RightsOf;
  /** Sets one of the agent's own tokens; throws `not_found` for a kind that does not exist. */
  setToken(kind: string, secret: string): void;
}

export interface AgentMetrics {
  /** Consul's JSON form. */
  json(): Promise<unknown>;
  /** Prometheus text exposition, with its content type. */
  prometheus(): Promise<{ readonly contentType: string; readonly text: string }>;
}

export interface CachedReadOptions {
  readonly signal: AbortSignal;
  readonly token?: string;
  /** Block until the answer's index is above this, or `waitMs` has passed. */
  readonly index?: number;
  readonly waitMs?: number;
}

export interface CachedAnswer<T> {
  readonly value: T;
  readonly index: number;
  /** It was at hand before it was asked for. */
  readonly cacheHit: boolean;
  /** Time since it was last known to be true; 0 while it is followed. */
  readonly ageMs: number;
}

export interface AuthorizeRequest {
  readonly Target: string;
  readonly ClientCertURI: string;
  readonly ClientCertSerial: string;
  readonly ClientCertChain?: string;
}

export interface AuthorizeResponse {
  readonly Authorized: boolean;
  readonly Reason: string;
}
