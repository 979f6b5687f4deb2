import { IsthmusError } from '../../../lib/errors.ts';
import type { ChainOverrides } from '../../../model/discovery-chain.ts';
import { asDuration, asString, asStruct, decodeBody } from '../decode.ts';
import { type ReadRouteDeps, type ReadRouteSpec, readRoute, readRouteWithBody } from '../read-route.ts';
import type { ApiRequest, Route } from '../route.ts';
import { required } from './list-args.ts';

/** /v1/discovery-chain */
export function discoveryChainRoutes(deps: ReadRouteDeps): readonly Route[] {
  return [
    readRoute(deps, CHAIN),
    readRouteWithBody(
      deps,
      { ...CHAIN, about: 'The same, with overrides: OverrideConnectTimeout, OverrideProtocol, OverrideMeshGateway.' },
      (request) => ({ overrides: overridesOf(request) }),
    ),
  ];
}

const CHAIN: ReadRouteSpec<'discoveryChain.get'> = {
  path: '/v1/discovery-chain/*service',
  about: 'How connections to a service are resolved: targets and failover.',
  acl: 'service:read',
  read: 'discoveryChain.get',
  query: [{ name: 'compile-dc', about: 'Datacenter to compile for; default the one that answers.' }],
  args: (params, query) => {
    const compileDatacenter = query.text('compile-dc');
    return {
      service: required(params.service, 'Bad request: Missing chain name'),
      ...(compileDatacenter === '' ? undefined : { compileDatacenter }),
    };
  },
  meta: 'consistency',
  cached: true,
};

const GATEWAY_MODES = new Set(['none', 'local', 'remote']);

const OVERRIDES = asStruct(
  'api.discoveryChainReadRequest',
  {
    OverrideConnectTimeout: asDuration,
    OverrideProtocol: asString,
    OverrideMeshGateway: asStruct('structs.MeshGatewayConfig', { Mode: asString }),
  },
  {
    aliases: {
      override_connect_timeout: 'OverrideConnectTimeout',
      override_protocol: 'OverrideProtocol',
      override_mesh_gateway: 'OverrideMeshGateway',
    },
  },
);

function overridesOf(request: ApiRequest): ChainOverrides {
  const body = decodeBody(request, OVERRIDES, 'Bad request: Request decoding failed: ');
  const { OverrideConnectTimeout: connectTimeoutMs = 0, OverrideProtocol: protocol = '' } = body;
  const { Mode: meshGateway = '' } = body.OverrideMeshGateway ?? {};
  if (meshGateway !== '' && !GATEWAY_MODES.has(meshGateway))
    throw new IsthmusError('invalid_argument', 'Invalid OverrideMeshGateway.Mode parameter');
  return {
    ...(connectTimeoutMs > 0 ? { connectTimeoutMs } : {}),
    ...(protocol === '' ? {} : { protocol: protocol.toLowerCase() }),
    ...(meshGateway === '' ? {} : { meshGateway }),
  };
}
