import type { AccessLogs } from './access-logs.ts';
import type { Verdicts } from './intention.ts';
import type { MeshSettings } from './layer7/mesh-settings.ts';
import type { RateLimits } from './layer7/rate-limits.ts';
import type { RouteTable } from './layer7/route-table.ts';

/** What a sidecar needs to know, as its agent streams it. Own format; not part of Consul's API. */

export interface SidecarUpstream {
  /** Names the upstream in `endpoints` and in metrics: `<type>:<name>@<datacenter>:<port>`. */
  readonly key: string;
  readonly type: 'service' | 'prepared_query';
  readonly name: string;
  /** Datacenter dialled; the proxy's own when none was configured. */
  readonly datacenter: string;
  readonly bindAddress: string;
  readonly bindPort: number;
  /** Instead of address and port: a Unix socket, with its permissions in octal. */
  readonly bindSocketPath?: string;
  readonly bindSocketMode?: string;
  /** Opaque options such as connect_timeout_ms, max_connections. */
  readonly config: Readonly<Record<string, unknown>>;
}

export interface ExposedPath {
  readonly path: string;
  readonly listenerPort: number;
  /** Port of the application. */
  readonly localPort: number;
  readonly http2: boolean;
  /** Who may ask, beside loopback. Absent: whoever reaches the port. */
  readonly from?: readonly string[];
}

export interface SidecarConfig {
  readonly proxyId: string;
  /** The service whose identity the sidecar carries. */
  readonly service: string;
  readonly datacenter: string;
  readonly node: string;
  /** Public listener for inbound mesh connections; port 0 picks one. Absent for a client-only proxy. */
  readonly listen?: { readonly address: string; readonly port: number };
  /** The application behind the sidecar. Absent for a client-only proxy. */
  readonly local?: { readonly address: string; readonly port: number };
  readonly upstreams: readonly SidecarUpstream[];
  /** Paths of the application that are served in plain text, to whoever asks; by Envoy alone. Absent: none. */
  readonly exposed?: readonly ExposedPath[];
  /** Of Envoy. */
  readonly accessLogs?: AccessLogs;
  /** Opaque options such as local_connect_timeout_ms, max_inbound_connections. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** One instance that can be dialled; only those that are healthy enough are listed. */
export interface SidecarEndpoint {
  /** Unique: `<datacenter>/<node>/<service id>`. */
  readonly id: string;
  readonly address: string;
  readonly port: number;
  /** Service and datacenter that Consul's certificate must name. */
  readonly service: string;
  readonly datacenter: string;
  readonly weight: number;
  /** What it belongs to. Endpoints are listed target by target, the preferred one first; absent: there is only one. */
  readonly target?: string;
  /** Its datacenter can't be reached now: this is what was last known, for when there is nothing else. */
  readonly lastResort?: true;
  /** Longest attempt to reach it, milliseconds, as the resolver of the service says. */
  readonly connectTimeoutMs?: number;
}

/** How the requests that come in are seen. */
export interface SidecarInbound {
  /** What the service speaks: `tcp` when its requests are not told apart. */
  readonly protocol: string;
  readonly mesh: MeshSettings;
  /** How many requests are taken. Absent: as many as come. */
  readonly limits?: RateLimits;
}

/** Where the requests to an upstream go, for one whose protocol has requests. */
export interface SidecarRequests {
  readonly table: RouteTable;
  /** By the ID of each target of the table; of one that is not here nothing is known yet. */
  readonly endpoints: Readonly<Record<string, readonly SidecarEndpoint[]>>;
}

export interface SidecarRoots {
  readonly trustDomain: string;
  readonly activeRootId: string;
  /** Every root to be trusted, PEM. */
  readonly roots: readonly { readonly id: string; readonly pem: string }[];
}

export interface SidecarLeaf {
  /** Leaf, then intermediates, PEM. */
  readonly certPem: string;
  readonly keyPem: string;
  readonly uri: string;
  readonly validAfter: string;
  readonly validBefore: string;
}

/** One message: only the parts that changed; the first one has all. */
export interface SidecarUpdate {
  /** Grows by one; the sidecar acknowledges it once it is in effect. */
  readonly version: number;
  readonly config?: SidecarConfig;
  readonly roots?: SidecarRoots;
  readonly leaf?: SidecarLeaf;
  readonly verdicts?: Verdicts;
  readonly inbound?: SidecarInbound;
  /** By upstream key; only the upstreams that changed. */
  readonly endpoints?: Readonly<Record<string, readonly SidecarEndpoint[]>>;
  /**
   * `<service> in <datacenter>` each: what upstreams lead to and the service may not connect to, sorted; all of them.
   */
  readonly refused?: readonly string[];
  /** By upstream key; only those that changed. Null: its requests are no longer told apart. */
  readonly requests?: Readonly<Record<string, SidecarRequests | null>>;
  /** By upstream key: why its endpoints can't be followed now ('' once they can again); the last known ones stay. */
  readonly problems?: Readonly<Record<string, string>>;
}

/** Where a sidecar gets its updates: the agent over HTTP, or a fake in tests. */
export interface SidecarSource {
  updates(signal: AbortSignal): AsyncIterable<SidecarUpdate>;
  /** Tells the agent that everything up to `version` is in effect. */
  acknowledge(version: number, signal: AbortSignal): Promise<void>;
}
