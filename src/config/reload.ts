import { isDeepStrictEqual } from 'node:util';
import type { Key } from './keys/key.ts';
import { USED_KEYS, type UsedPath } from './keys/table.ts';
import type { LoadedConfig, ReloadDiff, TlsFiles } from './types.ts';

/** What changed between two loads, by whether a reload takes it over. */
export function diffReload(before: LoadedConfig, after: LoadedConfig): ReloadDiff {
  const changed = Object.entries<Key<unknown>>(USED_KEYS).filter(
    ([path]) => !isDeepStrictEqual(before.values[path as UsedPath], after.values[path as UsedPath]),
  );
  return {
    reloadable: changed.filter(([, key]) => key.reloadable).map(([path]) => path),
    needsRestart: changed.filter(([, key]) => !key.reloadable).map(([path]) => path),
  };
}

/** What is in force after a reload: what was started with and, of `after`, what a reload takes over. */
export function afterReload(started: LoadedConfig, after: LoadedConfig): LoadedConfig {
  const values: Record<string, unknown> = { ...started.values };
  for (const [path, key] of Object.entries<Key<unknown>>(USED_KEYS))
    if (key.reloadable) values[path] = after.values[path as UsedPath];
  const { services, checks, watches, dns, log, tls } = after.config;
  const config = {
    ...started.config,
    services,
    checks,
    watches,
    dns: { ...dns, domain: started.config.dns.domain, altDomain: started.config.dns.altDomain },
    log: { ...started.config.log, level: log.level },
    tls: {
      rpc: { ...started.config.tls.rpc, ...filesOf(tls.rpc) },
      https: { ...started.config.tls.https, ...filesOf(tls.https) },
      grpc: { ...started.config.tls.grpc, ...filesOf(tls.grpc) },
    },
  };
  return { ...after, config, values: values as LoadedConfig['values'] };
}

function filesOf({ caFile, caPath, certFile, keyFile }: TlsFiles): TlsFiles {
  return { caFile, caPath, certFile, keyFile };
}
