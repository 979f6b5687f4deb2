import type { CatalogNode, CatalogService, HealthCheck, NodeService, ServiceInstance } from '../../model/catalog.ts';
import {
  catalogServiceFilter,
  healthCheckFilter,
  nodeFilter,
  nodeServiceFilter,
  serviceInstanceFilter,
} from '../../model/filter/schemas.ts';
import type { HealthServiceArgs, ListArgs, ServiceArgs } from '../../model/requests.ts';
import type { Read } from '../../store/read.ts';
import type { Stored } from '../../store/table.ts';
import { catalogServiceForm, checkForm, nodeForm, rawCheckForm, rawServiceForm, serviceForm } from './shapes.ts';
import {
  type CatalogTables,
  type CheckEntity,
  fold,
  instanceKey,
  type NodeEntity,
  nodeKey,
  type ServiceEntity,
  topic,
} from './tables.ts';
import { createUiReads, type UiReads } from './ui.ts';

/** Round-trip time between two nodes in any unit; Infinity when it is not known. */
export type Distance = (nodeA: string, nodeB: string) => number;

interface NodeArgs {
  readonly node: string;
  readonly filter?: string;
}

export interface CatalogReads extends UiReads {
  readonly 'catalog.nodes': Read<ListArgs, readonly CatalogNode[]>;
  readonly 'catalog.services': Read<ListArgs, Readonly<Record<string, readonly string[]>>>;
  readonly 'catalog.service': Read<ServiceArgs, readonly CatalogService[]>;
  readonly 'catalog.node': Read<
    NodeArgs,
    { readonly Node: CatalogNode; readonly Services: Readonly<Record<string, NodeService>> } | null
  >;
  readonly 'catalog.nodeServices': Read<
    NodeArgs,
    { readonly Node: CatalogNode; readonly Services: readonly NodeService[] } | null
  >;
  readonly 'catalog.byAddress': Read<
    { readonly address: string },
    { readonly Nodes: readonly string[]; readonly Services: readonly string[] }
  >;
  readonly 'health.node': Read<NodeArgs, readonly HealthCheck[]>;
  readonly 'health.checks': Read<ListArgs & { readonly service: string }, readonly HealthCheck[]>;
  readonly 'health.service': Read<HealthServiceArgs, readonly ServiceInstance[]>;
  readonly 'health.state': Read<ListArgs & { readonly state: string }, readonly HealthCheck[]>;
}

interface Instance {
  readonly node: Stored<NodeEntity>;
  readonly service: Stored<ServiceEntity>;
}

export function createReads(tables: CatalogTables, distance: Distance, datacenter: string): CatalogReads {
  const { nodes, services, checks } = tables;

  const sortNear = <T>(near: string | undefined, items: readonly T[], nodeOf: (item: T) => string): readonly T[] => {
    if (near === undefined || near === '') return items;
    const far = items.map((item) => ({ item, distance: distance(near, nodeOf(item)) }));
    return far.sort((a, b) => compareDistance(a.distance, b.distance)).map(({ item }) => item);
  };

  const nodeHas = (node: string, wanted: ListArgs['nodeMeta']): boolean =>
    wanted === undefined || metaMatches(nodes.get(nodeKey(node))?.value.Meta, wanted);

  const instances = (args: ServiceArgs): readonly Instance[] => {
    const found: Instance[] = [];
    for (const service of services.by(args.connect === true ? 'connect' : 'service', fold(args.service))) {
      const node = nodes.get(nodeKey(service.value.Node));
      if (node === undefined || !hasTags(service.value, args.tags)) continue;
      if (args.nodeMeta !== undefined && !metaMatches(node.value.Meta, args.nodeMeta)) continue;
      found.push({ node, service });
    }
    return sortNear(args.near, found, (instance) => instance.node.value.Node);
  };

  const listChecks = (rows: readonly Stored<CheckEntity>[], args: ListArgs): readonly HealthCheck[] => {
    const kept = args.nodeMeta === undefined ? rows : rows.filter((row) => nodeHas(row.value.Node, args.nodeMeta));
    return healthCheckFilter.apply(args.filter, sortNear(args.near, kept, (row) => row.value.Node).map(checkForm));
  };

  /** Services by their instances, which a filter looks at in the flat form. */
  const matching = (
    nodeMeta: ListArgs['nodeMeta'],
    filter: string | undefined,
  ): readonly Pick<ServiceEntity, 'Service' | 'Tags'>[] => {
    const rows = services.list().filter((row) => nodeHas(row.value.Node, nodeMeta));
    if (filter === undefined) return rows.map((row) => row.value);
    const flat = rows.flatMap((service) => {
      const node = nodes.get(nodeKey(service.value.Node));
      return node === undefined ? [] : [catalogServiceForm(node.value, service)];
    });
    const kept = catalogServiceFilter.apply(filter, flat);
    return kept.map(({ ServiceName, ServiceTags }) => ({ Service: ServiceName, Tags: ServiceTags }));
  };

  const nodeServices = (node: string): readonly NodeService[] => services.by('node', fold(node)).map(serviceForm);

  const instanceChecks = ({ node, service }: Instance, form = checkForm): readonly HealthCheck[] => {
    const ofNode = checks.by('instance', instanceKey(node.value.Node, ''));
    return [...ofNode, ...checks.by('instance', service.key)].map(form);
  };

  return {
    ...createUiReads(tables, (instance) => instanceChecks(instance), datacenter),

    'catalog.nodes': {
      topics: () => ['nodes'],
      produce: (args) => {
        const { nodeMeta } = args;
        const rows = nodes.list();
        const kept = nodeMeta === undefined ? rows : rows.filter((row) => metaMatches(row.value.Meta, nodeMeta));
        return nodeFilter.apply(args.filter, sortNear(args.near, kept, (row) => row.value.Node).map(nodeForm));
      },
    },

    'catalog.services': {
      topics: ({ nodeMeta, filter }) =>
        nodeMeta === undefined && filter === undefined ? ['services'] : ['services', 'nodes'],
      produce: ({ nodeMeta, filter }) => {
        const tags = new Map<string, Set<string>>();
        for (const { Service, Tags } of matching(nodeMeta, filter)) {
          let known = tags.get(Service);
          if (known === undefined) {
            known = new Set();
            tags.set(Service, known);
          }
          for (const tag of Tags ?? []) known.add(tag);
        }
        const names = [...tags.keys()].sort();
        return Object.fromEntries(names.map((name) => [name, [...(tags.get(name) ?? [])].sort()]));
      },
    },

    'catalog.service': {
      topics: (args) => [args.connect === true ? topic.connect(args.service) : topic.service(args.service)],
      produce: (args) =>
        catalogServiceFilter.apply(
          args.filter,
          instances(args).map(({ node, service }) => catalogServiceForm(node.value, service)),
        ),
    },

    'catalog.node': {
      topics: (args) => [topic.node(args.node)],
      produce: (args) => {
        const node = nodes.get(nodeKey(args.node));
        if (node === undefined) return null;
        const kept = nodeServiceFilter.apply(args.filter, nodeServices(args.node));
        return { Node: nodeForm(node), Services: Object.fromEntries(kept.map((service) => [service.ID, service])) };
      },
    },

    'catalog.nodeServices': {
      topics: (args) => [topic.node(args.node)],
      produce: (args) => {
        const node = nodes.get(nodeKey(args.node));
        if (node === undefined) return null;
        return { Node: nodeForm(node), Services: nodeServiceFilter.apply(args.filter, nodeServices(args.node)) };
      },
    },

    'catalog.byAddress': {
      topics: () => ['nodes', 'services'],
      produce: ({ address }) => ({
        Nodes: nodes.by('address', address).map((row) => row.value.Node),
        Services: [...new Set(services.by('address', address).map((row) => row.value.Service))],
      }),
    },

    'health.node': {
      topics: (args) => [topic.nodeChecks(args.node)],
      produce: (args) => healthCheckFilter.apply(args.filter, checks.by('node', fold(args.node)).map(checkForm)),
    },

    'health.checks': {
      topics: (args) =>
        args.nodeMeta === undefined
          ? [topic.serviceChecks(args.service)]
          : [topic.serviceChecks(args.service), topic.service(args.service)],
      produce: (args) => listChecks(checks.by('service', fold(args.service)), args),
    },

    'health.service': {
      topics: (args) =>
        args.connect === true
          ? [topic.connect(args.service), topic.connectHealth(args.service)]
          : [topic.service(args.service), topic.serviceHealth(args.service)],
      produce: (args) => {
        const found: ServiceInstance[] = [];
        const form = args.asStored === true ? rawServiceForm : serviceForm;
        for (const instance of instances(args)) {
          const all = instanceChecks(instance, args.asStored === true ? rawCheckForm : checkForm);
          if (args.passing === true && all.some((check) => check.Status !== 'passing')) continue;
          found.push({ Node: nodeForm(instance.node), Service: form(instance.service), Checks: all });
        }
        return serviceInstanceFilter.apply(args.filter, found);
      },
    },

    'health.state': {
      topics: (args) => (args.nodeMeta === undefined ? ['checks'] : ['checks', 'nodes']),
      produce: (args) => listChecks(args.state === 'any' ? checks.list() : checks.by('status', args.state), args),
    },
  };
}

function metaMatches(meta: CatalogNode['Meta'] | undefined, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([name, value]) => meta?.[name] === value);
}

/** Tags are compared without regard to case. */
function hasTags(service: ServiceEntity, wanted: readonly string[] | undefined): boolean {
  if (wanted === undefined || wanted.length === 0) return true;
  return wanted.every((tag) => service.Tags?.some((own) => fold(own) === fold(tag)) === true);
}

/** Unknown distances last; Infinity minus Infinity is no number. */
function compareDistance(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
