import type { CatalogNode, HealthCheck, NodeService, ServiceInstance } from '../../model/catalog.ts';
import { nodeDumpFilter, serviceInstanceFilter } from '../../model/filter/schemas.ts';
import type { ListArgs } from '../../model/requests.ts';
import type { Read } from '../../store/read.ts';
import type { Stored } from '../../store/table.ts';
import { nodeForm, rawCheckForm, rawServiceForm } from './shapes.ts';
import {
  type CatalogTables,
  type CheckEntity,
  fold,
  instanceKey,
  type NodeEntity,
  nodeKey,
  type ServiceEntity,
} from './tables.ts';

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

/** How many of a name are in which state. */
export interface HealthSummary {
  readonly Name: string;
  readonly Total: number;
  readonly Passing: number;
  readonly Warning: number;
  readonly Critical: number;
}

/** /v1/internal/ui/catalog-overview */
export interface CatalogOverview {
  readonly Nodes: readonly HealthSummary[];
  readonly Services: readonly HealthSummary[];
  readonly Checks: readonly HealthSummary[];
}

type FilterArgs = Pick<ListArgs, 'filter'>;

export interface UiReads {
  readonly 'internal.uiServices': Read<FilterArgs, readonly ServiceSummary[]>;
  readonly 'internal.uiNodes': Read<FilterArgs, readonly NodeDump[]>;
  readonly 'internal.uiCatalogOverview': Read<Record<never, never>, CatalogOverview>;
  readonly 'operator.usage': Read<Record<never, never>, unknown>;
}

type InstanceChecks = (instance: {
  readonly node: Stored<NodeEntity>;
  readonly service: Stored<ServiceEntity>;
}) => readonly HealthCheck[];

export function createUiReads(tables: CatalogTables, instanceChecks: InstanceChecks, datacenter: string): UiReads {
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
    'internal.uiCatalogOverview': {
      topics: () => ['nodes', 'services', 'checks'],
      produce: () => overview(tables),
    },
    'operator.usage': {
      topics: () => ['nodes', 'services'],
      produce: () => ({ Usage: { [datacenter]: usage(tables) } }),
    },
  };
}

function overview({ nodes, services, checks }: CatalogTables): CatalogOverview {
  const ofNode = (node: string): string => worst(checks.by('instance', instanceKey(node, '')));
  const nodeStates = nodes.list().map(({ value }): [string, string] => [value.Node, ofNode(value.Node)]);
  const byNode = new Map(nodeStates.map(([node, state]) => [fold(node), state]));
  const instances = services.list().map(({ value }): [string, string] => {
    const own = worst(checks.by('instance', instanceKey(value.Node, value.ID)));
    return [value.Service, worse(own, byNode.get(fold(value.Node)) ?? 'passing')];
  });
  return {
    Nodes: [...summaries(nodeStates.map(([, state]) => ['Nodes', state]))],
    Services: summaries(instances),
    Checks: summaries(checks.list().map(({ value }) => [value.Name, value.Status])),
  };
}

const STATES = ['passing', 'warning', 'critical'];

function worse(a: string, b: string): string {
  return STATES.indexOf(a) >= STATES.indexOf(b) ? a : b;
}

function worst(rows: readonly Stored<CheckEntity>[]): string {
  return rows.reduce((state, { value }) => worse(state, value.Status), 'passing');
}

function summaries(states: readonly (readonly [name: string, state: string])[]): readonly HealthSummary[] {
  const counts = new Map<string, Record<string, number>>();
  for (const [name, state] of states) {
    const count = counts.get(name) ?? {};
    count[state] = (count[state] ?? 0) + 1;
    counts.set(name, count);
  }
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([Name, { passing = 0, warning = 0, critical = 0 }]) => ({
      Name,
      Total: passing + warning + critical,
      Passing: passing,
      Warning: warning,
      Critical: critical,
    }));
}

function usage({ nodes, services }: CatalogTables) {
  const kinds: Record<string, number> = Object.fromEntries(MESH_KINDS.map((kind) => [kind, 0]));
  const names = new Set<string>();
  let billable = 0;
  for (const { value } of services.list()) {
    names.add(fold(value.Service));
    const kind = value.Connect.Native === true ? 'connect-native' : (value.Kind ?? '');
    if (Object.hasOwn(kinds, kind)) kinds[kind] = (kinds[kind] as number) + 1;
    if ((value.Kind ?? '') === '' && fold(value.Service) !== 'consul') billable += 1;
  }
  return {
    Nodes: nodes.size,
    Services: names.size,
    ServiceInstances: services.size,
    ConnectServiceInstances: kinds,
    BillableServiceInstances: billable,
  };
}

const MESH_KINDS = [
  'connect-native',
  'connect-proxy',
  'ingress-gateway',
  'mesh-gateway',
  'terminating-gateway',
  'api-gateway',
];

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
