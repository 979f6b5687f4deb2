import { matchesWhole } from './pattern.ts';
import { foldAscii, type HttpRequest, headerValue, pathOf, queryValue } from './request.ts';

/** What a text must be like. `regex` is about the whole text. */
export type TextMatch = { readonly ignoreCase?: true } & (
  | { readonly type: 'exact' | 'prefix' | 'suffix' | 'contains'; readonly value: string }
  | { readonly type: 'regex'; readonly value: string }
);

/** Of the path without its query. `ignoreCase` does nothing to a regex, as in Envoy. */
export interface PathMatch {
  readonly type: 'exact' | 'prefix' | 'regex';
  readonly value: string;
  readonly ignoreCase?: true;
}

/** A header that isn't there matches nothing but `present` inverted: not what is inverted of its value either. */
export interface HeaderMatch {
  /** In lower case. */
  readonly name: string;
  readonly match: 'present' | TextMatch;
  readonly invert?: true;
}

export interface QueryMatch {
  readonly name: string;
  readonly match: 'present' | TextMatch;
}

/** All that is given must match; nothing given matches every request. */
export interface RequestMatch {
  readonly path?: PathMatch;
  readonly headers: readonly HeaderMatch[];
  readonly query: readonly QueryMatch[];
  /** Any of these; empty: any at all. */
  readonly methods: readonly string[];
}

export function matchesRequest(match: RequestMatch, request: HttpRequest): boolean {
  return (
    (match.path === undefined || matchesPath(match.path, pathOf(request))) &&
    (match.methods.length === 0 || match.methods.includes(request.method)) &&
    match.headers.every((header) => matchesHeader(header, request)) &&
    match.query.every(({ name, match: wanted }) => {
      const value = queryValue(request, name);
      return value !== undefined && (wanted === 'present' || matchesText(wanted, value));
    })
  );
}

function matchesPath({ type, value, ignoreCase }: PathMatch, path: string): boolean {
  return matchesText({ type, value, ...(ignoreCase && type !== 'regex' ? { ignoreCase } : {}) }, path);
}

function matchesHeader({ name, match, invert }: HeaderMatch, request: HttpRequest): boolean {
  const value = headerValue(request, name);
  if (match === 'present') return (value !== undefined) !== (invert === true);
  return value !== undefined && matchesText(match, value) !== (invert === true);
}

function matchesText(match: TextMatch, given: string): boolean {
  if (match.type === 'regex') return matchesWhole(match.ignoreCase ? `(?i:${match.value})` : match.value, given);
  const fold = match.ignoreCase ? foldAscii : (text: string): string => text;
  const [value, text] = [fold(match.value), fold(given)];
  switch (match.type) {
    case 'exact':
      return text === value;
    case 'prefix':
      return text.startsWith(value);
    case 'suffix':
      return text.endsWith(value);
    case 'contains':
      return text.includes(value);
  }
}

/** The fields of an entry that say what a request must be like: of a route, and of an intention's permission. */
export interface HttpMatchFields {
  readonly PathExact?: string;
  readonly PathPrefix?: string;
  readonly PathRegex?: string;
  readonly CaseInsensitive?: boolean;
  readonly Header?: readonly HeaderMatchFields[];
  readonly QueryParam?: readonly QueryMatchFields[];
  readonly Methods?: readonly string[];
}

export interface HeaderMatchFields {
  readonly Name?: string;
  readonly Present?: boolean;
  readonly Exact?: string;
  readonly Prefix?: string;
  readonly Suffix?: string;
  readonly Contains?: string;
  readonly Regex?: string;
  readonly Invert?: boolean;
  readonly IgnoreCase?: boolean;
}

export interface QueryMatchFields {
  readonly Name?: string;
  readonly Present?: boolean;
  readonly Exact?: string;
  readonly Regex?: string;
}

/** What the fields ask for. They were validated: each names at most one way to match. */
export function compileMatch(fields: HttpMatchFields = {}): RequestMatch {
  const path = pathMatch(fields);
  return {
    ...(path === undefined ? {} : { path }),
    headers: (fields.Header ?? []).map((header) => ({
      name: foldAscii(header.Name ?? ''),
      match: wayOf(header, header.IgnoreCase === true),
      ...(header.Invert === true ? { invert: true as const } : {}),
    })),
    query: (fields.QueryParam ?? []).map((param) => ({ name: param.Name ?? '', match: wayOf(param, false) })),
    methods: fields.Methods ?? [],
  };
}

function pathMatch({ PathExact, PathPrefix, PathRegex, CaseInsensitive }: HttpMatchFields): PathMatch | undefined {
  const ignoreCase = CaseInsensitive === true ? { ignoreCase: true as const } : {};
  if (PathExact !== undefined) return { type: 'exact', value: PathExact, ...ignoreCase };
  if (PathPrefix !== undefined) return { type: 'prefix', value: PathPrefix, ...ignoreCase };
  if (PathRegex !== undefined) return { type: 'regex', value: PathRegex };
  return undefined;
}

function wayOf(fields: Omit<HeaderMatchFields, 'Name'>, ignoreCase: boolean): 'present' | TextMatch {
  const ways = [
    ['exact', fields.Exact],
    ['regex', fields.Regex],
    ['prefix', fields.Prefix],
    ['suffix', fields.Suffix],
    ['contains', fields.Contains],
  ] as const;
  for (const [type, value] of ways)
    if (value !== undefined) return { type, value, ...(ignoreCase ? { ignoreCase: true as const } : {}) };
  return 'present';
}
