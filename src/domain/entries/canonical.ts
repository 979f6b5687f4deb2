import type { ConfigEntry } from '../../model/config-entry.ts';
import { fieldsOf } from '../../model/entries/registry.ts';
import { type Field, type Fields, isPlain, type Plain } from '../../model/entries/schema.ts';
import type { ServiceIntentionsEntry } from '../../model/intention.ts';
import { foldName } from '../../model/names.ts';
import { mergeIntentions } from '../../model/service-intentions.ts';

/** An entry as it lies in the store, with the revision that last wrote it. */
export interface Candidate {
  readonly entry: ConfigEntry;
  readonly revision: number;
}

const CANONICAL = new WeakMap<ConfigEntry, ConfigEntry>();

/**
 * The entry with every name in its canonical form; the same object when it is so already. Rows of
 * older versions, and those copied from a primary of one, spell names as they were written. What is not known stays.
 */
export function canonicalEntry(entry: ConfigEntry): ConfigEntry {
  let known = CANONICAL.get(entry);
  if (known === undefined) {
    const fields = fieldsOf(entry.Kind);
    known = fields === undefined ? entry : (foldObject(fields, entry) as ConfigEntry);
    if (known !== entry && known.Kind === 'service-intentions') known = mergeEntries([{ entry: known, revision: 0 }]);
    CANONICAL.set(entry, known);
  }
  return known;
}

/**
 * One entry of all that bear the same name but for letter case. Of intentions all sources hold, and where two decide
 * about the same connection the stricter one does; of other kinds the newest entry holds.
 */
export function mergeEntries(candidates: readonly Candidate[]): ConfigEntry {
  const entries = candidates.toSorted((a, b) => b.revision - a.revision).map(({ entry }) => entry);
  const newest = entries[0] as ConfigEntry;
  if (newest.Kind !== 'service-intentions') return newest;
  return mergeIntentions(entries as unknown as readonly ServiceIntentionsEntry[]) as ConfigEntry &
    ServiceIntentionsEntry;
}

function foldObject(fields: Fields, value: Plain): Plain {
  let folded = value;
  for (const [name, field] of Object.entries(fields)) {
    const before = value[name];
    const after = foldValue(field, before);
    if (after === before) continue;
    if (folded === value) folded = { ...value };
    folded[name] = after;
  }
  return folded;
}

function foldValue(field: Field, value: unknown): unknown {
  switch (field.type) {
    case 'name':
      return typeof value === 'string' ? foldName(value) : value;
    case 'names':
      return Array.isArray(value)
        ? foldItems(value, (item) => (typeof item === 'string' ? foldName(item) : item))
        : value;
    case 'object':
      return isPlain(value) ? foldObject(field.fields, value) : value;
    case 'list':
      return Array.isArray(value)
        ? foldItems(value, (item: unknown) => (isPlain(item) ? foldObject(field.of, item) : item))
        : value;
    case 'map': {
      if (!isPlain(value)) return value;
      const before = Object.entries(value);
      const after = foldItems(before, (pair: readonly [string, unknown]) => {
        const item = isPlain(pair[1]) ? foldObject(field.of, pair[1]) : pair[1];
        return item === pair[1] ? pair : ([pair[0], item] as const);
      });
      return after === before ? value : Object.fromEntries(after);
    }
    default:
      return value;
  }
}

/** The same list when nothing in it changes. */
function foldItems<T>(list: readonly T[], fold: (item: T) => T): readonly T[] {
  const folded = list.map(fold);
  return folded.every((item, at) => item === list[at]) ? list : folded;
}
