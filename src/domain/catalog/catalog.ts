import type { DeregisterRequest, RegisterRequest } from '../../model/catalog.ts';
import type { CoordinateUpdate } from '../../model/coordinate.ts';
import type { Store, Tx } from '../../store/store.ts';
import { type CoordinateReads, createCoordinates } from './coordinates.ts';
import { rejected } from './normalize.ts';
import { type CatalogReads, createReads, type Distance } from './reads.ts';
import { deleteCheck, deleteNode, deleteService, register, validateRegister } from './register.ts';
import { type CatalogTables, createTables, fold, instanceKey, nodeKey } from './tables.ts';

export interface CatalogOptions {
  readonly store: Store;
  readonly datacenter: string;
}

export interface CatalogWrites {
  'catalog.register'(request: RegisterRequest): Promise<true>;
  'catalog.deregister'(request: DeregisterRequest): Promise<true>;
  'coordinate.update'(update: CoordinateUpdate): Promise<null>;
}

export interface Catalog {
  readonly tables: CatalogTables;
  readonly reads: CatalogReads & CoordinateReads;
  readonly writes: CatalogWrites;
  /** Round-trip time between two nodes in seconds; Infinity when it is not known. */
  readonly distance: Distance;
  /** Writes only what differs. Throws `rejected` with Consul's texts. */
  register(request: RegisterRequest, signal?: AbortSignal): Promise<true>;
  /** A check, a service with its checks, or a node with all on it; what does not exist is fine. */
  deregister(request: DeregisterRequest, signal?: AbortSignal): Promise<true>;
  /** Where a node is. Throws `rejected` with Consul's texts. */
  updateCoordinate(update: CoordinateUpdate, signal?: AbortSignal): Promise<null>;
  /** The round-trip time between a node and the servers; written only when it has clearly changed. */
  measured(node: string, rttMs: number): Promise<void>;
  /** Registers as part of a larger step. */
  registerWithin(tx: Tx, request: RegisterRequest): void;
  deregisterNodeWithin(tx: Tx, node: string): void;
}

/** The nodes of a datacenter, the services on them and their checks. Before the store is started. */
export function createCatalog({ store, datacenter }: CatalogOptions): Catalog {
  const tables = createTables(store);
  const coordinates = createCoordinates(tables);
  const { distance } = coordinates;

  // What was registered on something while it was being deleted is not in the transaction; these tell to look again.
  const nodeHasLeftovers = (node: string): boolean =>
    tables.nodes.get(nodeKey(node)) === undefined &&
    [tables.services, tables.checks, tables.coordinates].some((table) => table.by('node', fold(node)).length > 0);
  const serviceHasLeftovers = (key: string): boolean =>
    tables.services.get(key) === undefined && tables.checks.by('instance', key).length > 0;

  const catalog: Catalog = {
    tables,
    reads: { ...createReads(tables, distance, datacenter), ...coordinates.reads },
    distance,
    async register(request, signal) {
      validateRegister(request);
      await store.transact((tx) => register(tables, datacenter, request, tx), signal);
      return true;
    },
    registerWithin(tx, request) {
      validateRegister(request);
      register(tables, datacenter, request, tx);
    },
    deregisterNodeWithin: (tx, node) => deleteNode(tables, node, tx),
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
    async updateCoordinate(update, signal) {
      await store.transact((tx) => coordinates.update(update, tx), signal);
      return null;
    },
    async measured(node, rttMs) {
      const update = coordinates.measured(node, rttMs);
      if (update !== undefined) await store.transact((tx) => coordinates.update(update, tx));
    },
    writes: {
      'catalog.register': (request) => catalog.register(request),
      'catalog.deregister': (request) => catalog.deregister(request),
      'coordinate.update': (update) => catalog.updateCoordinate(update),
    },
  };
  return catalog;
}
