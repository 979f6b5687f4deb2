import type { CaRoots, LeafCert } from '../../model/ca.ts';
import type { Verdicts } from '../../model/intention.ts';
import type { SidecarConfig } from '../../model/sidecar.ts';
import type { Callers } from './kinds/callers.ts';
import type { CentralEntries } from './kinds/central-entries.ts';
import type { UpstreamState } from './upstream-resolver.ts';

/**
 * Everything that one proxy needs to know, as of now: the same for the built-in sidecar and for Envoy. It is immutable,
 * and a part that did not change is the same object as in the snapshot before: a consumer finds what changed by
 * comparing references.
 */
export type ProxySnapshot = ConnectProxySnapshot;

/** What a proxy of any kind has. */
export interface CommonSnapshot {
  readonly proxyId: string;
  /** The service whose identity the proxy carries. */
  readonly service: string;
  readonly datacenter: string;
  readonly node: string;
  readonly roots: CaRoots;
  readonly leaf: LeafCert;
}

/** A sidecar. */
export interface ConnectProxySnapshot extends CommonSnapshot {
  readonly kind: 'connect-proxy';
  readonly config: SidecarConfig;
  /** What the service speaks: `tcp` when its requests are not told apart. */
  readonly protocol: string;
  /** What `proxy-defaults`, the service's `service-defaults` and `mesh` say. */
  readonly entries: CentralEntries;
  /** Who may connect to the service, and what each request may do (`compilePermissions`, `compileProviders`). */
  readonly verdicts: Verdicts;
  /** By the key of each upstream of `config`, in its order. */
  readonly upstreams: ReadonlyMap<string, UpstreamState>;
  /**
   * By the key of an upstream: what it leads to and this service may not connect to, sorted; absent when there is none.
   */
  readonly refused: ReadonlyMap<string, readonly string[]>;
  /** For a consumer that keeps the connections of each caller apart, when connections are decided as a whole. */
  readonly callers?: Callers;
}
