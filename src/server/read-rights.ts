import type { AclToken } from '../model/acl.ts';
import type { CatalogNode, CatalogService, HealthCheck, NodeService, ServiceInstance } from '../model/catalog.ts';
import type { ConfigEntry } from '../model/config-entry.ts';
import type { NodeCoordinate } from '../model/coordinate.ts';
import type { Intention } from '../model/intention.ts';
import type { Member } from '../model/member.ts';
import { HIDDEN_TOKEN } from '../model/prepared-query.ts';
import type { IntentionPair } from '../model/requests.ts';
import type { Access, Resource, Rights } from '../model/rights.ts';
import type { ResolveArgs } from '../model/upstream.ts';

/** What a read takes: a right to ask at all, and what is left out of the answer. */
export interface ReadRights<Args = never, Value = never> {
  /** False refuses the read. */
  allow?(rights: Rights, args: Args): boolean;
  /** The answer as this reader may see it; the same object when nothing is left out. Undefined refuses it after all. */
  show?(rights: Rights, value: Value, args: Args): unknown;
}

const OPEN: ReadRights = {};

function needs(resource: Resource, access: Access): ReadRights {
  return { allow: (rights) => rights.may(resource, '', access) };
}

/** Typed by what the read of that name takes and gives. */
function rule<Args, Value>(rights: ReadRights<Args, Value>): ReadRights {
  return rights as unknown as ReadRights;
}

type Named = { readonly service: string; readonly connect?: boolean };

const seesNode = (rights: Rights, name: string): boolean => rights.may('node', name, 'read');
const seesService = (rights: Rights, name: string): boolean => name === '' || rights.may('service', name, 'read');
const seesCheck = (rights: Rights, check: HealthCheck): boolean =>
  seesNode(rights, check.Node) && seesService(rights, check.ServiceName);
const seesInstance = (rights: Rights, { Node, Service }: ServiceInstance): boolean =>
  seesNode(rights, Node.Node) && seesService(rights, Service.Service);

/** Either end's owner may see an intention. */
const seesIntention = (rights: Rights, { SourceName, DestinationName }: Intention): boolean =>
  (SourceName !== '' && rights.may('intention', SourceName, 'read')) ||
  (DestinationName !== '' && rights.may('intention', DestinationName, 'read'));

function seesEntry(rights: Rights, { Kind, Name }: Pick<ConfigEntry, 'Kind' | 'Name'>): boolean {
  if (Kind === 'proxy-defaults') return true;
  return rights.may(Kind === 'service-intentions' ? 'intention' : 'service', Name, 'read');
}

type ReadQuery = { readonly Name: string; readonly Token?: string };

/** Unnamed queries are known to those who know their ID. */
const seesQuery = (rights: Rights, query: { readonly Name: string; readonly Template?: unknown }): boolean =>
  query.Name === '' ? rights.may('acl', '', 'write') : rights.may('query', query.Name, 'read');

/** As the reader may see a query: its token is a secret. */
function shownQuery<Q extends { readonly Token?: string }>(rights: Rights, query: Q): Q {
  return !query.Token || rights.may('acl', '', 'write') ? query : { ...query, Token: HIDDEN_TOKEN };
}

const shownQueries = <Q extends { readonly Token?: string }>(rights: Rights, queries: readonly Q[]): readonly Q[] =>
  queries.some((query) => shownQuery(rights, query) !== query)
    ? queries.map((query) => shownQuery(rights, query))
    : queries;

const list = <T>(sees: (rights: Rights, item: T) => boolean): ReadRights =>
  rule<unknown, readonly T[]>({ show: (rights, items) => kept(items, (item) => sees(rights, item)) });

/** Proxies of a service are looked for by the service's name, whatever their own is. */
const connectTarget = (rights: Rights, { service, connect }: Named): boolean =>
  connect !== true || seesService(rights, service);

const instancesOf = rule<Named, readonly ServiceInstance[]>({
  show: (rights, instances, args) =>
    connectTarget(rights, args) ? kept(instances, (instance) => seesInstance(rights, instance)) : [],
});

const onIntentions = rule<IntentionPair, unknown>({
  allow: (rights, { destination }) => rights.may('intention', destination, 'read'),
});

const oneIntention = rule<unknown, Intention>({
  show: (rights, intention) => (seesIntention(rights, intention) ? intention : undefined),
});

/** Reads that are not here are refused to all who may not do everything. */
export const READ_RIGHTS: Readonly<Record<string, ReadRights>> = {
  'status.leader': OPEN,
  'status.peers': OPEN,
  'catalog.datacenters': OPEN,
  'replication.ages': OPEN,
  'replication.applied': OPEN,
  'catalog.nodes': list<CatalogNode>((rights, { Node }) => seesNode(rights, Node)),
  'catalog.services': rule<unknown, Readonly<Record<string, readonly string[]>>>({
    show(rights, services) {
      const names = Object.keys(services);
      const seen = kept(names, (name) => seesService(rights, name));
      return seen === names ? services : Object.fromEntries(seen.map((name) => [name, services[name]]));
    },
  }),
  'catalog.service': rule<Named, readonly CatalogService[]>({
    show: (rights, services, args) =>
      connectTarget(rights, args)
        ? kept(services, ({ Node, ServiceName }) => seesNode(rights, Node) && seesService(rights, ServiceName))
        : [],
  }),
  'catalog.byAddress': rule<unknown, { readonly Nodes: readonly string[]; readonly Services: readonly string[] }>({
    show: (rights, { Nodes, Services }) => ({
      Nodes: kept(Nodes, (node) => seesNode(rights, node)),
      Services: kept(Services, (service) => seesService(rights, service)),
    }),
  }),
  'catalog.node': rule<unknown, { readonly Node: CatalogNode; readonly Services: Record<string, NodeService> } | null>({
    show(rights, answer) {
      if (answer === null || !seesNode(rights, answer.Node.Node)) return null;
      const all = Object.entries(answer.Services);
      const seen = kept(all, ([, { Service }]) => seesService(rights, Service));
      return seen === all ? answer : { ...answer, Services: Object.fromEntries(seen) };
    },
  }),
  'catalog.nodeServices': rule<
    unknown,
    { readonly Node: CatalogNode; readonly Services: readonly NodeService[] } | null
  >({
    show(rights, answer) {
      if (answer === null || !seesNode(rights, answer.Node.Node)) return null;
      const seen = kept(answer.Services, ({ Service }) => seesService(rights, Service));
      return seen === answer.Services ? answer : { ...answer, Services: seen };
    },
  }),
  'health.node': list(seesCheck),
  'health.checks': list(seesCheck),
  'health.state': list(seesCheck),
  'health.service': instancesOf,
  'config.get': rule<{ readonly kind: ConfigEntry['Kind']; readonly name: string }, unknown>({
    allow: (rights, { kind, name }) => seesEntry(rights, { Kind: kind, Name: name }),
  }),
  'config.list': list<ConfigEntry>(seesEntry),
  'intentions.list': list(seesIntention),
  'intentions.get': oneIntention,
  'intentions.exact': oneIntention,
  'intentions.match': rule<{ readonly names: readonly string[] }, unknown>({
    allow: (rights, { names }) => names.every((name) => rights.may('intention', name, 'read')),
  }),
  // Tells no more than an attempt to connect would.
  'intentions.check': rule<IntentionPair, unknown>({
    allow: (rights, { destination }) => rights.may('service', destination, 'read'),
  }),
  'intentions.explain': onIntentions,
  'intentions.verdicts': onIntentions,
  'ca.roots': OPEN,
  'ca.config': { allow: (rights) => rights.replication || rights.may('operator', '', 'read') },
  'ca.rotation': needs('operator', 'read'),
  'ca.status': needs('operator', 'read'),
  'federation.autonomy': needs('operator', 'read'),
  'replication.status': needs('operator', 'read'),
  'transport.invitations': needs('operator', 'read'),
  'members.wan': list<Member>((rights, { Name }) => seesNode(rights, Name)),
  'members.lan': list<Member>((rights, { Name }) => seesNode(rights, Name)),
  'operator.raftConfiguration': needs('operator', 'read'),
  'operator.autopilotHealth': needs('operator', 'read'),
  'coordinate.datacenters': OPEN,
  'coordinate.nodes': list<NodeCoordinate>((rights, { Node }) => seesNode(rights, Node)),
  'coordinate.node': rule<{ readonly node: string }, unknown>({ allow: (rights, { node }) => seesNode(rights, node) }),
  'discoveryChain.get': rule<{ readonly service: string }, unknown>({
    allow: (rights, { service }) => rights.may('service', service, 'read'),
  }),
  'queries.list': rule<unknown, readonly ReadQuery[]>({
    show: (rights, queries) =>
      shownQueries(
        rights,
        kept(queries, (query) => seesQuery(rights, query)),
      ),
  }),
  'queries.get': rule<unknown, readonly ReadQuery[]>({
    show: (rights, queries) =>
      queries.every((query) => query.Name === '' || seesQuery(rights, query))
        ? shownQueries(rights, queries)
        : undefined,
  }),
  'queries.explain': rule<unknown, { readonly Query: ReadQuery }>({
    show(rights, explanation) {
      if (!seesQuery(rights, explanation.Query)) return undefined;
      const Query = shownQuery(rights, explanation.Query);
      return Query === explanation.Query ? explanation : { ...explanation, Query };
    },
  }),
  // Each datacenter shows of its instances what the query's own token, else the caller's, may see.
  'queries.execute': OPEN,
  'upstreams.resolve': rule<ResolveArgs, unknown>({
    allow: (rights, { type, name }) => type !== 'service' || seesService(rights, name),
  }),
  'queries.forecast': rule<unknown, { readonly Name: string }>({
    show: (rights, forecast) => (seesQuery(rights, forecast) ? forecast : undefined),
  }),
  'queries.candidates': instancesOf,
  'internal.uiServices': list<{ readonly Name: string }>((rights, { Name }) => seesService(rights, Name)),
  'internal.uiNodes': rule<unknown, readonly NodeDump[]>({
    show: (rights, nodes) =>
      kept(nodes, ({ Node }) => seesNode(rights, Node)).map((node) => ({
        ...node,
        Services: kept(node.Services, ({ Service }) => seesService(rights, Service)),
        Checks: kept(node.Checks, (check) => seesCheck(rights, check)),
      })),
  }),
  'acl.tokens': needs('acl', 'read'),
  'acl.token': rule<unknown, AclToken>({
    allow: (rights) => rights.may('acl', '', 'read'),
    show: (rights, token) => (rights.may('acl', '', 'write') ? token : { ...token, SecretID: HIDDEN_TOKEN }),
  }),
  'acl.policies': needs('acl', 'read'),
  'acl.policy': needs('acl', 'read'),
  'acl.roles': needs('acl', 'read'),
  'acl.role': needs('acl', 'read'),
  'acl.replication': OPEN,
};

interface NodeDump {
  readonly Node: string;
  readonly Services: readonly NodeService[];
  readonly Checks: readonly HealthCheck[];
}

/** Stands for a secret that the reader may not know, as in the peer. */

/** The same array when all are kept. */
function kept<T>(items: readonly T[], sees: (item: T) => boolean): readonly T[] {
  const seen = items.filter(sees);
  return seen.length === items.length ? items : seen;
}
