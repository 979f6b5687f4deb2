import { snakeCase } from '../../lib/snake-case.ts';
import type { Fields, FieldType } from '../../model/registration/fields.ts';

/** A field of a service or a check as a file spells it; made from the table of registrations. */
export interface FileField {
  /** As files spell it. */
  readonly name: string;
  /** As the API spells it. */
  readonly api: string;
  readonly type: FieldType;
  readonly several?: string;
  /** For blocks: the fields inside. */
  readonly fields?: () => readonly FileField[];
}

const made = new WeakMap<Fields, readonly FileField[]>();

/**
 * A key of a file is matched without its underscores and in any case, so `tls_skip_verify`, `tlsskipverify` and
 * `TLSSkipVerify` are one.
 */
export function fileFields(table: Fields): readonly FileField[] {
  const known = made.get(table);
  if (known !== undefined) return known;
  const fields = Object.entries(table).flatMap(([api, { type, files, several, fields: inside }]) =>
    (files ?? [snakeCase(api)]).map((name) => ({
      name,
      api,
      type,
      ...(several === undefined ? {} : { several }),
      ...(inside === undefined ? {} : { fields: () => fileFields(inside()) }),
    })),
  );
  made.set(table, fields);
  return fields;
}
