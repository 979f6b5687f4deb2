import { isIP, isIPv4 } from 'node:net';
import { expandTemplate } from './addresses/template.ts';
import { TemplateError } from './addresses/template-error.ts';
import type { InterfaceAddress } from './types.ts';

/** Thrown texts become configuration errors that name the key. */
export class AddressError extends TypeError {}

/** True for the addresses that mean "every interface". */
export function isUnspecified(address: string): boolean {
  return address === '0.0.0.0' || address === '::' || address === '[::]';
}

/** RFC 1918 and RFC 6598 for IPv4, RFC 4193 for IPv6. */
function isPrivate(address: string): boolean {
  if (!isIPv4(address)) return /^f[cd]/i.test(address);
  const [a = 0, b = 0] = address.split('.').map(Number);
  return a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168) || (a === 100 && b >= 64 && b < 128);
}

function isPublic(address: string): boolean {
  if (isPrivate(address) || isUnspecified(address)) return false;
  return isIPv4(address) ? !/^(127|169\.254)\./.test(address) : !/^(fe80|::1$)/i.test(address);
}

function expand(text: string, interfaces: readonly InterfaceAddress[]): string {
  try {
    return expandTemplate(text, interfaces);
  } catch (error) {
    if (error instanceof TemplateError) throw new AddressError(error.message);
    throw error;
  }
}

function bare(address: string): string {
  return address.startsWith('[') && address.endsWith(']') ? address.slice(1, -1) : address;
}

/** One IP address from a key that takes one; '' stays ''. */
export function singleAddress(text: string, interfaces: readonly InterfaceAddress[]): string {
  const parts = addressList(text, interfaces);
  if (parts.length > 1) throw new AddressError(`must be one address, not ${parts.length} (${parts.join(', ')})`);
  const [address = ''] = parts;
  if (address !== '' && isIP(address) === 0) {
    throw new AddressError(`must be an IP address or a template, not ${JSON.stringify(address)}`);
  }
  return address;
}

/** Addresses separated by blanks; each is an IP or, where `sockets` allows it, `unix://path`. */
export function addressList(text: string, interfaces: readonly InterfaceAddress[], sockets = false): string[] {
  const parts = expand(text, interfaces)
    .split(/\s+/)
    .filter((part) => part !== '')
    .map(bare);
  for (const part of parts) {
    if (sockets && part.startsWith('unix://') && part.length > 'unix://'.length) continue;
    if (isIP(part) === 0) {
      const allowed = sockets ? 'IP addresses, templates or unix:// paths' : 'an IP address or a template';
      throw new AddressError(`must be ${allowed}, not ${JSON.stringify(part)}`);
    }
  }
  return parts;
}

/** The address to advertise when `bind` is every interface. The texts are Consul's. */
export function advertisedFor(bind: string, interfaces: readonly InterfaceAddress[]): string {
  if (!isUnspecified(bind)) return bind;
  const v4 = bind === '0.0.0.0';
  const kind = v4 ? 'private IPv4' : 'public IPv6';
  const found = interfaces.filter((entry) =>
    v4 ? entry.family === 4 && isPrivate(entry.address) : entry.family === 6 && isPublic(entry.address),
  );
  if (found.length > 1) {
    throw new AddressError(`Multiple ${kind} addresses found. Please configure one with 'bind' and/or 'advertise'.`);
  }
  const [only] = found;
  if (only === undefined) throw new AddressError(`No ${kind} address found`);
  return only.address;
}
