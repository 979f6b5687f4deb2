import type { CatalogNode, CatalogService, HealthCheck, NodeService } from '../../model/catalog.ts';
import type { Stored } from '../../store/table.ts';
import type { CheckEntity, NodeEntity, ServiceEntity } from './tables.ts';

/**
 * Rows in the forms of the API. Each form of a row is made once and shared by all answers until the row changes.
 * Lists of tags that were not given are shown as empty lists; the pages of the UI alone show them as null.
 */

const NO_TAGS: readonly string[] = [];

interface Indexes {
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

function indexes(row: Stored<unknown>): Indexes {
  return { CreateIndex: row.createRevision, ModifyIndex: row.modRevision };
}

function shared<T, Form extends object>(make: (row: Stored<T>) => Form): (row: Stored<T>) => Form {
  const made = new WeakMap<Stored<T>, Form>();
  return (row) => {
    let form = made.get(row);
    if (form === undefined) {
      form = make(row);
      made.set(row, form);
    }
    return form;
  };
}

export const nodeForm = shared<NodeEntity, CatalogNode>((row) => ({ ...row.value, ...indexes(row) }));

/** As stored: tags may be null. */
export const rawServiceForm = shared<ServiceEntity, NodeService>((row) => {
  const { Node: _node, ...service } = row.value;
  return { ...service, ...indexes(row) };
});

export const serviceForm = shared<ServiceEntity, NodeService>((row) => {
  const form = rawServiceForm(row);
  return form.Tags === null ? { ...form, Tags: NO_TAGS } : form;
});

/** As stored: tags may be null. */
export const rawCheckForm = shared<CheckEntity, HealthCheck>((row) => ({ ...row.value, ...indexes(row) }));

export const checkForm = shared<CheckEntity, HealthCheck>((row) => {
  const form = rawCheckForm(row);
  return form.ServiceTags === null ? { ...form, ServiceTags: NO_TAGS } : form;
});

const EMPTY_META: Readonly<Record<string, string>> = {};

export function catalogServiceForm(node: NodeEntity, row: Stored<ServiceEntity>): CatalogService {
  const service = row.value;
  return {
    ID: node.ID,
    Node: node.Node,
    Address: node.Address,
    Datacenter: node.Datacenter,
    TaggedAddresses: node.TaggedAddresses,
    NodeMeta: node.Meta,
    ServiceKind: service.Kind ?? '',
    ServiceID: service.ID,
    ServiceName: service.Service,
    ServiceTags: service.Tags ?? NO_TAGS,
    ServiceAddress: service.Address,
    ...(service.TaggedAddresses === undefined ? {} : { ServiceTaggedAddresses: service.TaggedAddresses }),
    ServiceWeights: service.Weights,
    ServiceMeta: service.Meta ?? EMPTY_META,
    ServicePort: service.Port,
    ...(service.Ports === undefined ? {} : { ServicePorts: service.Ports }),
    ...(service.SocketPath === undefined ? {} : { ServiceSocketPath: service.SocketPath }),
    ServiceEnableTagOverride: service.EnableTagOverride,
    ServiceProxy: service.Proxy,
    ServiceConnect: service.Connect,
    ...(service.Locality === undefined ? {} : { ServiceLocality: service.Locality }),
    ...indexes(row),
  };
}
