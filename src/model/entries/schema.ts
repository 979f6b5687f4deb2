import { formatDuration, tryParseDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { foldName } from '../names.ts';
import { tenancyFault, tenancyOf } from '../tenancy.ts';

/** What one field of a configuration entry may hold. Fields that are empty (as Go sees it) are left out when stored. */
export type Field =
  /** `name` and `names`: of services or datacenters, kept in their canonical form. */
  | { readonly type: 'name' | 'names' }
  | { readonly type: 'string' | 'bool' | 'integer' | 'duration' | 'strings' | 'integers' | 'stringMap' | 'opaque' }
  /** `shown` keeps a zero. */
  | { readonly type: 'number'; readonly shown?: boolean }
  /** `shown` keeps an object without fields. */
  | { readonly type: 'object'; readonly fields: Fields; readonly shown?: boolean }
  | { readonly type: 'list'; readonly of: Fields }
  /** Of Consul, but not offered here: an entry that uses it is refused with this reason. */
  | { readonly type: 'refused'; readonly because: string }
  | { readonly type: 'map'; readonly of: Fields };

/** Canonical field names, in the order in which they are shown. */
export type Fields = Readonly<Record<string, Field>>;

export type Plain = Record<string, unknown>;

export const TEXT: Field = { type: 'string' };
export const NAME: Field = { type: 'name' };
export const NAMES: Field = { type: 'names' };
export const FLAG: Field = { type: 'bool' };
export const COUNT: Field = { type: 'integer' };
export const TEXTS: Field = { type: 'strings' };
export const TEXT_MAP: Field = { type: 'stringMap' };
export const DURATION: Field = { type: 'duration' };
export const COUNTS: Field = { type: 'integers' };
export const OPAQUE: Field = { type: 'opaque' };

/** Fields that every kind accepts and that are not stored: the indexes are the store's, a hash is Consul's. */
const IGNORED = new Set(['createindex', 'modifyindex', 'hash']);

/** What is wrong with one field. */
export interface EntryFault {
  /** `Sources[0].Name`; '' is the entry itself. */
  readonly path: string;
  /** `unknown`: there is no such field. `refused`: there is, or Consul has it, and it can't be given here. */
  readonly kind: 'unknown' | 'refused' | 'wrong';
  readonly text: string;
  /** Of an unknown field: those that there are. */
  readonly known?: readonly string[];
}

const LOOKUPS = new WeakMap<Fields, ReadonlyMap<string, string>>();

/** Keys are found as Consul finds them: case does not matter, and `connect_timeout` is ConnectTimeout. */
function lookup(fields: Fields): ReadonlyMap<string, string> {
  let map = LOOKUPS.get(fields);
  if (map === undefined) {
    map = new Map(Object.keys(fields).map((name) => [plainKey(name), name]));
    LOOKUPS.set(fields, map);
  }
  return map;
}

export function plainKey(key: string): string {
  return key.toLowerCase().replaceAll('_', '');
}

export function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export interface DecodeOptions {
  /** Keep what is not known instead of refusing it: entries written by a newer version must survive replication. */
  readonly lenient?: boolean;
}

/** Reads one entry by its kind's fields, with all that is wrong. */
export function readFields(
  fields: Fields,
  raw: Plain,
): { readonly entry: Plain; readonly faults: readonly EntryFault[] } {
  const faults: EntryFault[] = [];
  const entry = decodeObject(fields, raw, '', faults, true);
  return { entry, faults };
}

/** As {@link readFields}; throws Consul's text that lists every unknown key. */
export function decodeFields(fields: Fields, raw: Plain, options: DecodeOptions = {}): Plain {
  const { entry, faults } = readFields(fields, raw);
  const wrong = faults.filter(({ kind }) => kind === 'wrong');
  if (wrong.length > 0)
    throw badRequest(`${wrong.length} error(s) decoding:\n\n${wrong.map(({ text }) => `* ${text}`).join('\n')}`);
  if (faults.length > 0 && options.lenient !== true) {
    const lines = faults.map(({ text }) => `\t* invalid config key ${text}\n`).join('');
    throw badRequest(`${faults.length} error${faults.length === 1 ? '' : 's'} occurred:\n${lines}\n`);
  }
  return entry;
}

export function badRequest(reason: string): IsthmusError {
  return new IsthmusError('invalid_argument', `Bad request: Request decoding failed: ${reason}`);
}

function decodeObject(fields: Fields, raw: Plain, path: string, faults: EntryFault[], top = false): Plain {
  const names = lookup(fields);
  const found = new Map<string, unknown>();
  for (const [key, value] of Object.entries(raw)) {
    const plain = plainKey(key);
    const name = names.get(plain);
    const tenancy = tenancyOf(key);
    const fault = tenancy === undefined ? undefined : tenancyFault(tenancy, value);
    const quoted = JSON.stringify(path + key);
    if (fault !== undefined) faults.push({ path: path + key, kind: 'refused', text: `${quoted}, ${fault}` });
    else if (name !== undefined) found.set(name, value);
    else if (tenancy === undefined && !(top && IGNORED.has(plain)))
      faults.push({ path: path + key, kind: 'unknown', text: quoted, known: Object.keys(fields) });
  }
  const result: Plain = {};
  for (const [name, field] of Object.entries(fields)) {
    if (field.type === 'refused') {
      const text = `${JSON.stringify(path + name)}, ${field.because}`;
      if (found.get(name)) faults.push({ path: path + name, kind: 'refused', text });
      continue;
    }
    const value = decodeValue(field, found.get(name), path + name, faults);
    if (value !== undefined) result[name] = value;
  }
  return result;
}

function decodeValue(
  field: Exclude<Field, { readonly type: 'refused' }>,
  raw: unknown,
  path: string,
  faults: EntryFault[],
): unknown {
  if (raw === undefined || raw === null) return emptyValue(field);
  switch (field.type) {
    case 'string':
      return scalar(raw, path, faults, 'string', (text) => text) || undefined;
    case 'name':
      return scalar(raw, path, faults, 'string', foldName) || undefined;
    case 'bool':
      if (typeof raw === 'boolean') return raw || undefined;
      return wrong(raw, path, faults, 'bool');
    case 'integer':
    case 'number': {
      const value = typeof raw === 'string' && raw.trim() !== '' ? Number(raw) : raw;
      if (typeof value !== 'number' || !Number.isFinite(value)) return wrong(raw, path, faults, 'number');
      return value === 0 && !(field.type === 'number' && field.shown) ? undefined : value;
    }
    case 'duration':
      return duration(raw, path, faults);
    case 'strings':
      return strings(raw, path, faults);
    case 'names':
      return strings(raw, path, faults)?.map(foldName);
    case 'integers': {
      const items = strings(raw, path, faults)?.map(Number);
      return items?.every(Number.isInteger) === false ? wrong(raw, path, faults, '[]uint32') : items;
    }
    case 'stringMap':
      return stringMap(raw, path, faults);
    case 'opaque':
      if (!isPlain(raw)) return wrong(raw, path, faults, 'map');
      return Object.keys(raw).length === 0 ? undefined : raw;
    case 'object': {
      const object = single(raw);
      if (!isPlain(object)) return wrong(raw, path, faults, 'map');
      const value = decodeObject(field.fields, object, `${path}.`, faults);
      return Object.keys(value).length === 0 && field.shown !== true ? emptyObject(field) : value;
    }
    case 'list': {
      const items = Array.isArray(raw) ? raw : [raw];
      const list = items.map((item, at) => element(field.of, item, `${path}[${at}]`, faults));
      return list.length === 0 ? undefined : list;
    }
    case 'map': {
      const map = single(raw);
      if (!isPlain(map)) return wrong(raw, path, faults, 'map');
      const pairs = Object.entries(map).map(([key, item]) => [
        key,
        element(field.of, single(item), `${path}[${key}]`, faults),
      ]);
      return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
    }
  }
}

/** HCL writes a block as a list of one. */
function single(raw: unknown): unknown {
  return Array.isArray(raw) && raw.length === 1 ? raw[0] : raw;
}

function element(fields: Fields, raw: unknown, path: string, faults: EntryFault[]): Plain {
  if (isPlain(raw)) return decodeObject(fields, raw, `${path}.`, faults);
  wrong(raw, path, faults, 'map');
  return {};
}

function emptyValue(field: Field): unknown {
  if (field.type === 'object') return field.shown === true ? {} : undefined;
  return field.type === 'number' && field.shown === true ? 0 : undefined;
}

/** An object that was written but holds nothing counts: `Redirect {}` is an error of its own. */
function emptyObject(field: Field): unknown {
  return field.type === 'object' ? {} : undefined;
}

function scalar(raw: unknown, path: string, faults: EntryFault[], want: string, use: (text: string) => string) {
  if (typeof raw === 'string') return use(raw);
  if (typeof raw === 'number') return use(String(raw)); // Consul decodes weakly: a number is taken for its text
  if (typeof raw === 'boolean') return use(raw ? '1' : '0');
  return wrong(raw, path, faults, want);
}

/** Kept as Go would write it; a bare number counts nanoseconds. */
function duration(raw: unknown, path: string, faults: EntryFault[]): string | undefined {
  if (typeof raw === 'number') return raw === 0 ? undefined : formatDuration(raw / 1e6);
  if (typeof raw !== 'string') return wrong(raw, path, faults, 'duration');
  if (raw === '') return undefined;
  const ms = tryParseDuration(raw);
  if (ms === undefined) {
    const text = `error decoding '${path}': time: invalid duration ${JSON.stringify(raw)}`;
    faults.push({ path, kind: 'wrong', text });
    return undefined;
  }
  return ms === 0 ? undefined : formatDuration(ms);
}

function strings(raw: unknown, path: string, faults: EntryFault[]): readonly string[] | undefined {
  const items = Array.isArray(raw) ? raw : [raw];
  const list: string[] = [];
  for (const [at, item] of items.entries()) {
    const text = scalar(item, `${path}[${at}]`, faults, 'string', (value) => value);
    if (text !== undefined) list.push(text);
  }
  return list.length === 0 ? undefined : list;
}

function stringMap(raw: unknown, path: string, faults: EntryFault[]): Readonly<Record<string, string>> | undefined {
  const map = single(raw);
  if (!isPlain(map)) return wrong(raw, path, faults, 'map');
  const pairs: [string, string][] = [];
  for (const [key, item] of Object.entries(map)) {
    const text = scalar(item, `${path}[${key}]`, faults, 'string', (value) => value);
    if (text !== undefined) pairs.push([key, text]);
  }
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}

function wrong(raw: unknown, path: string, faults: EntryFault[], want: string): undefined {
  const got = Array.isArray(raw) ? '[]interface {}' : isPlain(raw) ? 'map[string]interface {}' : typeof raw;
  const text = `'${path}' expected type '${want}', got unconvertible type '${got}'`;
  faults.push({ path, kind: 'wrong', text });
  return undefined;
}
