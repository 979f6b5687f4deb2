import { isDeepStrictEqual } from 'node:util';
import type { RegisterRequest } from '../../model/catalog.ts';
import { normalizeLocality, normalizeService } from '../../model/service-form.ts';
import type { Tx } from '../../store/store.ts';
import type { Stored } from '../../store/table.ts';
import { normalizeCheck, rejected, validateService } from './normalize.ts';
import {
  type CatalogTables,
  checkKey,
  fold,
  instanceKey,
  type NodeEntity,
  nodeKey,
  type ServiceEntity,
} from './tables.ts';

/** Name that the check of a node's own life is known by. */
const NODE_ALIVE_CHECK = 'serfHealth';

/** Refuses what makes no sense, whatever is stored. */
export function validateRegister(request: RegisterRequest): void {
  if (!request.Node) throw rejected('Must provide node');
  if (!request.Address && request.SkipNodeUpdate !== true)
    throw rejected('Must provide address if SkipNodeUpdate is not set');
  if (request.ID) validateNodeId(request.ID);
  if (request.Service) validateService(request.Service);
}

function validateNodeId(id: string): void {
  if (Buffer.byteLength(id) !== 36) throw rejected('Bad node ID: uuid string is wrong length');
  if (!/^.{8}-.{4}-.{4}-.{4}-.{12}$/s.test(id)) throw rejected('Bad node ID: uuid is improperly formatted');
  const bad = /[^0-9a-fA-F]/u.exec(id.replaceAll('-', ''))?.[0];
  if (bad === undefined) return;
  const code = bad.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0');
  throw rejected(`Bad node ID: encoding/hex: invalid byte: U+${code} '${bad}'`);
}

/** Writes the node, the service and the checks of a validated request; only rows that differ from what is stored. */
export function register(tables: CatalogTables, datacenter: string, request: RegisterRequest, tx: Tx): void {
  const name = request.Node as string;
  ensureNode(tables, datacenter, request, tx);
  if (request.Service) ensureService(tables, { Node: name, ...normalizeService(request.Service) }, tx);
  const checks = [...(request.Checks ?? []), ...(request.Check ? [request.Check] : [])];
  for (const check of checks) ensureCheck(tables, name, check, tx);
}

function ensureNode(tables: CatalogTables, datacenter: string, request: RegisterRequest, tx: Tx): void {
  const { nodes } = tables;
  const name = request.Node as string;
  const existing = tx.get(nodes, nodeKey(name));
  if (existing !== undefined && request.SkipNodeUpdate === true) return;
  const locality = normalizeLocality(request.Locality);
  const node: NodeEntity = {
    ID: request.ID ?? '',
    Node: name,
    Address: request.Address ?? '',
    Datacenter: datacenter,
    TaggedAddresses: request.TaggedAddresses ?? null,
    Meta: request.NodeMeta ?? null,
    ...(locality === undefined ? undefined : { Locality: locality }),
  };
  if (existing !== undefined && isDeepStrictEqual(existing, node)) return;
  if (node.ID !== '') claimId(tables, node, existing, tx);
  tx.put(nodes, node);
}

/**
 * A node is known by its ID when it has one: under a new name it replaces itself, but it takes no living node's name.
 */
function claimId(tables: CatalogTables, node: NodeEntity, sameName: NodeEntity | undefined, tx: Tx): void {
  const holder = tables.nodes.by('id', node.ID.toLowerCase())[0];
  const renaming = holder !== undefined && fold(holder.value.Node) !== fold(node.Node);
  if (sameName !== undefined && sameName.ID.toLowerCase() !== node.ID.toLowerCase()) {
    const alive = tx.get(tables.checks, checkKey(sameName.Node, NODE_ALIVE_CHECK));
    const gone = alive?.Status === 'critical';
    const unclaimed = sameName.ID === '' && !renaming;
    if (!gone && !unclaimed) {
      const subject = renaming ? `${JSON.stringify(node.ID)} (${node.Address})` : JSON.stringify(node.ID);
      throw rejected(
        `failed inserting node: Error while renaming Node ID: ${subject}: Node name ${node.Node} is reserved by ` +
          `node ${sameName.ID} with name ${sameName.Node} (${sameName.Address})`,
      );
    }
  }
  if (renaming) deleteNode(tables, holder.value.Node, tx);
}

function ensureService(tables: CatalogTables, service: ServiceEntity, tx: Tx): void {
  const existing = tx.get(tables.services, instanceKey(service.Node, service.ID));
  if (existing !== undefined && isDeepStrictEqual(existing, service)) return;
  tx.put(tables.services, service);
}

function ensureCheck(tables: CatalogTables, node: string, check: NonNullable<RegisterRequest['Check']>, tx: Tx): void {
  if (check.Node && check.Node !== node)
    throw rejected(`check node ${JSON.stringify(check.Node)} does not match node ${JSON.stringify(node)}`);
  const service = check.ServiceID ? tx.get(tables.services, instanceKey(node, check.ServiceID)) : undefined;
  if (check.ServiceID && service === undefined)
    throw rejected(`failed inserting check: Missing service registration on node ${JSON.stringify(node)}`);
  const entity = normalizeCheck(node, check, service);
  if (entity.CheckID === '')
    throw rejected(
      `failed inserting check: failed inserting check: object missing primary index on node ${JSON.stringify(node)}`,
    );
  const existing = tx.get(tables.checks, checkKey(node, entity.CheckID));
  if (existing !== undefined && isDeepStrictEqual(existing, entity)) return;
  tx.put(tables.checks, entity);
}

/** Deletes a service and its checks. */
export function deleteService(tables: CatalogTables, node: string, serviceId: string, tx: Tx): void {
  const key = instanceKey(node, serviceId);
  if (tx.row(tables.services, key) !== undefined) tx.delete(tables.services, key);
  deleteRows(tables.checks.by('instance', key), (row) => tx.delete(tables.checks, row.key));
}

export function deleteCheck(tables: CatalogTables, node: string, checkId: string, tx: Tx): void {
  const key = checkKey(node, checkId);
  if (tx.row(tables.checks, key) !== undefined) tx.delete(tables.checks, key);
}

/** Deletes a node with all that is registered on it. */
export function deleteNode(tables: CatalogTables, node: string, tx: Tx): void {
  deleteRows(tables.checks.by('node', fold(node)), (row) => tx.delete(tables.checks, row.key));
  deleteRows(tables.services.by('node', fold(node)), (row) => tx.delete(tables.services, row.key));
  deleteRows(tables.coordinates.by('node', fold(node)), (row) => tx.delete(tables.coordinates, row.key));
  const key = nodeKey(node);
  if (tx.row(tables.nodes, key) !== undefined) tx.delete(tables.nodes, key);
}

function deleteRows<T>(rows: readonly Stored<T>[], remove: (row: Stored<T>) => void): void {
  for (const row of rows) remove(row);
}
