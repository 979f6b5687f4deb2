import type { NodeService } from '../../model/catalog.ts';

/** The services that are registered with this agent, as far as sidecars need to know them. */
export interface LocalServices {
  get(id: string): NodeService | undefined;
  list(): readonly NodeService[];
  /** Calls `listener` after a registration changed; returns the function that ends it. */
  onChange(listener: () => void): () => void;
}
