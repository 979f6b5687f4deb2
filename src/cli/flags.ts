import { tryParseDuration } from '../lib/duration.ts';

/** A flag of a command, spelled as Go's flag package spells it: `-name value`, `-name=value`, `--name`. */
export interface FlagSpec {
  readonly name: string;
  /** bool takes no value; list may be repeated, and all its values count; of the others the last one does. */
  readonly kind: 'bool' | 'text' | 'number' | 'duration' | 'list';
  readonly about: string;
  /** Stands for the value in the help. */
  readonly placeholder?: string;
}

/** A command line that can't be read; the text is Go's. */
export class UsageError extends Error {}

/** Values of the flags that were given. */
export class Flags {
  readonly #values = new Map<string, string[]>();
  /** Name and value, in the order typed. */
  readonly given: readonly (readonly [string, string])[];

  constructor(given: readonly (readonly [string, string])[]) {
    this.given = given;
    for (const [name, value] of given) {
      const seen = this.#values.get(name);
      if (seen === undefined) this.#values.set(name, [value]);
      else seen.push(value);
    }
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  bool(name: string): boolean {
    return this.#values.get(name)?.at(-1) === 'true';
  }

  /** '' when not given. */
  text(name: string): string {
    return this.#values.get(name)?.at(-1) ?? '';
  }

  number(name: string, fallback: number): number {
    const value = this.#values.get(name)?.at(-1);
    return value === undefined ? fallback : Number(value);
  }

  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** `-name key=value`, repeated, as an object. */
  pairs(name: string): Record<string, string> {
    return Object.fromEntries(
      this.list(name).map((pair) => {
        const at = pair.indexOf('=');
        return at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
      }),
    );
  }

  all(): ReadonlyMap<string, readonly string[]> {
    return this.#values;
  }
}

export interface ParsedArguments {
  readonly flags: Flags;
  readonly rest: readonly string[];
  readonly help: boolean;
}

const BOOLEANS = new Map([
  ...['1', 't', 'T', 'true', 'TRUE', 'True'].map((word) => [word, 'true'] as const),
  ...['0', 'f', 'F', 'false', 'FALSE', 'False'].map((word) => [word, 'false'] as const),
]);

/**
 * Unlike Go's, flags may also stand behind arguments, unless `endAtArgument`; `--` ends them, and a lone `-` is an
 * argument.
 */
export function parseArguments(
  args: readonly string[],
  specs: readonly FlagSpec[],
  options: { readonly endAtArgument?: boolean } = {},
): ParsedArguments {
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  const values: [string, string][] = [];
  const rest: string[] = [];
  let help = false;
  for (let at = 0; at < args.length; at++) {
    const word = args[at] as string;
    if (word === '--') {
      rest.push(...args.slice(at + 1));
      break;
    }
    if (word === '-' || !word.startsWith('-')) {
      if (options.endAtArgument === true) {
        rest.push(...args.slice(at));
        break;
      }
      rest.push(word);
      continue;
    }
    const [, name = '', value] = /^--?([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === '' || name.startsWith('-')) throw new UsageError(`bad flag syntax: ${word}`);
    const spec = byName.get(name);
    if (spec === undefined) {
      if (name !== 'h' && name !== 'help') throw new UsageError(`flag provided but not defined: -${name}`);
      help = true;
      continue;
    }
    let given = value;
    if (given === undefined && spec.kind !== 'bool') {
      at++;
      given = args[at];
      if (given === undefined) throw new UsageError(`flag needs an argument: -${name}`);
    }
    values.push([name, check(spec, given ?? 'true')]);
  }
  return { flags: new Flags(values), rest, help };
}

function check(spec: FlagSpec, value: string): string {
  switch (spec.kind) {
    case 'bool': {
      const word = BOOLEANS.get(value);
      if (word === undefined) {
        throw new UsageError(`invalid boolean value ${JSON.stringify(value)} for -${spec.name}: parse error`);
      }
      return word;
    }
    case 'number':
      if (/^[+-]?[0-9]+$/.test(value) && Number.isSafeInteger(Number(value))) return value;
      break;
    case 'duration':
      if (tryParseDuration(value) !== undefined) return value;
      break;
    default:
      return value;
  }
  throw new UsageError(`invalid value ${JSON.stringify(value)} for flag -${spec.name}: parse error`);
}
