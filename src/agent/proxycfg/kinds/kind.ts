import type { DefaultAddresses } from '../../../model/address.ts';
import type { NodeService } from '../../../model/catalog.ts';
import type { ExposedPath } from '../../../model/sidecar.ts';
import type { WatchPool } from '../../../rpc/subscribe/watch-pool.ts';
import type { CommonSnapshot, ProxySnapshot } from '../snapshot.ts';
import type { UpstreamResolver } from '../upstream-resolver.ts';
import type { ListedCallers } from './callers.ts';

/**
 * A kind of proxy: what it follows beside the roots and its certificate, and the part of the snapshot that comes of it.
 * One file each in this folder, listed in `all.ts`.
 */
export interface ProxyKind {
  /** `Kind` of the registration. */
  readonly kind: ProxySnapshot['kind'];
  /** The service whose identity a registered proxy of this kind carries. */
  serviceOf(proxy: NodeService): string;
  /** Begins to follow. */
  follow(context: KindContext): FollowedKind;
}

/** Of one proxy. */
export interface KindContext {
  readonly proxyId: string;
  readonly datacenter: string;
  readonly node: string;
  readonly addresses: DefaultAddresses;
  /** False for one that is described by its request alone. */
  readonly registered: boolean;
  /** The registration now; throws when the proxy is gone. */
  readonly registration: () => NodeService;
  /** What it serves for checks, when it is registered so. */
  readonly exposedChecks: () => readonly ExposedPath[];
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly resolver: UpstreamResolver;
  readonly token?: string;
  /** For a consumer that keeps the connections of each caller apart. */
  readonly callers?: ListedCallers;
  /** To be called after each change of what `part` returns. */
  readonly changed: () => void;
  /** Called once for each upstream that asks for a mesh gateway. */
  readonly onGateway: (upstream: string, mode: string) => void;
}

/** A member of the union without what all kinds have. */
type OwnPart<S> = S extends ProxySnapshot ? Omit<S, keyof CommonSnapshot> : never;
export type KindPart = OwnPart<ProxySnapshot>;

export interface FollowedKind {
  /** What the kind adds to the snapshot; undefined while something of it is not known yet. */
  part(): KindPart | undefined;
  /** The registration changed. Throws when the proxy can't go on with it. */
  reconfigure(): void;
  close(): void;
}
