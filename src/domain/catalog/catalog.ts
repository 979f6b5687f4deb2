import type { DeregisterRequest, RegisterRequest } from '../../model/catalog.ts';
import type { Store } from '../../store/store.ts';
import { rejected } from './normalize.ts';
import { type CatalogReads, createReads, type Distance } from './reads.ts';
import { deleteCheck, deleteNode, deleteService, register, validateRegister } from './register.ts';
import { type CatalogTables, createTables, fold, instanceKey, nodeKey } from './tables.ts';

export interface CatalogOptions {
  readonly store: Store;
  readonly datacenter: string;
  /** For `near`; absent leaves lists in the order of names. */
  readonly distance?: Distance;
}

export interface Catalog {
  readonly tables: CatalogTables;
  readonly reads: CatalogReads;
  /** Writes only what differs. Throws `rejected` with the peer's texts. */
  register(request: RegisterRequest, signal?: AbortSignal): Promise<true>;
  /** A check, a service with its checks, or a node with all on it; what does not exist is fine. */
  deregister(request: DeregisterRequest, signal?: AbortSignal): Promise<true>;
}

/** The nodes of a datacenter, the services on them and their checks. Before the store is started. */
export function createCatalog({ store, datacenter, distance }: CatalogOptions): Catalog {
  const tables = createTables(store);

  // What was registered on something while it was being deleted is not in the transaction; these tell to look again.
  const nodeHasLeftovers = (node: string): boolean =>
    tables.nodes.get(nodeKey(node)) === undefined &&
    (tables.services.by('node', fold(node)).length > 0 || tables.checks.by('node', fold(node)).length > 0);
  const serviceHasLeftovers = (key: string): boolean =>
    tables.services.get(key) === undefined && tables.checks.by('instance', key).length > 0;

  return {
    tables,
    reads: createReads(tables, distance),
    async register(request, signal) {
      validateRegister(request);
      await store.transact((tx) => register(tables, datacenter, request, tx), signal);
      return true;
    },
    async deregister({ Node: node, ServiceID: service, CheckID: check }, signal) {
      if (!node) throw rejected('Must provide node');
      if (service) {
        do await store.transact((tx) => deleteService(tables, node, service, tx), signal);
        while (serviceHasLeftovers(instanceKey(node, service)));
      } else if (check) {
        await store.transact((tx) => deleteCheck(tables, node, check, tx), signal);
      } else {
        do await store.transact((tx) => deleteNode(tables, node, tx), signal);
        while (nodeHasLeftovers(node));
      }
      return true;
    },
  };
}
