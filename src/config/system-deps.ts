import { readdirSync, readFileSync, statSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import type { ConfigDeps } from './types.ts';

/** The real machine. */
export const systemConfigDeps: ConfigDeps = {
  readFile: (path) => readFileSync(path, 'utf8'),
  listDir: (path) => {
    if (!statSync(path).isDirectory()) return undefined;
    return readdirSync(path).filter((name) => statSync(`${path}/${name}`, { throwIfNoEntry: false })?.isFile());
  },
  hostname,
  interfaces: () => {
    const defaults = defaultInterfaces();
    return Object.entries(networkInterfaces()).flatMap(([name, addresses]) => {
      const flags = flagsOf(name);
      return (addresses ?? []).map((entry) => ({
        name,
        address: entry.address,
        family: entry.family === 'IPv4' ? 4 : 6,
        internal: entry.internal,
        isDefault: defaults.has(name),
        ...(entry.cidr === null ? {} : { prefix: Number(entry.cidr.split('/')[1]) }),
        ...(flags === undefined ? {} : { flags }),
      }));
    });
  },
};

/** Linux says it under /sys; elsewhere nothing is known but that the interface is up. */
function flagsOf(name: string): number | undefined {
  const text = tryRead(`/sys/class/net/${name}/flags`);
  return text === undefined ? undefined : Number(text.trim());
}

/** Interfaces with a route to everywhere, from the routing tables that Linux shows. */
function defaultInterfaces(): ReadonlySet<string> {
  const v4 = (tryRead('/proc/net/route') ?? '')
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000')
    .map(([name = '']) => name);
  const v6 = (tryRead('/proc/net/ipv6_route') ?? '')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([destination, length]) => destination === '0'.repeat(32) && length === '00')
    .map((fields) => fields.at(-1) ?? '')
    .filter((name) => name !== 'lo');
  return new Set([...v4, ...v6]);
}

function tryRead(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
