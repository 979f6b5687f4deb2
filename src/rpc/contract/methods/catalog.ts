import type {
  CatalogNode,
  CatalogService,
  DeregisterRequest,
  HealthCheck,
  NodeService,
  RegisterRequest,
  ServiceInstance,
} from '../../../model/catalog.ts';
import type { CoordinateUpdate, DatacenterCoordinates, NodeCoordinate } from '../../../model/coordinate.ts';
import type { HealthServiceArgs, ListArgs, ServiceArgs } from '../../../model/requests.ts';
import { type NoArgs, OWN_DATA, read, write } from './method.ts';
import { mayDeregister, mayRegister } from './register-rights.ts';
import { instances, kept, list, OPEN, seesCheck, seesConnectTarget, seesNode, seesService } from './rights.ts';
import { EVERYONE } from './roles.ts';

interface NodeDump {
  readonly Node: string;
  readonly Services: readonly NodeService[];
  readonly Checks: readonly HealthCheck[];
}

export const catalogReads = {
  /** Known datacenters, nearest first. */
  'catalog.datacenters': read<NoArgs, readonly string[]>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: OPEN,
  }),
  'catalog.nodes': read<ListArgs, readonly CatalogNode[]>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: list((rights, { Node }) => seesNode(rights, Node)),
  }),
  'catalog.services': read<ListArgs, Readonly<Record<string, readonly string[]>>>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: {
      show(rights, services) {
        const names = Object.keys(services);
        const seen = kept(names, (name) => seesService(rights, name));
        return seen === names ? services : Object.fromEntries(seen.map((name) => [name, services[name] ?? []]));
      },
    },
  }),
  'catalog.service': read<ServiceArgs, readonly CatalogService[]>({
    ...OWN_DATA,
    needs: { service: 'text' },
    callers: EVERYONE,
    rights: {
      show: (rights, services, args) =>
        seesConnectTarget(rights, args)
          ? kept(services, ({ Node, ServiceName }) => seesNode(rights, Node) && seesService(rights, ServiceName))
          : [],
    },
  }),
  'catalog.node': read<
    { readonly node: string; readonly filter?: string },
    { readonly Node: CatalogNode; readonly Services: Readonly<Record<string, NodeService>> } | null
  >({
    ...OWN_DATA,
    needs: { node: 'text' },
    callers: EVERYONE,
    rights: {
      show(rights, answer) {
        if (answer === null || !seesNode(rights, answer.Node.Node)) return null;
        const all = Object.entries(answer.Services);
        const seen = kept(all, ([, { Service }]) => seesService(rights, Service));
        return seen === all ? answer : { ...answer, Services: Object.fromEntries(seen) };
      },
    },
  }),
  'catalog.nodeServices': read<
    { readonly node: string; readonly filter?: string },
    { readonly Node: CatalogNode; readonly Services: readonly NodeService[] } | null
  >({
    ...OWN_DATA,
    needs: { node: 'text' },
    callers: EVERYONE,
    rights: {
      show(rights, answer) {
        if (answer === null || !seesNode(rights, answer.Node.Node)) return null;
        const seen = kept(answer.Services, ({ Service }) => seesService(rights, Service));
        return seen === answer.Services ? answer : { ...answer, Services: seen };
      },
    },
  }),
  /** Names of the nodes with an address, and of the services whose own address it is. */
  'catalog.byAddress': read<
    { readonly address: string },
    { readonly Nodes: readonly string[]; readonly Services: readonly string[] }
  >({
    ...OWN_DATA,
    needs: { address: 'text' },
    callers: EVERYONE,
    rights: {
      show: (rights, { Nodes, Services }) => ({
        Nodes: kept(Nodes, (node) => seesNode(rights, node)),
        Services: kept(Services, (service) => seesService(rights, service)),
      }),
    },
  }),
  'health.node': read<{ readonly node: string; readonly filter?: string }, readonly HealthCheck[]>({
    ...OWN_DATA,
    needs: { node: 'text' },
    callers: EVERYONE,
    rights: list(seesCheck),
  }),
  'health.checks': read<ListArgs & { readonly service: string }, readonly HealthCheck[]>({
    ...OWN_DATA,
    needs: { service: 'text' },
    callers: EVERYONE,
    rights: list(seesCheck),
  }),
  'health.service': read<HealthServiceArgs, readonly ServiceInstance[]>({
    ...OWN_DATA,
    needs: { service: 'text' },
    callers: EVERYONE,
    rights: instances(),
  }),
  'health.state': read<ListArgs & { readonly state: string }, readonly HealthCheck[]>({
    ...OWN_DATA,
    needs: { state: 'text' },
    callers: EVERYONE,
    rights: list(seesCheck),
  }),
  'coordinate.datacenters': read<NoArgs, readonly DatacenterCoordinates[]>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: OPEN,
  }),
  'coordinate.nodes': read<{ readonly segment?: string }, readonly NodeCoordinate[]>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: list((rights, { Node }) => seesNode(rights, Node)),
  }),
  'coordinate.node': read<{ readonly node: string; readonly segment?: string }, readonly NodeCoordinate[]>({
    ...OWN_DATA,
    needs: { node: 'text' },
    callers: EVERYONE,
    rights: { allow: (rights, { node }) => seesNode(rights, node) },
  }),
  'internal.uiServices': read<ListArgs, unknown>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: list<{ readonly Name: string }>((rights, { Name }) => seesService(rights, Name)),
  }),
  /** Counts of what cannot be seen one by one: only who may read all of it is answered. */
  'internal.uiCatalogOverview': read<NoArgs, unknown>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: { allow: (rights) => rights.mayAll('node', 'read') && rights.mayAll('service', 'read') },
  }),
  'internal.uiNodes': read<ListArgs, unknown>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: {
      show: (rights, nodes) =>
        kept(nodes as readonly NodeDump[], ({ Node }) => seesNode(rights, Node)).map((node) => ({
          ...node,
          Services: kept(node.Services, ({ Service }) => seesService(rights, Service)),
          Checks: kept(node.Checks, (check) => seesCheck(rights, check)),
        })),
    },
  }),
};

const OF_A_DATACENTER = { decided: 'named', leader: false, arrivesIn: undefined } as const;

export const catalogWrites = {
  'catalog.register': write<RegisterRequest, true>({
    ...OF_A_DATACENTER,
    needs: {},
    repeatable: true,
    audit: ['Datacenter', 'ID', 'Node', 'Service.Kind', 'Service.ID', 'Check.Name', 'Check.CheckID', 'Check.ServiceID'],
    callers: EVERYONE,
    rights: mayRegister,
  }),
  'catalog.deregister': write<DeregisterRequest, true>({
    ...OF_A_DATACENTER,
    needs: {},
    repeatable: true,
    audit: ['Datacenter', 'Node', 'ServiceID', 'CheckID'],
    callers: EVERYONE,
    rights: mayDeregister,
  }),
  'coordinate.update': write<CoordinateUpdate, null>({
    ...OF_A_DATACENTER,
    needs: {},
    repeatable: false,
    audit: ['Datacenter', 'Node'],
    callers: EVERYONE,
    rights: (rights, { Node = '' }) => rights.may('node', Node, 'write'),
  }),
};
