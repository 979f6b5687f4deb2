import { IsthmusError } from '../../../lib/errors.ts';
import type { ListArgs, ServiceArgs } from '../../../model/requests.ts';
import type { Query } from '../query.ts';
import type { QueryParameter } from '../route.ts';

/** The conditions that lists share, as the query string gives them. */

export const FILTER: QueryParameter = { name: 'filter', about: 'Expression that each item of the answer must fulfil.' };
export const NODE_META: QueryParameter = {
  name: 'node-meta',
  about: 'Node metadata as key:value; may be repeated, all must match.',
};
export const LIST_PARAMETERS: readonly QueryParameter[] = [
  FILTER,
  NODE_META,
  { name: 'near', about: 'Sort by round-trip time from this node; _agent is the agent’s own.' },
];

export const TAG_PARAMETER: QueryParameter = { name: 'tag', about: 'Tag; may be repeated, all must be carried.' };

/** @param nodeName the agent's own node, which `near=_agent` stands for. */
export function listArgs(query: Query, nodeName: string): ListArgs {
  const near = query.text('near');
  return { ...unsortedArgs(query), ...(near === '' ? undefined : { near: near === '_agent' ? nodeName : near }) };
}

/** Of a list in which nothing has a distance. */
export function unsortedArgs(query: Query): Omit<ListArgs, 'near'> {
  return {
    ...filterArgs(query),
    ...(query.has('node-meta') ? { nodeMeta: Object.fromEntries(query.all('node-meta').map(metaPair)) } : undefined),
  };
}

export function serviceArgs(service: string, query: Query, nodeName: string): ServiceArgs {
  return {
    service: required(service, 'Missing service name'),
    ...(query.has('tag') ? { tags: query.all('tag') } : undefined),
    ...listArgs(query, nodeName),
  };
}

export function filterArgs(query: Query): { readonly filter?: string } {
  const filter = query.text('filter');
  return filter === '' ? {} : { filter };
}

/** A part of the path that must not be empty; `text` is Consul's 400 otherwise. */
export function required(value: string | undefined, text: string): string {
  if (value === undefined || value === '') throw new IsthmusError('invalid_argument', text);
  return value;
}

function metaPair(text: string): [key: string, value: string] {
  const colon = text.indexOf(':');
  return colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)];
}
