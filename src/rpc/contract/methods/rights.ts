import type { HealthCheck, ServiceInstance } from '../../../model/catalog.ts';
import type { Access, Resource, Rights } from '../../../model/rights.ts';
import type { ReadRights, WriteRights } from './method.ts';

/** Rules that more than one area of the table uses. */

/** Everybody whose token is known. */
export const OPEN: ReadRights<unknown, never> = {};

export function readNeeds(resource: Resource, access: Access): ReadRights<unknown, never> {
  return { allow: (rights) => rights.may(resource, '', access) };
}

export function writeNeeds(resource: Resource, access: Access): WriteRights<unknown> {
  return (rights) => rights.may(resource, '', access);
}

/** For servers of other datacenters. */
export const replicates: WriteRights<unknown> = (rights) => rights.replication || rights.may('operator', '', 'write');

export const seesNode = (rights: Rights, name: string): boolean => rights.may('node', name, 'read');
export const seesService = (rights: Rights, name: string): boolean =>
  name === '' || rights.may('service', name, 'read');
export const seesCheck = (rights: Rights, check: HealthCheck): boolean =>
  seesNode(rights, check.Node) && seesService(rights, check.ServiceName);

/** The same array when all are kept. */
export function kept<T>(items: readonly T[], sees: (item: T) => boolean): readonly T[] {
  const seen = items.filter(sees);
  return seen.length === items.length ? items : seen;
}

/** A list of which each reader sees what that one may see. */
export function list<T>(sees: (rights: Rights, item: T) => boolean): ReadRights<unknown, readonly T[]> {
  return { show: (rights, items) => kept(items, (item) => sees(rights, item)) };
}

type Named = { readonly service: string; readonly connect?: boolean };

/** Proxies of a service are looked for by the service's name, whatever their own is. */
export const seesConnectTarget = (rights: Rights, { service, connect }: Named): boolean =>
  connect !== true || seesService(rights, service);

/** Instances with their nodes. */
export function instances<T extends Pick<ServiceInstance, 'Node' | 'Service'>>(): ReadRights<Named, readonly T[]> {
  return {
    show: (rights, all, args) =>
      seesConnectTarget(rights, args)
        ? kept(all, ({ Node, Service }) => seesNode(rights, Node.Node) && seesService(rights, Service.Service))
        : [],
  };
}

/**
 * A field of what a caller sent, in any case of the key; '' when it is no text, or there twice, since either could be
 * meant.
 */
export function textOf(value: unknown, field: string): string {
  if (typeof value !== 'object' || value === null) return '';
  const found = Object.entries(value).filter(([key]) => key.toLowerCase() === field);
  return found.length === 1 && typeof found[0]?.[1] === 'string' ? found[0][1] : '';
}
