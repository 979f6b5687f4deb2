import { create } from '@bufbuild/protobuf';
import type { HeaderMatch, PathMatch, RequestMatch, TextMatch } from '../../../../model/layer7/match.ts';
import {
  type HeaderMatcher,
  HeaderMatcherSchema,
  type QueryParameterMatcher,
  QueryParameterMatcherSchema,
  type RouteMatch,
  RouteMatchSchema,
} from '../../gen/envoy/config/route/v3/route_components_pb.ts';
import { type StringMatcher, StringMatcherSchema } from '../../gen/envoy/type/matcher/v3/string_pb.ts';
import { escaped, regex } from '../identity.ts';

/** What requests must be like, as Envoy's routes and rules take it. */

export function stringMatcher(match: TextMatch): StringMatcher {
  const { type, value } = match;
  const ignoreCase = match.ignoreCase === true;
  if (type === 'regex') return byRegex(ignoreCase ? `(?i:${value})` : value);
  // Envoy refuses an empty beginning, end or part: every text has one.
  if (value === '' && type !== 'exact') return byRegex('(?s:.*)');
  return create(StringMatcherSchema, { matchPattern: { case: type, value }, ignoreCase });
}

function byRegex(pattern: string): StringMatcher {
  return create(StringMatcherSchema, { matchPattern: { case: 'safeRegex', value: regex(pattern) } });
}

export function pathMatcher({ type, value, ignoreCase }: PathMatch): StringMatcher {
  return stringMatcher({ type, value, ...(ignoreCase && type !== 'regex' ? { ignoreCase } : {}) });
}

export function headerMatcher({ name, match, invert }: HeaderMatch): HeaderMatcher {
  return create(HeaderMatcherSchema, {
    name,
    headerMatchSpecifier:
      match === 'present'
        ? { case: 'presentMatch', value: true }
        : { case: 'stringMatch', value: stringMatcher(match) },
    invertMatch: invert === true,
  });
}

/** Any of these methods. */
export function methodMatcher(methods: readonly string[]): HeaderMatcher {
  const [only] = methods;
  return headerMatcher({
    name: ':method',
    match:
      methods.length === 1
        ? { type: 'exact', value: only ?? '' }
        : { type: 'regex', value: methods.map(escaped).join('|') },
  });
}

function queryMatcher(name: string, match: 'present' | TextMatch): QueryParameterMatcher {
  return create(QueryParameterMatcherSchema, {
    name,
    queryParameterMatchSpecifier:
      match === 'present'
        ? { case: 'presentMatch', value: true }
        : { case: 'stringMatch', value: stringMatcher(match) },
  });
}

export function routeMatch({ path, headers, query, methods }: RequestMatch): RouteMatch {
  return create(RouteMatchSchema, {
    pathSpecifier:
      path === undefined
        ? { case: 'prefix', value: '' }
        : path.type === 'regex'
          ? { case: 'safeRegex', value: regex(path.value) }
          : { case: path.type === 'exact' ? 'path' : 'prefix', value: path.value },
    ...(path?.ignoreCase && path.type !== 'regex' ? { caseSensitive: false } : {}),
    headers: [...headers.map(headerMatcher), ...(methods.length === 0 ? [] : [methodMatcher(methods)])],
    queryParameters: query.map(({ name, match }) => queryMatcher(name, match)),
  });
}
