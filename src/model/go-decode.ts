import { tryParseDuration } from '../lib/duration.ts';
import { IsthmusError } from '../lib/errors.ts';
import { tenancyFault, tenancyOf } from './tenancy.ts';

/**
 * Request bodies are decoded as Consul's are (Go's encoding/json): names fit in any case, null leaves a field unset, a
 * wrong type is named with its field. The texts are data that clients match on. Unknown fields are passed over and
 * reported, so that clients of a newer Consul are understood; where a field could change who may do what, they are
 * refused.
 */

/** Where a value lies, for error texts. */
export interface Where {
  /** Name of the innermost object type; '' at the top. */
  readonly struct: string;
  /** Path of field names, joined by dots. */
  readonly field: string;
  /** Gets the path of each field that is passed over. */
  readonly onUnknown?: ((path: string) => void) | undefined;
}

/** Turns a parsed JSON value into a `T`; undefined for null. Throws IsthmusError with Go's text. */
export interface Decoder<T> {
  decode(value: unknown, where: Where): T | undefined;
}

export type Decoded<D> = D extends Decoder<infer T> ? T : never;

/** Where a whole body lies. */
export const TOP: Where = { struct: '', field: '' };

export const asString: Decoder<string> = scalar('string', (value) => (typeof value === 'string' ? value : undefined));

export const asBool: Decoder<boolean> = scalar('bool', (value) => (typeof value === 'boolean' ? value : undefined));

export const asInt: Decoder<number> = scalar('int', (value) =>
  Number.isInteger(value) ? (value as number) : undefined,
);

export const asFloat: Decoder<number> = scalar('float64', (value) => (typeof value === 'number' ? value : undefined));

/** Kept as it came. */
export const asAny: Decoder<unknown> = { decode: (value) => (value === null ? undefined : value) };

/** Milliseconds of a Go duration text or of a number of nanoseconds. */
export const asDuration: Decoder<number> = {
  decode(value, where) {
    if (value === null) return undefined;
    if (typeof value === 'number') return value / 1e6;
    if (typeof value !== 'string') throw mismatch(value, where, 'time.Duration');
    const ms = tryParseDuration(value);
    if (ms === undefined) throw new IsthmusError('invalid_argument', `time: invalid duration ${JSON.stringify(value)}`);
    return ms;
  },
};

export function asList<T>(item: Decoder<T>, goType = '[]string'): Decoder<readonly T[]> {
  return {
    decode(value, where) {
      if (value === null) return undefined;
      if (!Array.isArray(value)) throw mismatch(value, where, goType);
      return value.map((entry: unknown) => item.decode(entry, where) as T);
    },
  };
}

export function asMap<T>(item: Decoder<T>, goType = 'map[string]string'): Decoder<Readonly<Record<string, T>>> {
  return {
    decode(value, where) {
      if (value === null) return undefined;
      if (!isObject(value)) throw mismatch(value, where, goType);
      // fromEntries defines own properties, so that a key "__proto__" is only a key.
      return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, item.decode(entry, where) as T]));
    },
  };
}

type Fields = Readonly<Record<string, Decoder<unknown>>>;
type DecodedFields<F extends Fields> = { readonly [K in keyof F]?: Decoded<F[K]> };

export interface StructOptions {
  /** Other spellings of a field, lower case: `{ tagged_addresses: 'TaggedAddresses' }`. */
  readonly aliases?: Readonly<Record<string, string>>;
  /**
   * What becomes of an unknown field. `report` (the default): it is passed over, and reported. `refuse`: for what says
   * who may do what. `ignore`: for parts that Consul only shows.
   */
  readonly unknown?: 'report' | 'refuse' | 'ignore';
  /** Fields that are known to say nothing of who may do what: reported where others are refused. */
  readonly harmless?: readonly string[];
}

/** @param name Consul's type name, with its package: 'structs.RegisterRequest'. */
export function asStruct<F extends Fields>(
  name: string,
  fields: F,
  options: StructOptions = {},
): Decoder<DecodedFields<F>> {
  const byName = new Map(Object.keys(fields).map((field) => [field.toLowerCase(), field]));
  for (const [alias, field] of Object.entries(options.aliases ?? {})) byName.set(alias, field);
  const struct = name.slice(name.lastIndexOf('.') + 1);
  return {
    decode(value, where) {
      if (value === null) return undefined;
      if (!isObject(value)) throw mismatch(value, where, name);
      const result: Record<string, unknown> = {};
      for (const [key, entry] of Object.entries(value)) {
        const field = byName.get(key.toLowerCase());
        const path = where.field === '' ? (field ?? key) : `${where.field}.${field ?? key}`;
        const tenancy = tenancyOf(key);
        const fault = tenancy === undefined ? undefined : tenancyFault(tenancy, entry);
        if (fault !== undefined)
          throw new IsthmusError(
            'invalid_argument',
            `json: ${field === undefined ? 'unknown ' : ''}field ${JSON.stringify(key)}: ${fault}`,
          );
        if (field === undefined) {
          if (tenancy !== undefined || options.unknown === 'ignore') continue;
          if (options.unknown === 'refuse' && !options.harmless?.includes(key))
            throw new IsthmusError('invalid_argument', `json: unknown field ${JSON.stringify(key)}`);
          where.onUnknown?.(path);
          continue;
        }
        const inside: Where = { struct, field: path, onUnknown: where.onUnknown };
        const decoded = (fields[field] as Decoder<unknown>).decode(entry, inside);
        if (decoded !== undefined) result[field] = decoded;
      }
      return result as DecodedFields<F>;
    },
  };
}

function scalar<T>(goType: string, read: (value: unknown) => T | undefined): Decoder<T> {
  return {
    decode(value, where) {
      if (value === null) return undefined;
      const result = read(value);
      if (result === undefined) throw mismatch(value, where, goType);
      return result;
    },
  };
}

function mismatch(value: unknown, where: Where, goType: string): IsthmusError {
  const into = where.struct === '' ? 'value' : `struct field ${where.struct}.${where.field}`;
  return new IsthmusError(
    'invalid_argument',
    `json: cannot unmarshal ${kindOf(value, goType)} into Go ${into} of type ${goType}`,
  );
}

function kindOf(value: unknown, goType: string): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return goType === 'int' ? `number ${value}` : 'number';
  if (typeof value === 'boolean') return 'bool';
  return typeof value === 'string' ? 'string' : 'object';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
