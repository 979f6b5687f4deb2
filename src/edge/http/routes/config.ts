import { IsthmusError } from '../../../lib/errors.ts';
import { entryWarnings } from '../../../model/entries-without-effect.ts';
import { parseUnsigned } from '../consistency.ts';
import { asAny, asMap, decodeBody } from '../decode.ts';
import type { Query } from '../query.ts';
import { type ReadRouteDeps, readRoute } from '../read-route.ts';
import { jsonResponse, type Route } from '../route.ts';
import { withWarnings } from '../warnings.ts';
import { writeRoute } from '../write-route.ts';
import { FILTER, filterArgs } from './list-args.ts';

const OTHER_KINDS =
  '`proxy-defaults`, `mesh` and `jwt-provider` need `mesh:write` instead, `service-intentions` `intentions:write`.';

/** /v1/config */
export function configRoutes(deps: ReadRouteDeps): readonly Route[] {
  return [
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/config',
      about: `Write a configuration entry; the primary decides. ${OTHER_KINDS}`,
      acl: 'service:write',
      write: 'config.apply',
      query: [{ name: 'cas', about: 'Only if the entry’s ModifyIndex is this; 0: only if it does not exist.' }],
      args: (request) => ({
        entry: decodeBody(request, ENTRY, 'Bad request: Request decoding failed: '),
        ...casOf(request.query),
      }),
      render: (done, { entry }) => withWarnings(jsonResponse(done), entryWarnings(entry)),
    }),
    readRoute(deps, {
      path: '/v1/config/:kind',
      about: 'All configuration entries of a kind.',
      acl: 'service:read',
      read: 'config.list',
      query: [FILTER],
      args: (params, query) => ({ kind: params.kind ?? '', ...filterArgs(query) }),
      meta: 'index',
    }),
    readRoute(deps, {
      path: '/v1/config/:kind/*name',
      about: 'One configuration entry.',
      acl: 'service:read',
      read: 'config.get',
      args: (params) => ({ kind: params.kind ?? '', name: params.name ?? '' }),
      meta: 'index',
    }),
    writeRoute(deps, {
      method: 'DELETE',
      path: '/v1/config/:kind/*name',
      about: `Delete a configuration entry; the primary decides. ${OTHER_KINDS}`,
      acl: 'service:write',
      write: 'config.delete',
      args: (request) => ({ kind: request.params.kind ?? '', name: request.params.name ?? '' }),
    }),
  ];
}

const ENTRY = asMap(asAny, 'map[string]interface {}');

function casOf(query: Query): { readonly cas?: number } {
  const text = query.text('cas');
  if (text === '') return {};
  const cas = parseUnsigned(text);
  if (cas === undefined)
    throw new IsthmusError('rejected', `strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  return { cas };
}
