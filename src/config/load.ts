import { IsthmusError } from '../lib/errors.ts';
import { buildConfig } from './build.ts';
import { deepFreeze } from './freeze.ts';
import type { Key } from './keys/key.ts';
import { KEY_FLAGS, KEYS, USED_KEYS, type Values } from './keys/table.ts';
import type { Given } from './read-file.ts';
import { readSources } from './sources.ts';
import type { ConfigDeps, LoadedConfig, LoadInput } from './types.ts';

/** What `-dev` means: a server in memory, on loopback, with everything on. */
const DEV_VALUES: Readonly<Partial<Values>> = {
  bind_addr: '127.0.0.1',
  server: true,
  log_level: 'debug',
  'connect.enabled': true,
  'ports.grpc': 8502,
  'ui_config.enabled': true,
};

/**
 * Merges defaults, files and flags (later ones count; lists and maps add up), checks everything and freezes the result.
 * The first thing wrong is thrown as `invalid_argument`, naming key, file and line.
 */
export function loadConfig(input: LoadInput, deps: ConfigDeps): LoadedConfig {
  const warnings: string[] = [];
  const given = [...readSources(input, deps, warnings), ...readFlags(input)];
  const { values, origins } = merge(given, input.dev, warnings);
  const config = buildConfig({ values, origins, dev: input.dev, deps, warnings });
  const noEffect = [...new Set(given.map((entry) => entry.path))].filter((path) => KEYS.get(path)?.effect === 'none');
  return deepFreeze({ config, warnings, noEffect: noEffect.sort(), values });
}

function readFlags(input: LoadInput): Given[] {
  return Object.entries(input.flags).map(([name, values]) => {
    const flag = KEY_FLAGS.find((candidate) => candidate.name === name);
    const parse = flag?.key.kind.parse;
    if (flag === undefined || parse === undefined) {
      throw new IsthmusError('invalid_argument', `flag provided but not defined: -${name}`);
    }
    try {
      return { path: flag.path, value: parse(values), origin: `flag -${name}` };
    } catch (error) {
      throw new IsthmusError('invalid_argument', `flag -${name}: ${IsthmusError.from(error).message}`, {
        cause: error,
      });
    }
  });
}

interface Merged {
  readonly values: Values;
  /** Where each given key was last given. */
  readonly origins: ReadonlyMap<string, string>;
}

function merge(given: readonly Given[], dev: boolean, warnings: string[]): Merged {
  const merged = new Map<string, unknown>();
  const origins = new Map<string, string>();
  const aliases: { entry: Given; target: string }[] = [];
  const apply = (path: string, key: Key<unknown>, entry: Given): void => {
    const earlier = merged.get(path);
    const joined =
      earlier === undefined || key.kind.merge === undefined ? entry.value : key.kind.merge(earlier, entry.value);
    merged.set(path, joined);
    origins.set(path, entry.origin);
  };
  for (const entry of given) {
    const key = KEYS.get(entry.path) as Key<unknown>;
    if (key.aliasOf === undefined) apply(entry.path, key, entry);
    else aliases.push({ entry, target: key.aliasOf });
  }
  for (const { entry, target } of aliases) {
    warnings.push(`${entry.origin}: "${entry.path}" is an older name; use "${target}"`);
    if (!given.some((other) => other.path === target)) apply(target, KEYS.get(target) as Key<unknown>, entry);
  }
  const defaults = Object.entries<Key<unknown>>(USED_KEYS).map(([path, key]) => [path, key.fallback]);
  const values = { ...Object.fromEntries(defaults), ...(dev ? DEV_VALUES : {}), ...Object.fromEntries(merged) };
  return { values: values as Values, origins };
}
