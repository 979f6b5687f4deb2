import type { NodeService } from '../../model/catalog.ts';
import type { ExposedPath } from '../../model/sidecar.ts';

/** The services that are registered with this agent, as far as sidecars need to know them. */
export interface LocalServices {
  get(id: string): NodeService | undefined;
  list(): readonly NodeService[];
  /** What a proxy with `expose.checks` serves for the checks of its service. */
  exposedPaths(proxyId: string): readonly ExposedPath[];
  /** The proxy serves them from now on; returns the function to call when it went. */
  servesExposed(proxyId: string): () => void;
  /** Calls `listener` after a registration or a check changed; returns the function that ends it. */
  onChange(listener: () => void): () => void;
}
