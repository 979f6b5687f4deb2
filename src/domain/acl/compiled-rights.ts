import { foldName } from '../../model/names.ts';
import type { Access, Resource, Rights } from '../../model/rights.ts';
import type { Level, Rule } from './rules.ts';

/**
 * What the rules of several policies come to for the same name: deny goes before all, then the most that is granted.
 */
const STRENGTH: Readonly<Record<Level, number>> = { read: 1, list: 2, write: 3, deny: 4 };
const NEEDED: Readonly<Record<Access, number>> = { read: 1, list: 2, write: 3 };

/** Resources whose names are found without regard to case, so that a rule holds for every spelling. */
const FOLDED: ReadonlySet<Resource> = new Set(['agent', 'intention', 'node', 'query', 'service', 'session']);

function nameOf(resource: Resource, name: string): string {
  return FOLDED.has(resource) ? foldName(name) : name;
}

/** Rules of one resource, ready to be asked. */
interface Compiled {
  readonly exact: ReadonlyMap<string, number>;
  readonly prefixes: ReadonlyMap<string, number>;
  /** Lengths of the prefixes, longest first. */
  readonly lengths: readonly number[];
}

/**
 * Rights out of rules: an exact rule decides before a prefix, the longest prefix before shorter ones, the default last.
 */
export class CompiledRights implements Rights {
  readonly everything = false;
  readonly replication: boolean;
  /** What these rights were made of. */
  readonly rules: readonly Rule[];
  readonly #rules = new Map<Resource, Compiled>();
  readonly defaultAllow: boolean;

  constructor(rules: readonly Rule[], options: { readonly defaultAllow: boolean; readonly replication?: boolean }) {
    this.rules = rules;
    this.defaultAllow = options.defaultAllow;
    this.replication = options.replication === true;
    for (const resource of new Set(rules.map((rule) => rule.resource)))
      this.#rules.set(resource, compile(rules.filter((rule) => rule.resource === resource)));
  }

  may(resource: Resource, name: string, access: Access): boolean {
    const rules = this.#deciding(resource);
    const fallback = this.#fallback(resource);
    if (rules === undefined) return fallback;
    if (resource === 'intention' && name === '*')
      return access === 'write' ? this.mayAll(resource, access) : anyAllows(rules, access, fallback);
    const strength = strengthOf(rules, nameOf(resource, name));
    return strength === undefined ? fallback : allows(strength, access);
  }

  mayBelow(resource: Resource, prefix: string, access: Access): boolean {
    const rules = this.#deciding(resource);
    const fallback = this.#fallback(resource);
    if (rules === undefined) return fallback;
    const below = nameOf(resource, prefix);
    const strength = strengthOf({ ...rules, exact: NO_RULES }, below);
    if (strength === undefined ? !fallback : !allows(strength, access)) return false;
    return [...strengthsBelow(rules, below)].every((one) => allows(one, access));
  }

  mayAny(resource: Resource, prefix: string, access: Access): boolean {
    const rules = this.#deciding(resource);
    const fallback = this.#fallback(resource);
    if (rules === undefined) return fallback;
    const below = nameOf(resource, prefix);
    const strength = strengthOf({ ...rules, exact: NO_RULES }, below);
    if (strength === undefined ? fallback : allows(strength, access)) return true;
    return [...strengthsBelow(rules, below)].some((one) => allows(one, access));
  }

  mayAll(resource: Resource, access: Access): boolean {
    const rules = this.#deciding(resource);
    const fallback = this.#fallback(resource);
    if (rules === undefined) return fallback;
    const whole = rules.prefixes.get('');
    if (whole === undefined ? !fallback : !allows(whole, access)) return false;
    for (const table of [rules.exact, rules.prefixes])
      for (const strength of table.values()) if (!allows(strength, access)) return false;
    return true;
  }

  /** Where there is no rule for the mesh or for peers, the one for operators decides, as in Consul. */
  #deciding(resource: Resource): Compiled | undefined {
    const own = this.#rules.get(resource);
    return own === undefined && (resource === 'mesh' || resource === 'peering') ? this.#rules.get('operator') : own;
  }

  /** No one may manage tokens by default. */
  #fallback(resource: Resource): boolean {
    return resource !== 'acl' && this.defaultAllow;
  }
}

const NO_RULES: ReadonlyMap<string, number> = new Map();

/** Of the rules for names and prefixes that begin with `prefix`. */
function* strengthsBelow({ exact, prefixes }: Compiled, prefix: string): Generator<number, void, void> {
  for (const table of [exact, prefixes])
    for (const [name, strength] of table) if (name.startsWith(prefix)) yield strength;
}

function compile(rules: readonly Rule[]): Compiled {
  const exact = new Map<string, number>();
  const prefixes = new Map<string, number>();
  for (const { resource, name: written, prefix, level } of rules) {
    const table = prefix ? prefixes : exact;
    const name = nameOf(resource, written);
    table.set(name, Math.max(table.get(name) ?? 0, STRENGTH[level]));
  }
  const lengths = [...new Set([...prefixes.keys()].map((prefix) => prefix.length))].sort((a, b) => b - a);
  return { exact, prefixes, lengths };
}

function strengthOf({ exact, prefixes, lengths }: Compiled, name: string): number | undefined {
  const strength = exact.get(name);
  if (strength !== undefined) return strength;
  for (const length of lengths) {
    if (length > name.length) continue;
    const found = prefixes.get(length === name.length ? name : name.slice(0, length));
    if (found !== undefined) return found;
  }
  return undefined;
}

function anyAllows(rules: Compiled, access: Access, fallback: boolean): boolean {
  for (const table of [rules.exact, rules.prefixes])
    for (const strength of table.values()) if (allows(strength, access)) return true;
  return rules.prefixes.has('') ? false : fallback;
}

function allows(strength: number, access: Access): boolean {
  return strength !== STRENGTH.deny && strength >= NEEDED[access];
}
