import { IsthmusError } from '../../lib/errors.ts';
import type { ConfigEntry, ConfigEntryKind } from '../config-entry.ts';
import { jwtProvider } from './jwt-provider.ts';
import { type KindSpec, rejected } from './kind.ts';
import { mesh } from './mesh.ts';
import { proxyDefaults } from './proxy-defaults.ts';
import {
  badRequest,
  type DecodeOptions,
  decodeFields,
  type EntryFault,
  type Fields,
  isPlain,
  NAME,
  type Plain,
  plainKey,
  readFields,
  TEXT,
  TEXT_MAP,
} from './schema.ts';
import { serviceDefaults } from './service-defaults.ts';
import { serviceIntentions } from './service-intentions.ts';
import { serviceResolver } from './service-resolver.ts';
import { serviceRouter } from './service-router.ts';
import { serviceSplitter } from './service-splitter.ts';

export type { EntryFault };

/** Every kind there is; a new one is a file and a line here. */
export const KINDS: Readonly<Record<ConfigEntryKind, KindSpec>> = {
  'service-defaults': erase(serviceDefaults),
  'proxy-defaults': erase(proxyDefaults),
  'service-resolver': erase(serviceResolver),
  'service-splitter': erase(serviceSplitter),
  'service-router': erase(serviceRouter),
  'service-intentions': erase(serviceIntentions),
  mesh: erase(mesh),
  'jwt-provider': erase(jwtProvider),
};

/** A spec only ever sees entries that its own decoding made. */
function erase<E extends ConfigEntry>(spec: KindSpec<E>): KindSpec {
  return spec as unknown as KindSpec;
}

const FIELDS = new Map<KindSpec, Fields>(
  Object.values(KINDS).map((spec) => [spec, { Kind: TEXT, Name: NAME, ...spec.fields, Meta: TEXT_MAP }]),
);

/** Undefined for a kind of a newer version. */
export function fieldsOf(kind: string): Fields | undefined {
  return isKind(kind) ? FIELDS.get(KINDS[kind]) : undefined;
}

export function isKind(kind: string): kind is ConfigEntryKind {
  return Object.hasOwn(KINDS, kind);
}

/** Throws as Consul does for a kind in a path. */
export function requireKind(kind: string): ConfigEntryKind {
  if (!isKind(kind)) throw rejected(`invalid config entry kind: ${kind}`);
  return kind;
}

/** Reads an entry as a caller or a file wrote it: any case of keys, snake_case as well. Does not validate. */
export function decodeEntry(raw: unknown, options: DecodeOptions = {}): ConfigEntry {
  const { kind, spec, fields, plain } = kindOf(raw);
  return normalised(kind, spec, decodeFields(fields, plain, options));
}

/**
 * As a write would, but with everything that is wrong; the entry without its unknown fields, where the rest is good.
 */
export function checkEntry(raw: unknown): {
  readonly entry: ConfigEntry | undefined;
  readonly faults: readonly EntryFault[];
} {
  const faults: EntryFault[] = [];
  let entry: ConfigEntry | undefined;
  try {
    const { kind, spec, fields, plain } = kindOf(raw);
    const read = readFields(fields, plain);
    faults.push(...read.faults);
    if (!read.faults.some((fault) => fault.kind === 'wrong')) {
      const decoded = normalised(kind, spec, read.entry);
      validateEntry(decoded);
      entry = decoded;
    }
  } catch (error) {
    faults.push({ path: '', kind: 'wrong', text: IsthmusError.from(error).message });
  }
  return { entry, faults };
}

function kindOf(raw: unknown): { kind: ConfigEntryKind; spec: KindSpec; fields: Fields; plain: Plain } {
  if (!isPlain(raw)) throw badRequest('the entry must be an object');
  const kind = readText(raw, 'kind');
  if (kind === undefined) throw badRequest('Payload does not contain a Kind key at the top level');
  if (!isKind(kind)) throw badRequest(`invalid config entry kind: ${kind}`);
  const spec = KINDS[kind];
  return { kind, spec, fields: FIELDS.get(spec) as Fields, plain: raw };
}

function normalised(kind: ConfigEntryKind, spec: KindSpec, entry: Plain): ConfigEntry {
  return spec.normalise({ ...entry, Kind: kind, Name: (entry.Name as string | undefined) ?? '' } as ConfigEntry);
}

/** Throws the first rule that a decoded entry breaks by itself. */
export function validateEntry(entry: ConfigEntry): void {
  const spec = KINDS[entry.Kind];
  if (spec === undefined) throw new IsthmusError('rejected', `invalid config entry kind: ${entry.Kind}`);
  spec.validate(entry);
}

function readText(raw: Plain, key: string): string | undefined {
  for (const [name, value] of Object.entries(raw)) {
    if (plainKey(name) === key) return typeof value === 'string' ? value : String(value);
  }
  return undefined;
}
