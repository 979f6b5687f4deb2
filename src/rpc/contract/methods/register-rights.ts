import { isDeepStrictEqual } from 'node:util';
import type { DeregisterRequest, RegisterRequest } from '../../../model/catalog.ts';
import { foldName } from '../../../model/names.ts';
import type { Rights } from '../../../model/rights.ts';
import type { StoredFacts, StoredNode } from './method.ts';

/** IDs lead to one row in any letter case: a write under another spelling overwrites it. */
function same(a: string, b: string | undefined): boolean {
  return foldName(a) === foldName(b ?? '');
}

/** As Consul: the node's right is for the node's own row and checks, a service's for its rows. */
export function mayRegister(rights: Rights, request: RegisterRequest, facts: StoredFacts): boolean {
  const node = request.Node ?? '';
  const writesNode = rights.may('node', node, 'write');
  const known = facts.node(node);
  if (changesNode(request, known) && !(writesNode && mayReplace(rights, request, facts))) return false;
  const { Service: service } = request;
  const serviceId = service?.ID || service?.Service;
  const stored = facts.services(node);
  const mayWrite = (name: string | undefined): boolean => name !== undefined && rights.may('service', name, 'write');
  const mayWriteStored = (id: string | undefined): boolean =>
    !id || stored.every(({ ID, Service }) => !same(ID, id) || mayWrite(Service));
  if (service) {
    const { DestinationServiceName: destination, DestinationServiceID: destinationId } = service.Proxy ?? {};
    if (!mayWrite(service.Service ?? '') || !mayWriteStored(serviceId)) return false;
    // A proxy answers in the name of what stands behind it, whatever its kind is called.
    if ((destination && !mayWrite(destination)) || !mayWriteStored(destinationId)) return false;
  }
  const checks = [...(request.Checks ?? []), ...(request.Check ? [request.Check] : [])];
  const storedChecks = checks.length === 0 ? [] : facts.checks(node);
  return checks.every(({ ServiceID, CheckID, Name }) => {
    const before = storedChecks.find((check) => same(check.CheckID, CheckID || Name));
    if (before !== undefined && !(before.ServiceName === '' ? writesNode : mayWrite(before.ServiceName))) return false;
    if (!ServiceID) return writesNode;
    if (same(ServiceID, serviceId)) return true; // decided above
    return mayWrite(stored.find(({ ID }) => same(ID, ServiceID))?.Service);
  });
}

/** Whether the node's own row would be another one; what a registration leaves out is written as empty. */
function changesNode(request: RegisterRequest, known: StoredNode | undefined): boolean {
  if (known === undefined) return true;
  if (request.SkipNodeUpdate === true) return false;
  return !(
    known.Node === request.Node &&
    known.ID === (request.ID ?? '') &&
    known.Address === (request.Address ?? '') &&
    isDeepStrictEqual(known.TaggedAddresses ?? {}, request.TaggedAddresses ?? {}) &&
    isDeepStrictEqual(known.Meta ?? {}, request.NodeMeta ?? {})
  );
}

/** A known ID renames its node, which is deleted with all that is on it: that one must be the caller's too. */
function mayReplace(rights: Rights, { ID: id = '' }: RegisterRequest, facts: StoredFacts): boolean {
  const renamed = id === '' ? undefined : facts.nodeWithId(id);
  return renamed === undefined || rights.may('node', renamed, 'write');
}

/** Who may write the node may clear it of anything. */
export function mayDeregister(rights: Rights, request: DeregisterRequest, facts: StoredFacts): boolean {
  const node = request.Node ?? '';
  if (rights.may('node', node, 'write')) return true;
  const { ServiceID = '', CheckID = '' } = request;
  if (ServiceID !== '') {
    const name = facts.services(node).find(({ ID }) => same(ID, ServiceID))?.Service;
    return name !== undefined && rights.may('service', name, 'write');
  }
  if (CheckID === '') return false;
  const name = facts.checks(node).find((check) => same(check.CheckID, CheckID))?.ServiceName ?? '';
  return name !== '' && rights.may('service', name, 'write');
}
