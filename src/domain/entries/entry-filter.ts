import type { ConfigEntry, ConfigEntryKind } from '../../model/config-entry.ts';
import { KINDS } from '../../model/entries/registry.ts';
import type { Field, Fields } from '../../model/entries/schema.ts';
import { FilterCompiler } from '../../model/filter/filter.ts';
import * as select from '../../model/filter/schema.ts';

const COMPILERS = new Map<ConfigEntryKind, FilterCompiler<ConfigEntry>>();

/** The entries of one kind that match an expression over that kind's fields. */
export function filterEntries(
  kind: ConfigEntryKind,
  expression: string | undefined,
  entries: readonly ConfigEntry[],
): readonly ConfigEntry[] {
  let compiler = COMPILERS.get(kind);
  if (compiler === undefined) {
    compiler = new FilterCompiler({
      Kind: select.TEXT,
      Name: select.TEXT,
      Meta: select.TEXT_MAP,
      ...selectable(KINDS[kind].fields),
    });
    COMPILERS.set(kind, compiler);
  }
  return compiler.apply(expression, entries);
}

function selectable(fields: Fields): select.Fields {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, field]) => (field.type === 'refused' ? [] : [[name, selector(field)]])),
  );
}

function selector(field: Exclude<Field, { readonly type: 'refused' }>): select.Field {
  switch (field.type) {
    case 'string':
    case 'name':
    case 'duration':
      return select.TEXT;
    case 'bool':
      return select.BOOL;
    case 'integer':
    case 'number':
      return select.NUMBER;
    case 'strings':
    case 'names':
    case 'integers':
      return select.TEXTS;
    case 'stringMap':
      return select.TEXT_MAP;
    case 'opaque':
      return { kind: 'map' };
    case 'object':
      return select.struct(selectable(field.fields));
    case 'list':
      return select.list(selectable(field.of));
    case 'map':
      return select.map(select.struct(selectable(field.of)));
  }
}
