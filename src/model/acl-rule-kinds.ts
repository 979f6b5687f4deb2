import { toPlain } from '../lib/hcl/node.ts';
import { parseHcl } from '../lib/hcl/parser.ts';
import type { Resource } from './rights.ts';

/** Rules that are a level: `operator = "read"`. */
export const SCALAR_RULES = ['acl', 'keyring', 'mesh', 'operator', 'peering'] as const;

/** Rules for a name or a prefix: `service "web" { … }`, `service_prefix "" { … }`. */
export const NAMED_RULES = ['agent', 'event', 'key', 'node', 'query', 'service', 'session'] as const;

/** Everything that rules decide; `intentions` is a part of a service's rule. */
export const RESOURCES: ReadonlySet<Resource> = new Set([...SCALAR_RULES, ...NAMED_RULES, 'intention']);

/** Rules of Consul's that there is nothing for here, and why. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  identity: 'the v2 API is not here',
  identity_prefix: 'the v2 API is not here',
  namespace: 'there are no namespaces',
  namespace_prefix: 'there are no namespaces',
  partition: 'there are no admin partitions',
  partition_prefix: 'there are no admin partitions',
};

const KNOWN: ReadonlySet<string> = new Set([
  ...SCALAR_RULES,
  ...NAMED_RULES.flatMap((name) => [name, `${name}_prefix`]),
]);
/** Keys of the rules' blocks. */
const KNOWN_IN_BLOCKS: ReadonlySet<string> = new Set(['policy', 'intentions']);
/** Lines at most. */
const MAX_WARNINGS = 8;

/** A line for each part of sound rules that grants and refuses nothing; `text` is HCL or JSON. */
export function ruleWarnings(text: string): readonly string[] {
  if (text.trim() === '') return [];
  const root = toPlain(parseHcl(text, 'rules')) as Readonly<Record<string, unknown>>;
  const warnings = new Set<string>();
  for (const [key, value] of Object.entries(root)) {
    if (!KNOWN.has(key)) {
      const why = Object.hasOwn(WITHOUT_EFFECT, key) ? `: ${WITHOUT_EFFECT[key]}` : ': there is no such rule';
      warnings.add(`the rule ${shown(key)} has no effect${why}`);
      continue;
    }
    for (const field of fieldsIn(value))
      if (!KNOWN_IN_BLOCKS.has(field) || (field === 'intentions' && !key.startsWith('service')))
        warnings.add(`${shown(field)} in rules of ${shown(key)} has no effect`);
  }
  return [...warnings].slice(0, MAX_WARNINGS);
}

/** Names may come several times, and each with several blocks. */
function fieldsIn(named: unknown): readonly string[] {
  return objects(named).flatMap((byName) =>
    Object.values(byName).flatMap((body) => objects(body).flatMap((block) => Object.keys(block))),
  );
}

function objects(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return (Array.isArray(value) ? value : [value]).filter(
    (one): one is Readonly<Record<string, unknown>> => typeof one === 'object' && one !== null,
  );
}

/** It goes into a header. */
function shown(key: string): string {
  return /^[\w-]{1,40}$/.test(key) ? `"${key}"` : 'with another name';
}
