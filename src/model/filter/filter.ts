import { IsthmusError } from '../../lib/errors.ts';
import { goQuote } from './go-string.ts';
import { type Expression, MAX_LENGTH, type Match, type MatchOperator, parseExpression, SyntaxFault } from './parser.ts';
import { compilePattern, PatternFault } from './pattern/pattern.ts';
import type { Field, Fields } from './schema.ts';

type Predicate = (value: unknown) => boolean;

const OPERATORS: Readonly<Record<Field['kind'], readonly MatchOperator[]>> = {
  string: ['Equal', 'Not Equal', 'In', 'Not In', 'Matches', 'Not Matches'],
  number: ['Equal', 'Not Equal'],
  bool: ['Equal', 'Not Equal'],
  strings: ['In', 'Not In', 'Is Empty', 'Is Not Empty'],
  list: ['Is Empty', 'Is Not Empty'],
  map: ['Is Empty', 'Is Not Empty', 'In', 'Not In'],
  struct: [],
};

const NEGATED: Readonly<Partial<Record<MatchOperator, MatchOperator>>> = {
  'Not Equal': 'Equal',
  'Not In': 'In',
  'Is Not Empty': 'Is Empty',
  'Not Matches': 'Matches',
};

/** Expressions kept compiled for each schema; the least recently used goes first. */
const MAX_KEPT = 512;

/** Filters of one kind of value. Create one for each schema and keep it: it remembers what it compiled. */
export class FilterCompiler<T> {
  readonly #fields: Fields;
  readonly #kept = new Map<string, (value: T) => boolean>();

  constructor(fields: Fields) {
    this.#fields = fields;
  }

  /** Throws `rejected` with Consul's text when the expression is malformed or does not fit the schema. */
  compile(expression: string): (value: T) => boolean {
    const kept = this.#kept.get(expression);
    if (kept !== undefined) {
      this.#kept.delete(expression);
      this.#kept.set(expression, kept);
      return kept;
    }
    const predicate = compileExpression(expression, this.#fields);
    this.#kept.set(expression, predicate);
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value as string);
    return predicate;
  }

  /** Those of `values` that match; all of them when there is no expression. */
  apply(expression: string | undefined, values: readonly T[]): readonly T[] {
    return expression === undefined || expression === '' ? values : values.filter(this.compile(expression));
  }
}

function compileExpression(text: string, fields: Fields): Predicate {
  try {
    if (Buffer.byteLength(text) > MAX_LENGTH) throw new SyntaxFault(`longer than ${MAX_LENGTH} bytes`);
    return compile(parseExpression(text), fields);
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error;
    throw new IsthmusError('rejected', `Failed to create boolean expression evaluator: ${error.message}`);
  }
}

function compile(expression: Expression, fields: Fields): Predicate {
  switch (expression.type) {
    case 'not': {
      const operand = compile(expression.operand, fields);
      return (value) => !operand(value);
    }
    case 'and': {
      const parts = expression.parts.map((part) => compile(part, fields));
      return (value) => parts.every((part) => part(value));
    }
    case 'or': {
      const parts = expression.parts.map((part) => compile(part, fields));
      return (value) => parts.some((part) => part(value));
    }
    case 'match':
      return select(expression, 0, { kind: 'struct', fields }, test(expression, resolve(expression, fields)));
  }
}

/** The field that the selector ends in. */
function resolve(match: Match, fields: Fields): Field {
  let field: Field = { kind: 'struct', fields };
  for (const [depth, name] of match.selector.entries()) {
    const next = child(field, name);
    if (next === undefined)
      throw new SyntaxFault(`Selector ${goQuote(match.selector.slice(0, depth + 1).join('.'))} is not valid`);
    field = next;
  }
  if (!OPERATORS[field.kind].includes(match.operator))
    throw new SyntaxFault(`Invalid match operator ${goQuote(match.operator)} for selector ${selectorText(match)}`);
  return field;
}

function child(field: Field, name: string): Field | undefined {
  if (field.kind === 'map') return field.value;
  if (field.kind !== 'struct' && field.kind !== 'list') return undefined;
  return Object.hasOwn(field.fields, name) ? field.fields[name] : undefined;
}

/**
 * Walks from a value to what the selector names. A list on the way matches when any of its elements does, also for
 * the negated operators. A key that a map lacks equals nothing, is in nothing, is empty and matches no pattern.
 */
function select(match: Match, depth: number, field: Field, end: Predicate): Predicate {
  const name = match.selector[depth];
  if (name === undefined) return end;
  const next = child(field, name) as Field;
  const rest = select(match, depth + 1, next, end);
  if (field.kind === 'map') {
    const absent =
      NEGATED[match.operator] === undefined ? match.operator === 'Is Empty' : match.operator !== 'Is Not Empty';
    return (value) => {
      if (value === null || value === undefined || !Object.hasOwn(value, name)) return absent;
      return rest((value as Record<string, unknown>)[name]);
    };
  }
  const step: Predicate = (value) => rest((value as Record<string, unknown> | null | undefined)?.[name]);
  if (field.kind !== 'list') return step;
  return (value) => ((value as readonly unknown[] | null | undefined) ?? []).some(step);
}

/** The comparison at the selector's end. */
function test(match: Match, field: Field): Predicate {
  const positive = NEGATED[match.operator];
  if (positive !== undefined) {
    const inner = test({ ...match, operator: positive }, field);
    return (value) => !inner(value);
  }
  const raw = match.value ?? '';
  switch (match.operator) {
    case 'Equal': {
      if (field.kind === 'number') {
        const wanted = coerceInteger(raw, match);
        return (value) => ((value as number | undefined) ?? 0) === wanted;
      }
      if (field.kind === 'bool') {
        const wanted = coerceBool(raw, match);
        return (value) => (value === true) === wanted;
      }
      return (value) => (value ?? '') === raw;
    }
    case 'In':
      if (field.kind === 'map') return (value) => value !== null && value !== undefined && Object.hasOwn(value, raw);
      if (field.kind === 'strings')
        return (value) => ((value as readonly string[] | null | undefined) ?? []).includes(raw);
      return (value) => ((value as string | undefined) ?? '').includes(raw);
    case 'Is Empty':
      return (value) => value === null || value === undefined || Object.keys(value).length === 0;
    default: {
      const pattern = compileMatches(raw);
      return (value) => pattern((value as string | undefined) ?? '');
    }
  }
}

function compileMatches(raw: string): (text: string) => boolean {
  try {
    return compilePattern(raw);
  } catch (error) {
    if (!(error instanceof PatternFault)) throw error;
    throw new SyntaxFault(`Failed to compile regular expression ${goQuote(raw)}: ${error.message}`);
  }
}

const MAX_INT64 = 2n ** 63n - 1n;

/** strconv.ParseInt with base 0. */
function coerceInteger(raw: string, match: Match): number {
  const parts = /^([+-]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]*)$/.exec(raw);
  if (parts === null) throw coercionFault(raw, match, `strconv.ParseInt: parsing ${goQuote(raw)}: invalid syntax`);
  const digits = parts[2] as string;
  const magnitude = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
  const value = parts[1] === '-' ? -magnitude : magnitude;
  if (value > MAX_INT64 || value < -MAX_INT64 - 1n)
    throw coercionFault(raw, match, `strconv.ParseInt: parsing ${goQuote(raw)}: value out of range`);
  return Number(value);
}

function coerceBool(raw: string, match: Match): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(raw)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(raw)) return false;
  throw coercionFault(raw, match, `strconv.ParseBool: parsing ${goQuote(raw)}: invalid syntax`);
}

function coercionFault(raw: string, match: Match, reason: string): SyntaxFault {
  return new SyntaxFault(`Failed to coerce value ${goQuote(raw)} for selector ${selectorText(match)}: ${reason}`);
}

function selectorText(match: Match): string {
  return goQuote(match.selector.join('.'));
}
