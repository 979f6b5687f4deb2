import type { DeregisterRequest, HealthCheck, NodeService, RegisterRequest } from '../model/catalog.ts';
import type { CoordinateUpdate } from '../model/coordinate.ts';
import type { Intention } from '../model/intention.ts';
import type { IntentionPair } from '../model/requests.ts';
import type { Access, Resource, Rights } from '../model/rights.ts';
import { tryParseSpiffe } from '../model/spiffe.ts';

/** What is stored now, as the decision on a write needs it. */
export interface StoredFacts {
  node(name: string): { readonly Node: string; readonly Address: string; readonly ID: string } | undefined;
  /** Name of the node with this ID. */
  nodeWithId(id: string): string | undefined;
  services(node: string): readonly Pick<NodeService, 'ID' | 'Service'>[];
  checks(node: string): readonly Pick<HealthCheck, 'CheckID' | 'ServiceName'>[];
  /** Destination of an intention. */
  intentionDestination(id: string): string | undefined;
  /** Name of a prepared query. */
  queryName(id: string): string | undefined;
  /** What a certificate request asks to be; undefined when it can't be read. */
  csrUri(csr: string): string | undefined;
}

/** True when the write may be carried out. */
export type WriteRights<Args = never> = (rights: Rights, args: Args, facts: StoredFacts) => boolean;

function needs(resource: Resource, access: Access): WriteRights {
  return (rights) => rights.may(resource, '', access);
}

function rule<Args>(rights: WriteRights<Args>): WriteRights {
  return rights as unknown as WriteRights;
}

const onPair = rule<IntentionPair>((rights, { destination }) => rights.may('intention', destination, 'write'));
const replicates: WriteRights = (rights) => rights.replication || rights.may('operator', '', 'write');
const managesTokens = needs('acl', 'write');

/** Writes that are not here are refused to all who may not do everything. */
export const WRITE_RIGHTS: Readonly<Record<string, WriteRights>> = {
  'catalog.register': rule(mayRegister),
  'catalog.deregister': rule(mayDeregister),
  'coordinate.update': rule<CoordinateUpdate>((rights, { Node = '' }) => rights.may('node', Node, 'write')),
  'config.apply': rule<{ readonly entry: unknown }>((rights, { entry }) =>
    mayWriteEntry(rights, text(entry, 'kind'), text(entry, 'name')),
  ),
  'config.delete': rule<{ readonly kind: string; readonly name: string }>((rights, { kind, name }) =>
    mayWriteEntry(rights, kind, name),
  ),
  'intentions.create': rule<{ readonly intention: Partial<Intention> }>((rights, { intention }) =>
    rights.may('intention', intention.DestinationName ?? '', 'write'),
  ),
  'intentions.update': rule<{ readonly id: string; readonly intention: Partial<Intention> }>(
    (rights, { id, intention }, facts) =>
      rights.may('intention', intention.DestinationName ?? '', 'write') &&
      rights.may('intention', facts.intentionDestination(id) ?? '', 'write'),
  ),
  'intentions.upsertExact': onPair,
  'intentions.delete': rule<{ readonly id: string }>((rights, { id }, facts) =>
    rights.may('intention', facts.intentionDestination(id) ?? '', 'write'),
  ),
  'intentions.deleteExact': onPair,
  'queries.create': rule<{ readonly query: QueryNames }>((rights, { query }) => mayWriteQuery(rights, query)),
  'queries.update': rule<{ readonly id: string; readonly query: QueryNames }>(
    (rights, { id, query }, facts) => mayWriteQuery(rights, query) && mayWriteStoredQuery(rights, id, facts),
  ),
  'queries.delete': rule<{ readonly id: string }>((rights, { id }, facts) => mayWriteStoredQuery(rights, id, facts)),
  'ca.setConfig': needs('operator', 'write'),
  'ca.rotate': needs('operator', 'write'),
  'ca.signLeaf': rule<{ readonly csr: string }>((rights, { csr }, facts) => {
    const uri = facts.csrUri(csr);
    const id = uri === undefined ? undefined : tryParseSpiffe(uri);
    return id?.kind === 'service' && rights.may('service', id.service, 'write');
  }),
  'ca.signIntermediate': replicates,
  'ca.reportDatacenter': replicates,
  'ca.reportHolder': rule<unknown>((rights, report) => rights.may('node', text(report, 'holder'), 'write')),
  'nodes.forceLeave': needs('operator', 'write'),
  'transport.invite': needs('operator', 'write'),
  'transport.revokeInvitation': needs('operator', 'write'),
  'replication.acceptSource': needs('operator', 'write'),
  'acl.setPolicy': managesTokens,
  'acl.deletePolicy': managesTokens,
  'acl.setRole': managesTokens,
  'acl.deleteRole': managesTokens,
  'acl.createToken': managesTokens,
  'acl.updateToken': managesTokens,
  'acl.cloneToken': managesTokens,
  'acl.deleteToken': managesTokens,
  // Guarded by being possible once.
  'acl.bootstrap': () => true,
};

interface QueryNames {
  readonly Name?: string;
  readonly Template?: { readonly Type?: string };
}

/** A query without a name is protected by its ID. */
function mayWriteQuery(rights: Rights, { Name = '', Template }: QueryNames): boolean {
  return (Name === '' && (Template?.Type ?? '') === '') || rights.may('query', Name, 'write');
}

function mayWriteStoredQuery(rights: Rights, id: string, facts: StoredFacts): boolean {
  const name = facts.queryName(id);
  return name === undefined || name === '' || rights.may('query', name, 'write');
}

/** As the peer: the node's right is for the node's own row and checks, a service's for its rows. */
function mayRegister(rights: Rights, request: RegisterRequest, facts: StoredFacts): boolean {
  const node = request.Node ?? '';
  const writesNode = rights.may('node', node, 'write');
  const known = facts.node(node);
  const changesNode =
    known === undefined ||
    (request.SkipNodeUpdate !== true &&
      (known.Address !== (request.Address ?? '') || (request.ID !== undefined && request.ID !== known.ID)));
  if (changesNode && !(writesNode && mayReplace(rights, request, known?.Node, facts))) return false;
  const services = facts.services(node);
  const { Service: service } = request;
  if (service) {
    if (!rights.may('service', service.Service ?? '', 'write')) return false;
    const before = services.find(({ ID }) => ID === (service.ID || service.Service));
    if (before !== undefined && !rights.may('service', before.Service, 'write')) return false;
  }
  const checks = [...(request.Checks ?? []), ...(request.Check ? [request.Check] : [])];
  return checks.every(({ ServiceID = '' }) => {
    if (ServiceID === '') return writesNode;
    const own = service && ServiceID === (service.ID || service.Service) ? service.Service : undefined;
    const name = own ?? services.find(({ ID }) => ID === ServiceID)?.Service;
    return name !== undefined && rights.may('service', name, 'write');
  });
}

/** Names are told apart by case here but not in the catalog, and a known ID renames its node: both rows must be the caller's. */
function mayReplace(
  rights: Rights,
  { Node: node, ID: id = '' }: RegisterRequest,
  stored: string | undefined,
  facts: StoredFacts,
): boolean {
  const renamed = id === '' ? undefined : facts.nodeWithId(id);
  return [stored, renamed].every((name) => name === undefined || name === node || rights.may('node', name, 'write'));
}

/** Who may write the node may clear it of anything. */
function mayDeregister(rights: Rights, request: DeregisterRequest, facts: StoredFacts): boolean {
  const node = request.Node ?? '';
  if (rights.may('node', node, 'write')) return true;
  const { ServiceID = '', CheckID = '' } = request;
  if (ServiceID !== '') {
    const name = facts.services(node).find(({ ID }) => ID === ServiceID)?.Service;
    return name !== undefined && rights.may('service', name, 'write');
  }
  if (CheckID === '') return false;
  const name = facts.checks(node).find((check) => check.CheckID === CheckID)?.ServiceName ?? '';
  return name !== '' && rights.may('service', name, 'write');
}

function mayWriteEntry(rights: Rights, kind: string, name: string): boolean {
  if (kind === 'service-intentions') return rights.may('intention', name, 'write');
  if (/^service-(?:defaults|router|splitter|resolver)$/.test(kind)) return rights.may('service', name, 'write');
  return rights.may('operator', '', 'write');
}

/** A field of what a caller sent, in any case of the key; '' when it is no text, or there twice: nobody could say which counts. */
function text(value: unknown, field: string): string {
  if (typeof value !== 'object' || value === null) return '';
  const found = Object.entries(value).filter(([key]) => key.toLowerCase() === field);
  return found.length === 1 && typeof found[0]?.[1] === 'string' ? found[0][1] : '';
}
