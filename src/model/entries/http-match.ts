import type { HeaderMatchFields, HttpMatchFields, QueryMatchFields } from '../layer7/match.ts';
import { patternFault } from '../layer7/pattern.ts';
import { rejected } from './kind.ts';
import { type Fields, FLAG, TEXT, TEXT_MAP, TEXTS } from './schema.ts';

export const HEADER_MATCH: Fields = {
  Name: TEXT,
  Present: FLAG,
  Exact: TEXT,
  Prefix: TEXT,
  Suffix: TEXT,
  Contains: TEXT,
  Regex: TEXT,
  Invert: FLAG,
};

/** What is changed of the headers of requests and answers. */
export const HEADER_MODIFIERS: Fields = { Add: TEXT_MAP, Set: TEXT_MAP, Remove: TEXTS };

const HEADER_WAYS = ['Present', 'Exact', 'Prefix', 'Suffix', 'Regex', 'Contains'] as const;

/** Throws the first rule that a route's match breaks. */
export function validateRouteMatch(http: HttpMatchFields, where: string): void {
  const { PathExact, PathPrefix, PathRegex } = http;
  for (const [name, path] of Object.entries({ PathExact, PathPrefix })) {
    if (path !== undefined && !path.startsWith('/'))
      throw rejected(`${where} ${name} doesn't start with '/': ${JSON.stringify(path)}`);
  }
  if ([PathExact, PathPrefix, PathRegex].filter((path) => path !== undefined).length > 1)
    throw rejected(`${where} should only contain at most one of PathExact, PathPrefix, or PathRegex`);
  validatePattern(PathRegex, `${where} PathRegex`);
  for (const [at, header] of (http.Header ?? []).entries()) validateWay(header, `${where} Header[${at}]`, HEADER_WAYS);
  for (const [at, param] of (http.QueryParam ?? []).entries())
    validateWay(param, `${where} QueryParam[${at}]`, ['Present', 'Exact', 'Regex']);
  const methods = new Set<string>();
  for (const method of http.Methods ?? []) {
    if (methods.has(method)) throw rejected(`${where} Methods contains ${JSON.stringify(method)} more than once`);
    methods.add(method);
  }
}

/** A way to match is needed, and only one; the text names those that Consul 1.9 had. */
function validateWay(
  match: HeaderMatchFields | QueryMatchFields,
  where: string,
  ways: readonly (keyof HeaderMatchFields)[],
): void {
  if (match.Name === undefined) throw rejected(`${where} missing required Name field`);
  const given: HeaderMatchFields = match;
  if (ways.filter((way) => given[way] !== undefined).length !== 1) {
    const named = ways.filter((way) => way !== 'Contains');
    throw rejected(`${where} should only contain one of ${named.slice(0, -1).join(', ')}, or ${named.at(-1)}`);
  }
  validatePattern(match.Regex, `${where} Regex`);
}

export function validatePattern(pattern: string | undefined, where: string): void {
  const fault = pattern === undefined ? undefined : patternFault(pattern);
  if (fault !== undefined) throw rejected(`${where} is not a valid regular expression (RE2): ${fault}`);
}
