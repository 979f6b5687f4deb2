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
  interfaces: () =>
    Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
      (addresses ?? []).map((entry) => ({
        name,
        address: entry.address,
        family: entry.family === 'IPv4' ? 4 : 6,
        internal: entry.internal,
      })),
    ),
};
