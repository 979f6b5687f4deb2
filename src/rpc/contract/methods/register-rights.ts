import type { DeregisterRequest, RegisterRequest } from '../../../model/catalog.ts';
import { foldName } from '../../../model/names.ts';
import type { Rights } from '../../../model/rights.ts';
import type { StoredFacts } from './method.ts';

/** IDs lead to one row in any letter case: a write under another spelling overwrites it. */
function same(a: string, b: string | undefined): boolean {
  return foldName(a) === foldName(b ?? '');
}

/** As Consul: the node's right is for the node's own row and checks, a service's for its rows. */
export function mayRegister(rights: Rights, request: RegisterRequest, facts: StoredFacts): boolean {
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
    const before = services.find(({ ID }) => same(ID, service.ID || service.Service));
    if (before !== undefined && !rights.may('service', before.Service, 'write')) return false;
  }
  const checks = [...(request.Checks ?? []), ...(request.Check ? [request.Check] : [])];
  return checks.every(({ ServiceID = '' }) => {
    if (ServiceID === '') return writesNode;
    const own = service && same(ServiceID, service.ID || service.Service) ? service.Service : undefined;
    const name = own ?? services.find(({ ID }) => same(ID, ServiceID))?.Service;
    return name !== undefined && rights.may('service', name, 'write');
  });
}

/** A known ID renames its node: both rows must be the caller's. */
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
export function mayDeregister(rights: Rights, request: DeregisterRequest, facts: StoredFacts): boolean {
  const node = request.Node ?? '';
  if (rights.may('node', node, 'write')) return true;
  const { ServiceID = '', CheckID = '' } = request;
  if (ServiceID !== '') {
    const name = facts.services(node).find(({ ID }) => ID === ServiceID)?.Service;
    return name !== undefined && rights.may('service', name, 'write');
  }
  if (CheckID === '') return false;
  const name = facts.checks(node).find((check) => same(check.CheckID, CheckID))?.ServiceName ?? '';
  return name !== '' && rights.may('service', name, 'write');
}
