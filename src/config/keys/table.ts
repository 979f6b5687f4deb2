import type { Key } from './key.ts';
import { AGENT_KEYS } from './keys-agent.ts';
import { LIMITS_KEYS } from './keys-limits.ts';
import { NETWORK_KEYS } from './keys-network.ts';
import { NO_EFFECT_KEYS } from './keys-no-effect.ts';
import { SECURITY_KEYS } from './keys-security.ts';
import { STORAGE_KEYS } from './keys-storage.ts';
import { TLS_KEYS } from './keys-tls.ts';

/** Keys with a meaning, by their path in files. */
export const USED_KEYS = {
  ...NETWORK_KEYS,
  ...SECURITY_KEYS,
  ...TLS_KEYS,
  ...STORAGE_KEYS,
  ...AGENT_KEYS,
  ...LIMITS_KEYS,
} as const satisfies Record<string, Key<unknown>>;

export type UsedPath = keyof typeof USED_KEYS;

/** The value of every key with a meaning. */
export type Values = { readonly [P in UsedPath]: (typeof USED_KEYS)[P] extends Key<infer T> ? T : never };

/** The whole table. */
export const KEYS: ReadonlyMap<string, Key<unknown>> = new Map<string, Key<unknown>>([
  ...Object.entries<Key<unknown>>(USED_KEYS),
  ...Object.entries<Key<unknown>>(NO_EFFECT_KEYS),
]);

/** A level of nesting in files: keys and further groups by name. */
export interface KeyGroup {
  readonly groups: Map<string, KeyGroup>;
  readonly keys: Map<string, { readonly path: string; readonly key: Key<unknown> }>;
}

export const KEY_TREE: KeyGroup = buildTree();

function buildTree(): KeyGroup {
  const root: KeyGroup = { groups: new Map(), keys: new Map() };
  for (const [path, key] of KEYS) {
    // A name of Consul has a dot in it, so only known groups split.
    const parts = path === 'telemetry.disable_compat_1.9' ? ['telemetry', 'disable_compat_1.9'] : path.split('.');
    let group = root;
    for (const part of parts.slice(0, -1)) {
      let next = group.groups.get(part);
      if (next === undefined) {
        next = { groups: new Map(), keys: new Map() };
        group.groups.set(part, next);
      }
      group = next;
    }
    group.keys.set(parts.at(-1) as string, { path, key });
  }
  return root;
}

/** A flag of `isthmus agent` that sets a key. */
export interface KeyFlag {
  readonly name: string;
  readonly path: string;
  readonly key: Key<unknown>;
}

export const KEY_FLAGS: readonly KeyFlag[] = [...KEYS]
  .flatMap(([path, key]) => (key.flag === undefined ? [] : [{ name: key.flag, path, key }]))
  .sort((a, b) => (a.name < b.name ? -1 : 1));
