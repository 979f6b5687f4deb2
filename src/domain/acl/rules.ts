import { IsthmusError } from '../../lib/errors.ts';
import { toPlain } from '../../lib/hcl/node.ts';
import { parseHcl } from '../../lib/hcl/parser.ts';
import { NAMED_RULES, SCALAR_RULES } from '../../model/acl-rule-kinds.ts';
import type { GrantRule } from '../../model/rights.ts';

export type Rule = GrantRule;
/** How much a rule grants, or that it refuses. */
export type Level = Rule['level'];

type NamedResource = (typeof NAMED_RULES)[number];

/**
 * Consul's Go types, as its error texts print them: type, field of the name, and whether an enterprise part follows.
 */
const GO_TYPES: Readonly<Record<NamedResource, readonly [type: string, field: string, enterprise: boolean]>> = {
  agent: ['AgentRule', 'Node', false],
  event: ['EventRule', 'Event', false],
  key: ['KeyRule', 'Prefix', true],
  node: ['NodeRule', 'Name', true],
  query: ['PreparedQueryRule', 'Prefix', false],
  service: ['ServiceRule', 'Name', true],
  session: ['SessionRule', 'Node', true],
};

const LEVELS = new Set(['deny', 'read', 'write']);

/** Rules that earlier versions passed over: a level that is none was kept, and now refuses. */
const ONCE_PASSED_OVER: ReadonlySet<string> = new Set(['mesh', 'peering']);

/**
 * Reads the rules of a policy, HCL or JSON. What it does not know is passed over, as by Consul: `ruleWarnings` names
 * it. Throws `rejected` with its texts.
 */
export function parseRules(text: string, options: { readonly kept?: boolean } = {}): readonly Rule[] {
  if (text.trim() === '') return [];
  const root = readText(text);
  const rules: Rule[] = [];
  for (const resource of SCALAR_RULES) {
    const level = root[resource];
    if (level === undefined || level === '') continue;
    if (typeof level !== 'string' || !LEVELS.has(level)) {
      if (options.kept === true && ONCE_PASSED_OVER.has(resource)) {
        rules.push({ resource, name: '', prefix: true, level: 'deny' });
        continue;
      }
      throw rejected(`Invalid ${resource} policy: ${JSON.stringify(level)}`);
    }
    rules.push({ resource, name: '', prefix: true, level: level as Level });
  }
  for (const resource of NAMED_RULES) {
    for (const prefix of [false, true]) {
      const block = prefix ? `${resource}_prefix` : resource;
      for (const [name, body] of blocks(root[block], block)) addRules(rules, resource, prefix, name, body);
    }
  }
  return rules;
}

function readText(text: string): Readonly<Record<string, unknown>> {
  try {
    return toPlain(parseHcl(text, 'rules')) as Readonly<Record<string, unknown>>;
  } catch (error) {
    const cause = IsthmusError.from(error);
    throw new IsthmusError('rejected', `Failed to parse ACL rules: ${cause.message}`, { cause });
  }
}

/** `service "web" { … }` any number of times; in JSON also one object with several names. */
function* blocks(value: unknown, block: string): Generator<[name: string, body: Readonly<Record<string, unknown>>]> {
  if (value === undefined || value === null) return;
  for (const labelled of Array.isArray(value) ? (value as readonly unknown[]) : [value]) {
    if (!isObject(labelled)) throw malformed(block);
    for (const [name, given] of Object.entries(labelled)) {
      for (const body of Array.isArray(given) ? (given as readonly unknown[]) : [given]) {
        if (!isObject(body)) throw malformed(block);
        yield [name, body];
      }
    }
  }
}

function addRules(
  rules: Rule[],
  resource: NamedResource,
  prefix: boolean,
  name: string,
  body: Readonly<Record<string, unknown>>,
): void {
  const { policy = '', intentions = '' } = body;
  const invalid = (): IsthmusError =>
    rejected(`Invalid ${resource}${prefix ? '_prefix' : ''} policy: ${goText(resource, name, policy, intentions)}`);
  if (typeof policy !== 'string' || !(LEVELS.has(policy) || (policy === 'list' && resource === 'key'))) throw invalid();
  const level = policy as Level;
  rules.push({ resource, name, prefix, level });
  if (resource !== 'service') return;
  if (intentions !== '' && !LEVELS.has(intentions as string))
    throw rejected(
      `Invalid service${prefix ? '_prefix' : ''} intentions policy: ${goText(resource, name, policy, intentions)}`,
    );
  // Who may see or register a service may see its intentions, unless the rule says otherwise.
  const implied: Level = level === 'deny' ? 'deny' : 'read';
  rules.push({ resource: 'intention', name, prefix, level: intentions === '' ? implied : (intentions as Level) });
}

function goText(resource: NamedResource, name: string, policy: unknown, intentions: unknown): string {
  const [type, field, enterprise] = GO_TYPES[resource];
  const fields = [`${field}:${JSON.stringify(name)}`, `Policy:${JSON.stringify(policy)}`];
  if (resource === 'service') fields.push(`Intentions:${JSON.stringify(intentions)}`);
  if (enterprise) fields.push('EnterpriseRule:acl.EnterpriseRule{}');
  return `&acl.${type}{${fields.join(', ')}}`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(block: string): IsthmusError {
  return rejected(`Failed to parse ACL rules: ${block} takes a name and a block`);
}

function rejected(text: string): IsthmusError {
  return new IsthmusError('rejected', text);
}
