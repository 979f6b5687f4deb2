import type { ConfigEntry } from '../../../model/config-entry.ts';
import { compileMesh, type MeshEntry, type MeshSettings } from '../../../model/layer7/mesh-settings.ts';
import { foldName } from '../../../model/names.ts';
import type { WatchPool } from '../../../rpc/subscribe/watch-pool.ts';

/** The entries that are about a proxy without naming it. Each is the same object until it changes. */
export interface CentralEntries {
  /** `proxy-defaults` */
  readonly proxies?: ConfigEntry;
  /** `service-defaults` of the proxy's service */
  readonly service?: ConfigEntry;
  readonly mesh: MeshSettings;
}

export interface FollowedEntries {
  /** Undefined while one is not known yet. */
  current(): CentralEntries | undefined;
  close(): void;
}

type Part = 'proxies' | 'service' | 'mesh';

/** @param onChange called after each change, and once all are known */
export function followEntries(
  pool: Pick<WatchPool, 'follow'>,
  service: string,
  token: string | undefined,
  onChange: () => void,
): FollowedEntries {
  const found = new Map<Part, ConfigEntry | undefined>();
  let made: CentralEntries | undefined;
  const follow = (part: Part, args: { readonly kind: string; readonly filter?: string }): (() => void) =>
    pool.follow('config.list', args, token === undefined ? {} : { token }, ({ value }) => {
      // What was last known stays in force; a server that can't say does as one without an entry.
      if (value === undefined && found.has(part)) return;
      const entry = value?.[0];
      const before = found.get(part);
      if (found.has(part) && JSON.stringify(entry) === JSON.stringify(before)) return;
      found.set(part, entry);
      made = undefined;
      onChange();
    });
  let mesh: { readonly entry: ConfigEntry | undefined; readonly settings: MeshSettings } | undefined;
  const ends = [
    follow('proxies', { kind: 'proxy-defaults' }),
    follow('service', { kind: 'service-defaults', filter: `Name == ${JSON.stringify(foldName(service))}` }),
    follow('mesh', { kind: 'mesh' }),
  ];
  return {
    current() {
      if (found.size < ends.length) return undefined;
      if (made === undefined) {
        const entry = found.get('mesh');
        if (mesh === undefined || mesh.entry !== entry)
          mesh = { entry, settings: compileMesh(entry as unknown as MeshEntry | undefined) };
        const [proxies, own] = [found.get('proxies'), found.get('service')];
        made = {
          ...(proxies === undefined ? {} : { proxies }),
          ...(own === undefined ? {} : { service: own }),
          mesh: mesh.settings,
        };
      }
      return made;
    },
    close() {
      for (const end of ends) end();
    },
  };
}
