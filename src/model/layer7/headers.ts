import type { HeaderLine } from './request.ts';

/** What is changed of the headers of a request or an answer. Names in lower case. */
export interface HeaderChanges {
  /** One line more of each. */
  readonly add: readonly HeaderLine[];
  /** Instead of all lines of that name. */
  readonly set: readonly HeaderLine[];
  readonly remove: readonly string[];
}

export interface HeaderModifiers {
  readonly Add?: Readonly<Record<string, string>>;
  readonly Set?: Readonly<Record<string, string>>;
  readonly Remove?: readonly string[];
}

export const NO_CHANGES: HeaderChanges = { add: [], set: [], remove: [] };

export function compileHeaders(fields: HeaderModifiers | undefined): HeaderChanges {
  if (fields === undefined) return NO_CHANGES;
  const lines = (map: Readonly<Record<string, string>> = {}): readonly HeaderLine[] =>
    Object.entries(map).map(([name, value]) => [name.toLowerCase(), value]);
  return { add: lines(fields.Add), set: lines(fields.Set), remove: (fields.Remove ?? []).map((n) => n.toLowerCase()) };
}

/** As Envoy does: first what is removed, then what is added, then what is set. */
export function changeHeaders(headers: readonly HeaderLine[], changes: HeaderChanges): readonly HeaderLine[] {
  if (changes === NO_CHANGES) return headers;
  let changed = headers.filter(([name]) => !changes.remove.includes(name)).concat(changes.add);
  for (const [name, value] of changes.set) changed = [...changed.filter(([other]) => other !== name), [name, value]];
  return changed;
}
