import type { Key } from '../../config/keys/key.ts';
import { KEY_FLAGS } from '../../config/keys/table.ts';
import type { ConfigSource, LoadInput } from '../../config/types.ts';
import { type FlagSpec, type Flags, UsageError } from '../flags.ts';

/** Of `agent` and `validate`. */
export const IGNORE_UNKNOWN: FlagSpec = {
  name: 'ignore-unknown-keys',
  kind: 'bool',
  about: 'Warn of keys that are not known, instead of refusing them.',
};

const SOURCE_FLAGS: readonly FlagSpec[] = [
  { name: 'config-file', kind: 'list', placeholder: 'path', about: 'A configuration file, HCL or JSON.' },
  { name: 'config-dir', kind: 'list', placeholder: 'path', about: 'A directory of configuration files.' },
  { name: 'config-format', kind: 'text', placeholder: 'hcl|json', about: 'Read all files in this format.' },
  {
    name: 'dev',
    kind: 'bool',
    about: 'Run a server on loopback that keeps its data in memory; needs no configuration.',
  },
  { name: 'hcl', kind: 'list', placeholder: 'text', about: 'A piece of configuration in HCL; counts over files.' },
  IGNORE_UNKNOWN,
];

/** Flags of `isthmus agent`: those of the key table, and where configuration comes from. */
export const AGENT_FLAGS: readonly FlagSpec[] = [
  ...SOURCE_FLAGS,
  ...KEY_FLAGS.map(({ name, key }) => ({
    name,
    kind: kindOf(key),
    about: about(key),
  })),
];

/** Only values that add up may be repeated. */
function kindOf({ kind }: Key<unknown>): FlagSpec['kind'] {
  if (kind.toggle === true) return 'bool';
  return kind.merge === undefined ? 'text' : 'list';
}

function about(key: Key<unknown>): string {
  if (key.effect === 'used') return key.doc.replaceAll('`', '');
  return `${key.effect === 'refused' ? 'Refused' : 'No effect'}: ${key.doc}.`;
}

export function configFormat(flags: Flags): Pick<LoadInput, 'format'> {
  const format = flags.text('config-format');
  if (format === '') return {};
  if (format === 'hcl' || format === 'json') return { format };
  throw new UsageError('-config-format must be either "hcl" or "json"');
}

/** What the command line says about the configuration. */
export function loadInput(flags: Flags): LoadInput {
  const own = new Set(SOURCE_FLAGS.map((flag) => flag.name));
  // Files and directories count in the order typed, whichever of the two flags names them.
  const sources: ConfigSource[] = flags.given
    .filter(([name]) => name === 'config-file' || name === 'config-dir')
    .map(([, path]) => ({ kind: 'either', path }));
  const given = [...flags.all()].filter(([name]) => !own.has(name) && name !== 'format');
  const ignoreUnknownKeys = flags.bool(IGNORE_UNKNOWN.name);
  return {
    flags: Object.fromEntries(given),
    ...{ sources, fragments: flags.list('hcl'), dev: flags.bool('dev'), ignoreUnknownKeys },
    ...configFormat(flags),
  };
}
