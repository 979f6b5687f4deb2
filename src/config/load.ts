import { IsthmusError } from '../lib/errors.ts';
import { buildConfig } from './build.ts';
import { deepFreeze } from './freeze.ts';
import { placed } from './keys/definitions.ts';
import type { Key } from './keys/key.ts';
import { KEY_FLAGS, KEYS, USED_KEYS, type Values } from './keys/table.ts';
import { Problems } from './problems.ts';
import type { Findings, Given } from './read-file.ts';
import { readSources } from './sources.ts';
import { checkTogether } from './together.ts';
import type { ConfigDeps, LoadedConfig, LoadInput } from './types.ts';

/** What `-dev` means: a server in memory, on loopback, with everything on. */
const DEV_VALUES: Readonly<Partial<Values>> = {
  bind_addr: '127.0.0.1',
  server: true,
  log_level: 'debug',
  'connect.enabled': true,
  'ports.grpc': 8502,
};

/**
 * Merges defaults, files and flags (later ones count; lists and maps add up), checks everything and freezes the result.
 * Throws `invalid_argument` with all that is wrong, each with key, file and line.
 */
export function loadConfig(input: LoadInput, deps: ConfigDeps): LoadedConfig {
  const warnings: string[] = [];
  const problems = new Problems(input.ignoreUnknownKeys === true ? { ignoreUnknown: warnings } : {});
  const findings = { problems, warnings };
  const given = [...readSources(input, deps, findings), ...readFlags(input, problems)];
  const { values, origins } = merge(given, input.dev, warnings);
  const noEffect = checkUnread(given, findings);
  checkTogether(
    {
      services: [...values.services, ...values.service].map(placed),
      checks: [...values.checks, ...values.check].map(placed),
      sidecarPorts: { min: values['ports.sidecar_min_port'], max: values['ports.sidecar_max_port'] },
      scripts: {
        local: values.enable_script_checks || values.enable_local_script_checks,
        remote: values.enable_script_checks,
      },
      onlyFiles: input.onlyFiles === true,
    },
    findings,
  );
  const config = buildConfig({ values, origins, dev: input.dev, deps, ...findings });
  return deepFreeze({ config, warnings, noEffect, values });
}

/** Keys of Consul's that are not read here: those that matter are refused or warned of, the rest returned. */
function checkUnread(given: readonly Given[], { problems, warnings }: Findings): readonly string[] {
  const harmless = new Set<string>();
  for (const { path, value, origin } of given) {
    const { effect, doc } = KEYS.get(path) as Key<unknown>;
    if (effect === 'used') continue;
    if (effect === 'harmless' || isOff(value)) harmless.add(path);
    else if (effect === 'refused') problems.add(`${origin}: "${path}" is refused: ${doc}`);
    else warnings.push(`${origin}: "${path}" has no effect here: ${doc}`);
  }
  return [...harmless].sort();
}

/** Does a value turn nothing on? */
function isOff(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).every(isOff);
  return value === undefined || value === null || value === false || value === 0 || value === '';
}

function readFlags(input: LoadInput, problems: Problems): Given[] {
  return Object.entries(input.flags).flatMap(([name, values]) => {
    const flag = KEY_FLAGS.find((candidate) => candidate.name === name);
    const parse = flag?.key.kind.parse;
    if (flag === undefined || parse === undefined) {
      throw new IsthmusError('invalid_argument', `flag provided but not defined: -${name}`);
    }
    const value = problems.attempt(() => parseFlag(name, values, parse), flag.path);
    return value === undefined ? [] : [{ path: flag.path, value: value.parsed, origin: `flag -${name}` }];
  });
}

function parseFlag(
  name: string,
  values: readonly string[],
  parse: (values: readonly string[]) => unknown,
): { readonly parsed: unknown } {
  try {
    return { parsed: parse(values) };
  } catch (error) {
    throw new IsthmusError('invalid_argument', `flag -${name}: ${IsthmusError.from(error).message}`, { cause: error });
  }
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
