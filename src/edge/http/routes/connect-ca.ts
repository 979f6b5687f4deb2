import type { CaRoots } from '../../../model/ca.ts';
import { parseFlag } from '../consistency.ts';
import { asAny, asBool, asInt, asMap, asString, asStruct, decodeBody } from '../decode.ts';
import { type ReadRouteDeps, readRoute } from '../read-route.ts';
import { type ApiResponse, EMPTY, type Route, textResponse } from '../route.ts';
import { writeRoute } from '../write-route.ts';

/** /v1/connect/ca */
export function connectCaRoutes(deps: ReadRouteDeps): readonly Route[] {
  const args = (): Record<never, never> => ({});
  return [
    readRoute(deps, {
      path: '/v1/connect/ca/roots',
      about: 'All root certificates to be trusted, and which one is active.',
      acl: 'none',
      read: 'ca.roots',
      query: [{ name: 'pem', about: 'Answer with the certificates alone, as PEM.' }],
      args,
      meta: 'index',
      leaderUnknown: true,
      render: (result, query) => (query.has('pem') ? pemResponse(result.value, query.text('pem')) : undefined),
    }),
    readRoute(deps, {
      path: '/v1/connect/ca/configuration',
      about: 'Configuration of the certificate authority, without its private keys.',
      acl: 'operator:read',
      read: 'ca.config',
      args,
      meta: 'none',
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/connect/ca/configuration',
      about: 'Change the configuration; another private key or provider starts a rotation.',
      acl: 'operator:write',
      write: 'ca.setConfig',
      args: (request) => ({ config: decodeBody(request, CONFIGURATION) }),
      render: () => EMPTY,
    }),
    readRoute(deps, {
      path: '/v1/connect/ca/rotation',
      about: 'How far a root rotation is, by datacenter, and what holds it.',
      acl: 'operator:read',
      read: 'ca.rotation',
      args,
      meta: 'index',
    }),
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/connect/ca/rotate',
      about: 'Start a rotation to a new root key made by the provider.',
      acl: 'operator:write',
      write: 'ca.rotate',
      query: [{ name: 'force', about: 'Start even while another rotation is under way.' }],
      args: ({ query }) => (query.has('force') && parseFlag(query.text('force')) ? { force: true } : {}),
    }),
    readRoute(deps, {
      path: '/v1/connect/ca/status',
      about: 'Condition of the certificate authority: state, seconds left, last renewal error.',
      acl: 'operator:read',
      read: 'ca.status',
      args,
      meta: 'index',
    }),
  ];
}

const CONFIGURATION = asStruct(
  'structs.CAConfiguration',
  {
    ClusterID: asString,
    Provider: asString,
    Config: asMap(asAny, 'map[string]interface {}'),
    State: asMap(asString),
    ForceWithoutCrossSigning: asBool,
    CreateIndex: asInt,
    ModifyIndex: asInt,
  },
  { aliases: { force_without_cross_signing: 'ForceWithoutCrossSigning' }, unknown: 'refuse' },
);

function pemResponse(roots: CaRoots, flag: string): ApiResponse | undefined {
  const wanted = parseFlag(flag);
  if (wanted === undefined) return textResponse(400, 'The "pem" query parameter must be a boolean value');
  if (!wanted) return undefined;
  const text = roots.Roots.map((root) => root.RootCert + (root.IntermediateCerts ?? []).join('')).join('');
  return textResponse(200, text, 'application/pem-certificate-chain');
}
