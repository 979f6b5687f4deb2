import type { Catalog } from '../../domain/catalog/catalog.ts';
import { rejected } from '../../domain/catalog/normalize.ts';
import { deleteCheck, deleteService } from '../../domain/catalog/register.ts';
import {
  type CheckEntity,
  checkKey,
  instanceKey,
  type NodeEntity,
  nodeKey,
  type ServiceEntity,
} from '../../domain/catalog/tables.ts';
import type { KeptCatalog } from '../../domain/kv/keeper.ts';
import type { SessionCatalog } from '../../domain/kv/sessions.ts';
import type { Pending, TxnCatalog } from '../../domain/kv/txn.ts';
import type { RegisterRequest } from '../../model/catalog.ts';
import type { TxnResult } from '../../model/kv.ts';
import type { Tx } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';

type Given = Readonly<Record<string, unknown>>;

/** What the key/value store takes of the catalog: what sessions depend on, and the catalog's part of transactions. */
export function kvCatalog(catalog: Catalog): {
  readonly sessions: SessionCatalog;
  readonly kept: KeptCatalog;
  readonly txn: TxnCatalog;
} {
  return { sessions: sessionCatalog(catalog), kept: keptCatalog(catalog), txn: txnCatalog(catalog) };
}

function sessionCatalog({ tables }: Catalog): SessionCatalog {
  return {
    node: (tx, name) => tx.get(tables.nodes, nodeKey(name))?.Node,
    check: (tx, node, checkId) => tx.get(tables.checks, checkKey(node, checkId))?.Status,
  };
}

function keptCatalog({ tables }: Catalog): KeptCatalog {
  return {
    nodes: tables.nodes.spec.name,
    checks: tables.checks.spec.name,
    hasNode: (name) => tables.nodes.get(nodeKey(name)) !== undefined,
    status: (node, checkId) => tables.checks.get(checkKey(node, checkId))?.value.Status,
    nodeOf: (entity) => (entity as NodeEntity).Node,
    checkOf(entity) {
      const { Node, CheckID } = entity as CheckEntity;
      return { node: Node, checkId: CheckID };
    },
  };
}

function txnCatalog(catalog: Catalog): TxnCatalog {
  const { tables } = catalog;
  /** What a step has registered on nodes: their deletion in the same step takes that along. */
  const registered = new WeakMap<Tx, { readonly node: string; remove(): void }[]>();
  const remember = (tx: Tx, node: string, remove: () => void): void => {
    const known = registered.get(tx) ?? [];
    known.push({ node: node.toLowerCase(), remove });
    registered.set(tx, known);
  };
  const register = (tx: Tx, request: RegisterRequest): void => catalog.registerWithin(tx, request);
  /** `remove` takes it along when the same step deletes its node. */
  const registerOn = (tx: Tx, node: string, part: Pick<RegisterRequest, 'Service' | 'Check'>, remove: () => void) => {
    if (tx.get(tables.nodes, nodeKey(node)) === undefined) throw rejected('Missing node registration');
    register(tx, { Node: node, SkipNodeUpdate: true, ...part });
    remember(tx, node, remove);
  };

  return {
    node(tx, { Verb, Node: given }) {
      const id = text(given, 'ID');
      const byId = id === '' ? undefined : tables.nodes.by('id', id.toLowerCase())[0]?.value.Node;
      const name = text(given, 'Node') || byId || '';
      const get = (): readonly Pending[] => one(tx, tables.nodes, nodeKey(byId ?? name), (Node) => ({ Node }));
      const set = (): readonly Pending[] => {
        const { Meta: NodeMeta, TaggedAddresses, Address } = given as RegisterRequest & { readonly Meta?: never };
        register(tx, {
          ID: id,
          Node: name,
          Address: Address ?? '',
          TaggedAddresses: TaggedAddresses ?? null,
          NodeMeta: NodeMeta ?? null,
        });
        return get();
      };
      const remove = (): readonly Pending[] => {
        catalog.deregisterNodeWithin(tx, name);
        for (const { node, remove: forget } of registered.get(tx) ?? []) if (node === name.toLowerCase()) forget();
        return [];
      };
      const isCurrent = (): boolean => current(tx, tables.nodes, nodeKey(name), given);
      return carryOut(Verb, { kind: 'Node', what: `node ${JSON.stringify(name)}` }, { get, set, remove, isCurrent });
    },

    service(tx, { Verb, Node: node, Service: given }) {
      const id = text(given, 'ID') || text(given, 'Service');
      const key = instanceKey(node, id);
      const what = `service ${JSON.stringify(id)} on node ${JSON.stringify(node)}`;
      const get = (): readonly Pending[] =>
        one(tx, tables.services, key, ({ Node: _node, ...Service }: ServiceEntity & Given) => ({ Service }));
      const remove = (): readonly Pending[] => {
        deleteService(tables, node, id, tx);
        return [];
      };
      const set = (): readonly Pending[] => {
        registerOn(tx, node, { Service: given }, () => tx.delete(tables.services, key));
        return get();
      };
      const isCurrent = (): boolean => current(tx, tables.services, key, given);
      return carryOut(Verb, { kind: 'Service', what }, { get, set, remove, isCurrent });
    },

    check(tx, { Verb, Check: given }) {
      const node = text(given, 'Node');
      const id = text(given, 'CheckID') || text(given, 'Name');
      const key = checkKey(node, id);
      const what = `check ${JSON.stringify(id)} on node ${JSON.stringify(node)}`;
      const get = (): readonly Pending[] => one(tx, tables.checks, key, (Check) => ({ Check }));
      const remove = (): readonly Pending[] => {
        deleteCheck(tables, node, id, tx);
        return [];
      };
      const set = (): readonly Pending[] => {
        registerOn(tx, node, { Check: given }, () => tx.delete(tables.checks, key));
        return get();
      };
      const isCurrent = (): boolean => current(tx, tables.checks, key, given);
      return carryOut(Verb, { kind: 'Check', what }, { get, set, remove, isCurrent });
    },
  };
}

interface Verbs {
  /** What is there as the step leaves it; nothing when it is absent. */
  get(): readonly Pending[];
  set(): readonly Pending[];
  remove(): readonly Pending[];
  /** It has the index that the caller names. */
  isCurrent(): boolean;
}

function carryOut(verb: string, { kind, what }: { kind: string; what: string }, verbs: Verbs): readonly Pending[] {
  const requireCurrent = (todo: string): void => {
    if (!verbs.isCurrent()) throw rejected(`failed to ${todo} ${what}, index is stale`);
  };
  switch (verb) {
    case 'get': {
      const found = verbs.get();
      if (found.length === 0) throw rejected(`${what} doesn't exist`);
      return found;
    }
    case 'cas':
      requireCurrent('set');
      return verbs.set();
    case 'set':
      return verbs.set();
    case 'delete-cas':
      requireCurrent('delete');
      return verbs.remove();
    case 'delete':
      return verbs.remove();
    default:
      throw rejected(`unknown ${kind} verb ${JSON.stringify(verb)}`);
  }
}

/** The row as the step leaves it; its revision is that of the commit when the step has written it. */
function one<T extends object>(
  tx: Tx,
  table: Table<T>,
  key: string,
  form: (entity: T & { readonly CreateIndex: number; readonly ModifyIndex: number }) => TxnResult,
): readonly Pending[] {
  const stored = tx.row(table, key);
  const entity = tx.get(table, key);
  if (entity === undefined) return [];
  const written = entity !== stored?.value;
  return [
    (revision) =>
      form({
        ...entity,
        CreateIndex: stored?.createRevision ?? revision,
        ModifyIndex: stored === undefined || written ? revision : stored.modRevision,
      }),
  ];
}

/** True when the row has the index that the caller names; 0 when there is none. */
function current<T>(tx: Tx, table: Table<T>, key: string, given: Given): boolean {
  const stored = tx.row(table, key);
  const wanted = given.ModifyIndex ?? 0;
  return tx.get(table, key) === stored?.value && (stored?.modRevision ?? 0) === wanted;
}

function text(given: Given, field: string): string {
  const value = given[field];
  return typeof value === 'string' ? value : '';
}
