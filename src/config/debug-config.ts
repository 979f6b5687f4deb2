import { formatDuration } from '../lib/duration.ts';
import type { Key } from './keys/key.ts';
import { duration } from './keys/kind.ts';
import { USED_KEYS, type UsedPath } from './keys/table.ts';
import type { LoadedConfig } from './types.ts';

const HIDDEN = 'hidden';
const SECRET_NAME = /private_?key$|token|secret|password|passphrase|authorization|cookie/i;
/** Parts of names that Consul writes in capitals. */
const CAPITALS = new Set([
  'acl',
  'ca',
  'dns',
  'grpc',
  'http',
  'https',
  'id',
  'ipv4',
  'ipv6',
  'json',
  'kv',
  'ttl',
  'ui',
  'wan',
]);

/** `DebugConfig` of /v1/agent/self: every key with a meaning under a name like Consul's, secrets hidden. */
export function debugConfig(loaded: LoadedConfig): Record<string, unknown> {
  const { config, values } = loaded;
  const shown = Object.entries<Key<unknown>>(USED_KEYS)
    .filter(([, key]) => key.aliasOf === undefined)
    .map(([path, key]) => [pascalCase(path), show(key, values[path as UsedPath])] as const);
  return {
    ...Object.fromEntries(shown),
    AdvertiseAddrLAN: config.advertiseAddr,
    AdvertiseAddrWAN: config.advertiseAddrWan,
    BindAddr: config.bindAddr,
    DevMode: config.devMode,
    NodeName: config.nodeName,
    PrimaryDatacenter: config.primaryDatacenter,
    TaggedAddresses: config.taggedAddresses,
  };
}

function pascalCase(path: string): string {
  return path
    .split(/[._]/)
    .map((part) => (CAPITALS.has(part) ? part.toUpperCase() : part.charAt(0).toUpperCase() + part.slice(1)))
    .join('');
}

function show(key: Key<unknown>, value: unknown): unknown {
  if (key.secret) return value === '' ? '' : HIDDEN;
  return key.kind === duration ? formatDuration(value as number) : hideSecrets(value);
}

/** Definitions and the CA's configuration may carry tokens and keys. */
function hideSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(hideSecrets);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      SECRET_NAME.test(name) && inner !== '' ? HIDDEN : hideSecrets(inner),
    ]),
  );
}
