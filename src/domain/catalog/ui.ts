import type { CatalogNode, HealthCheck, NodeService, ServiceInstance } from '../../model/catalog.ts';
import { nodeDumpFilter, serviceInstanceFilter } from '../../model/filter/schemas.ts';
import type { ListArgs } from '../../model/requests.ts';
import type { Read } from '../../store/read.ts';
import type { Stored } from '../../store/table.ts';
import { nodeForm, rawCheckForm, rawServiceForm } from './shapes.ts';
import { type CatalogTables, fold, type NodeEntity, nodeKey, type ServiceEntity } from './tables.ts';

/** One line of /v1/internal/ui/services. */
export interface ServiceSummary {
  readonly Kind?: string;
  readonly Name: string;
  readonly Datacenter: string;
  readonly Tags: readonly string[] | null;
  readonly Nodes: readonly string[];
  readonly ExternalSources: readonly string[] | null;
  readonly InstanceCount: number;
  readonly ChecksPassing: number;
  readonly ChecksWarning: number;
  readonly ChecksCritical: number;
  readonly GatewayConfig: Readonly<Record<never, never>>;
  readonly ConnectedWithProxy: boolean;
  readonly ConnectedWithGateway: boolean;
}

/** One line of /v1/internal/ui/nodes. */
export interface NodeDump {
  readonly ID: string;
  readonly Node: string;
  readonly Address: string;
  readonly TaggedAddresses: CatalogNode['TaggedAddresses'];
  readonly Meta: CatalogNode['Meta'];
  readonly Services: readonly NodeService[];
  readonly Checks: readonly HealthCheck[];
}

type FilterArgs = Pick<ListArgs, 'filter'>;

export interface UiReads {
  readonly 'internal.uiServices': Read<FilterArgs, readonly ServiceSummary[]>;
  readonly 'internal.uiNodes': Read<FilterArgs, readonly NodeDump[]>;
}

type InstanceChecks = (instance: {
  readonly node: Stored<NodeEntity>;
  readonly service: Stored<ServiceEntity>;
}) => readonly HealthCheck[];

export function createUiReads(tables: CatalogTables, instanceChecks: InstanceChecks): UiReads {
  const { nodes, services, checks } = tables;
  return {
    'internal.uiServices': {
      topics: () => ['nodes', 'services', 'checks'],
      produce: (args) => {
        const byName = new Map<string, ServiceInstance[]>();
        for (const service of services.list()) {
          const node = nodes.get(nodeKey(service.value.Node));
          if (node === undefined) continue;
          const instance = {
            Node: nodeForm(node),
            Service: rawServiceForm(service),
            Checks: instanceChecks({ node, service }),
          };
          const known = byName.get(service.value.Service);
          if (known === undefined) byName.set(service.value.Service, [instance]);
          else known.push(instance);
        }
        const summaries: ServiceSummary[] = [];
        for (const name of [...byName.keys()].sort()) {
          const kept = serviceInstanceFilter.apply(args.filter, byName.get(name) ?? []);
          if (kept.length > 0) summaries.push(summarize(name, kept, hasProxy(tables, name)));
        }
        return summaries;
      },
    },
    'internal.uiNodes': {
      topics: () => ['nodes', 'services', 'checks'],
      produce: (args) => {
        const dumps = nodes.list().map((row): NodeDump => {
          const { ID, Node, Address, TaggedAddresses, Meta } = row.value;
          return {
            ID,
            Node,
            Address,
            TaggedAddresses,
            Meta,
            Services: services.by('node', fold(Node)).map(rawServiceForm),
            Checks: checks.by('node', fold(Node)).map(rawCheckForm),
          };
        });
        return nodeDumpFilter.apply(args.filter, dumps) as readonly NodeDump[];
      },
    },
  };
}

function hasProxy(tables: CatalogTables, service: string): boolean {
  return tables.services.by('connect', fold(service)).some((row) => row.value.Kind === 'connect-proxy');
}

function summarize(name: string, instances: readonly ServiceInstance[], connectedWithProxy: boolean): ServiceSummary {
  const first = instances[0] as ServiceInstance;
  const statuses = new Map<string, string>(); // a node's check counts once for all of its instances
  const tags = new Set<string>();
  const sources = new Set<string>();
  for (const { Node, Service, Checks } of instances) {
    for (const check of Checks) statuses.set(JSON.stringify([Node.Node, check.CheckID]), check.Status);
    for (const tag of Service.Tags ?? []) tags.add(tag);
    const source = Service.Meta?.['external-source'];
    if (source !== undefined && source !== '') sources.add(source);
  }
  const count = (status: string): number => [...statuses.values()].filter((found) => found === status).length;
  return {
    ...(first.Service.Kind === undefined ? {} : { Kind: first.Service.Kind }),
    Name: name,
    Datacenter: first.Node.Datacenter,
    Tags: sortedOrNull(tags),
    Nodes: [...new Set(instances.map((instance) => instance.Node.Node))],
    ExternalSources: sortedOrNull(sources),
    InstanceCount: instances.length,
    ChecksPassing: count('passing'),
    ChecksWarning: count('warning'),
    ChecksCritical: count('critical'),
    GatewayConfig: {},
    ConnectedWithProxy: connectedWithProxy,
    ConnectedWithGateway: false,
  };
}

function sortedOrNull(values: ReadonlySet<string>): readonly string[] | null {
  return values.size === 0 ? null : [...values].sort();
}
