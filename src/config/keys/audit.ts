import type { ConfigNode } from '../../lib/hcl/node.ts';
import { unknownKey } from '../../lib/suggest.ts';
import { choice, duration, fail, integer, type Kind, mapEntries, oneBlock, type Place, text } from './kind.ts';

/** 24 MiB, as Consul. */
const ROTATE_BYTES = 25_165_824;
const DAY_MS = 86_400_000;

const FIELDS = {
  type: choice(['file']),
  format: choice(['json']),
  path: text,
  delivery_guarantee: choice(['best-effort']),
  mode: text,
  rotate_bytes: integer(),
  rotate_duration: duration,
  rotate_max_files: integer(),
} as const satisfies Record<string, Kind<unknown>>;

type Fields = { -readonly [F in keyof typeof FIELDS]?: (typeof FIELDS)[F] extends Kind<infer T> ? T : never };

/** `audit { sink "name" { … } }`, as Consul's. */
export interface AuditSink {
  readonly name: string;
  readonly path: string;
  /** Permissions of the file. */
  readonly mode: number;
  /** A file that would grow above this is put aside; 0: never. */
  readonly rotateBytes: number;
  /** A file of this age is put aside; 0: never. */
  readonly rotateMs: number;
  /** Files put aside that are kept; 0: all. */
  readonly rotateMaxFiles: number;
}

export const auditSinks: Kind<readonly AuditSink[]> = {
  label: 'named blocks',
  read: (nodes, place) =>
    mapEntries(nodes, place).map((entry) => {
      const inside = { ...place, path: `${place.path}.${entry.key}` };
      return sinkOf(entry.key, oneBlock([entry.value], inside).entries, inside);
    }),
  merge: (earlier, later) => [...earlier, ...later],
  show: () => '',
};

function sinkOf(
  name: string,
  entries: readonly { readonly key: string; readonly value: ConfigNode; readonly at: ConfigNode['at'] }[],
  place: Place,
): AuditSink {
  const given: Fields = {};
  for (const { key, value, at } of entries) {
    const inside = { ...place, path: `${place.path}.${key}` };
    if (!Object.hasOwn(FIELDS, key)) {
      place.problems.addUnknown(`${place.file}:${at.line}: ${unknownKey(inside.path, key, Object.keys(FIELDS))}`);
      continue;
    }
    const field = FIELDS[key as keyof typeof FIELDS] as Kind<never>;
    place.problems.attempt(() => {
      given[key as keyof Fields] = field.read([value], inside);
    });
  }
  const { path = '', mode = '0600' } = given;
  const at = entries[0]?.at ?? { line: 1, column: 1 };
  if (path === '') fail(place, at, 'needs a "path"');
  if (!/^0?[0-7]{3}$/.test(mode)) fail(place, at, `has the mode ${JSON.stringify(mode)}; it must be like "0600"`);
  return {
    name,
    path,
    mode: Number.parseInt(mode, 8),
    rotateBytes: given.rotate_bytes ?? ROTATE_BYTES,
    rotateMs: given.rotate_duration ?? DAY_MS,
    rotateMaxFiles: given.rotate_max_files ?? 15,
  };
}
