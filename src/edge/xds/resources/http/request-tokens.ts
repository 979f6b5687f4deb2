import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import type { Verdicts } from '../../../../model/intention.ts';
import { compileProviders } from '../../../../model/layer7/compile-permissions.ts';
import type { JwtKeys, JwtProvider } from '../../../../model/layer7/jwt-provider.ts';
import { isRequestProtocol } from '../../../../model/layer7/route-table.ts';
import { Cluster_DiscoveryType, ClusterSchema } from '../../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { TypedExtensionConfigSchema } from '../../gen/envoy/config/core/v3/extension_pb.ts';
import {
  type JwtAuthentication,
  JwtAuthenticationSchema,
  JwtProviderSchema,
  type JwtRequirement,
  JwtRequirementSchema,
  type JwtProvider as Provider,
} from '../../gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts';
import { pack, type Resource, resource } from '../../resource.ts';
import type { ResourceBuilder } from '../builder.ts';
import { millis, socketAddress } from '../common.ts';
import { REQUEST_TOKENS } from '../names.ts';
import { oncePer } from '../once.ts';
import { type DataSourceInit, webTls } from '../tls.ts';

/**
 * How the tokens of requests are verified. A request goes on without one, too: what it may do then is said by the
 * rules, which read what was verified here.
 */
export const requestTokens: ResourceBuilder = {
  inputs: ({ verdicts, protocol }) => [verdicts, protocol],
  build: ({ verdicts, protocol }) => (isRequestProtocol(protocol) ? tokensOf(verdicts, '') : []),
};

/** Under which the payloads of tokens are left for the rules. */
export const TOKENS_FILTER = 'envoy.filters.http.jwt_authn';

/** Key of the payload of a provider's token, once it is verified. */
export function payloadOf(provider: string): string {
  return `jwt_payload_${provider}`;
}

const tokensOf = oncePer((verdicts: Verdicts): readonly Resource[] => {
  const providers = [...compileProviders(verdicts).values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const typedConfig = pack(JwtAuthenticationSchema, authentication(providers));
  const made = create(TypedExtensionConfigSchema, { name: REQUEST_TOKENS, typedConfig });
  return [
    resource('extension', REQUEST_TOKENS, TypedExtensionConfigSchema, made),
    ...providers.flatMap(({ name, keys }) => (keys.type === 'remote' ? [keysCluster(name, keys)] : [])),
  ];
});

function authentication(providers: readonly JwtProvider[]): JwtAuthentication {
  const wanted = providers.map(({ name }) =>
    create(JwtRequirementSchema, {
      requiresType: {
        case: 'requiresAny',
        value: { requirements: [{ requiresType: { case: 'providerName', value: name } }, MISSING_OR_FAILED] },
      },
    }),
  );
  const [only] = wanted;
  if (only === undefined) return create(JwtAuthenticationSchema);
  const requires =
    wanted.length === 1
      ? only
      : create(JwtRequirementSchema, { requiresType: { case: 'requiresAll', value: { requirements: wanted } } });
  return create(JwtAuthenticationSchema, {
    providers: Object.fromEntries(providers.map((provider) => [provider.name, providerOf(provider)])),
    rules: [
      {
        match: { pathSpecifier: { case: 'prefix', value: '' } },
        requirementType: { case: 'requires', value: requires },
      },
    ],
  });
}

const MISSING_OR_FAILED: JwtRequirement = create(JwtRequirementSchema, {
  requiresType: { case: 'allowMissingOrFailed', value: create(EmptySchema) },
});

function providerOf(provider: JwtProvider): Provider {
  const { name, issuer, audiences, keys, locations, forward, payloadHeader, clockSkewSeconds, cacheSize } = provider;
  return create(JwtProviderSchema, {
    issuer,
    audiences: [...audiences],
    jwksSourceSpecifier: keysSource(name, keys),
    forward,
    fromHeaders: locations.flatMap((each) =>
      each.type === 'header' ? [{ name: each.name, valuePrefix: each.prefix }] : [],
    ),
    fromParams: locations.flatMap((each) => (each.type === 'query' ? [each.name] : [])),
    fromCookies: locations.flatMap((each) => (each.type === 'cookie' ? [each.name] : [])),
    ...(payloadHeader === undefined
      ? {}
      : { forwardPayloadHeader: payloadHeader.name, padForwardPayloadHeader: payloadHeader.padded }),
    payloadInMetadata: payloadOf(name),
    clockSkewSeconds,
    ...(cacheSize === 0 ? {} : { jwtCacheConfig: { jwtCacheSize: cacheSize } }),
  });
}

type ProviderInit = Exclude<MessageInitShape<typeof JwtProviderSchema>, Provider>;

function keysSource(provider: string, keys: JwtKeys): NonNullable<ProviderInit['jwksSourceSpecifier']> {
  switch (keys.type) {
    case 'inline':
      return { case: 'localJwks', value: { specifier: { case: 'inlineString', value: keys.keySet } } };
    case 'file':
      return { case: 'localJwks', value: { specifier: { case: 'filename', value: keys.path } } };
    case 'remote':
      return {
        case: 'remoteJwks',
        value: {
          httpUri: {
            uri: keys.uri,
            httpUpstreamType: { case: 'cluster', value: clusterOf(provider) },
            timeout: millis(keys.timeoutMs),
          },
          cacheDuration: millis(keys.cacheMs),
          // Fetched at once, and again before it is too old. Fast: the listener does not wait for it.
          asyncFetch: { fastListener: keys.asynchronously },
          ...(keys.retries === 0 && keys.backoffMs === undefined
            ? {}
            : {
                retryPolicy: {
                  numRetries: keys.retries,
                  ...(keys.backoffMs === undefined
                    ? {}
                    : {
                        retryBackOff: {
                          baseInterval: millis(keys.backoffMs.base),
                          maxInterval: millis(keys.backoffMs.max),
                        },
                      }),
                },
              }),
        },
      };
  }
}

function clusterOf(provider: string): string {
  return `jwks_cluster_${provider}`;
}

type RemoteKeys = Extract<JwtKeys, { readonly type: 'remote' }>;

/** Where the keys of a provider are fetched. */
function keysCluster(provider: string, keys: RemoteKeys): Resource {
  const { hostname, port, protocol } = new URL(keys.uri);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const secure = protocol === 'https:';
  const name = clusterOf(provider);
  const address = socketAddress(host, port === '' ? (secure ? 443 : 80) : Number(port));
  const cluster = create(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: 'type', value: DISCOVERY[keys.discovery] ?? Cluster_DiscoveryType.STRICT_DNS },
    connectTimeout: millis(keys.connectTimeoutMs),
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address } } }] }],
    },
    ...(secure ? { transportSocket: webTls(host, authoritiesOf(keys)) } : {}),
  });
  return resource('cluster', name, ClusterSchema, cluster);
}

const DISCOVERY: Readonly<Record<string, Cluster_DiscoveryType>> = {
  DISCOVERY_TYPE_STRICT_DNS: Cluster_DiscoveryType.STRICT_DNS,
  DISCOVERY_TYPE_LOGICAL_DNS: Cluster_DiscoveryType.LOGICAL_DNS,
  DISCOVERY_TYPE_STATIC: Cluster_DiscoveryType.STATIC,
  STRICT_DNS: Cluster_DiscoveryType.STRICT_DNS,
  LOGICAL_DNS: Cluster_DiscoveryType.LOGICAL_DNS,
  STATIC: Cluster_DiscoveryType.STATIC,
};

/** Where most systems have theirs: without any, Envoy would believe everyone. */
const SYSTEM_AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';

function authoritiesOf({ trusted = { file: SYSTEM_AUTHORITIES } }: RemoteKeys): DataSourceInit {
  if ('pem' in trusted) return { case: 'inlineString', value: trusted.pem };
  if ('variable' in trusted) return { case: 'environmentVariable', value: trusted.variable };
  return { case: 'filename', value: trusted.file };
}
