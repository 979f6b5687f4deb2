import type { Catalog } from '../../domain/catalog/catalog.ts';
import { nodeKey } from '../../domain/catalog/tables.ts';
import type { NodeCatalog } from '../../domain/nodes/nodes.ts';

/** The check of a node's own life; the words are Consul's. */
export const ALIVE_CHECK = {
  CheckID: 'serfHealth',
  Name: 'Serf Health Status',
  Status: 'passing',
  Output: 'Agent alive and reachable',
} as const;

const LOST_CHECK = { ...ALIVE_CHECK, Status: 'critical', Output: 'Agent not live or unreachable' } as const;

/** How the catalog shows whether a node's agent lives. */
export function nodeCatalog(catalog: Catalog): NodeCatalog {
  return {
    setAlive(tx, { Node, ID, Addr, TaggedAddresses, Meta }) {
      const check = { Node, ...ALIVE_CHECK };
      catalog.registerWithin(tx, { ID, Node, Address: Addr, TaggedAddresses, NodeMeta: Meta, Check: check });
    },
    setLost(tx, Node) {
      if (tx.get(catalog.tables.nodes, nodeKey(Node)) === undefined) return;
      catalog.registerWithin(tx, { Node, SkipNodeUpdate: true, Check: { Node, ...LOST_CHECK } });
    },
    remove(tx, Node) {
      catalog.deregisterNodeWithin(tx, Node);
    },
    nameOf: (id) => catalog.tables.nodes.by('id', id.toLowerCase())[0]?.value.Node,
  };
}
