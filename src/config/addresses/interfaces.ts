import type { InterfaceAddress } from '../types.ts';
import { type Ip, parseIp } from './ip.ts';
import { isForwardable, isPrivate } from './rfcs.ts';

/** An address of an interface, as templates see it. */
export interface IfAddress {
  readonly name: string;
  readonly ip: Ip;
  /** Bits as Linux has them: 1 up, 2 broadcast, 8 loopback, 0x10 point to point, 0x1000 multicast. */
  readonly flags: number;
  /** The way to everywhere else leads over this interface. */
  readonly isDefault: boolean;
}

export const UP = 1;
export const BROADCAST = 2;
export const LOOPBACK = 8;
export const POINT_TO_POINT = 0x10;
export const MULTICAST = 0x1000;

/** All addresses, in the order of the machine. */
export function allInterfaces(interfaces: readonly InterfaceAddress[]): readonly IfAddress[] {
  return interfaces.flatMap(({ name, address, prefix, internal, flags, isDefault }) => {
    const ip = parseIp(prefix === undefined ? address : `${address}/${prefix}`);
    if (ip === undefined) return [];
    return [{ name, ip, flags: flags ?? (internal ? UP | LOOPBACK : UP), isDefault: isDefault === true }];
  });
}

export function defaultInterfaces(all: readonly IfAddress[]): readonly IfAddress[] {
  return all.filter(({ isDefault }) => isDefault);
}

/** Addresses that other machines of the same organisation can use, the most likely one first. */
export function privateInterfaces(all: readonly IfAddress[]): readonly IfAddress[] {
  return usable(all).filter(({ ip }) => isPrivate(ip));
}

export function publicInterfaces(all: readonly IfAddress[]): readonly IfAddress[] {
  return usable(all).filter(({ ip }) => !isPrivate(ip));
}

function usable(all: readonly IfAddress[]): readonly IfAddress[] {
  const found = all.filter(({ ip, flags }) => isForwardable(ip) && (flags & UP) !== 0);
  return sortBy(found, [byDefault, byType, bySize]);
}

export type Compare = (a: IfAddress, b: IfAddress) => number;

export const byDefault: Compare = (a, b) => Number(b.isDefault) - Number(a.isDefault);
/** IPv4, then IPv6. */
export const byType: Compare = (a, b) => a.ip.family - b.ip.family;
/** Larger networks first. */
export const bySize: Compare = (a, b) => a.ip.bits - b.ip.bits;
export const byName: Compare = (a, b) => (a.name === b.name ? 0 : a.name < b.name ? -1 : 1);
export const byPrivate: Compare = (a, b) => Number(isPrivate(b.ip)) - Number(isPrivate(a.ip));
export const byAddress: Compare = (a, b) =>
  byType(a, b) || (a.ip.value === b.ip.value ? 0 : a.ip.value < b.ip.value ? -1 : 1);

/** By the first that tells two apart; those that none does keep their order. */
export function sortBy(list: readonly IfAddress[], compares: readonly Compare[]): readonly IfAddress[] {
  return [...list].sort((a, b) => compares.reduce((found, compare) => found || compare(a, b), 0));
}
