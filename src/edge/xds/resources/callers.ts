import { create } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import type { Callers } from '../../../agent/proxycfg/kinds/callers.ts';
import type { ConnectProxySnapshot } from '../../../agent/proxycfg/snapshot.ts';
import { nameOf } from '../../../agent/proxycfg/upstream-resolver.ts';
import type { Verdicts } from '../../../model/intention.ts';
import { decide } from '../../../model/verdicts.ts';
import { Cluster_DiscoveryType, ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { TransportSocketSchema } from '../gen/envoy/config/core/v3/base_pb.ts';
import type { Filter } from '../gen/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import { FilterStateValue_SharedWithUpstream as Shared } from '../gen/envoy/extensions/filters/common/set_filter_state/v3/value_pb.ts';
import { ConfigSchema } from '../gen/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state_pb.ts';
import { TcpProxySchema } from '../gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { FilterStateInputSchema } from '../gen/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.ts';
import { InternalUpstreamTransportSchema } from '../gen/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream_pb.ts';
import { RawBufferSchema } from '../gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.ts';
import { MatcherSchema } from '../gen/xds/type/matcher/v3/matcher_pb.ts';
import { pack, resource } from '../resource.ts';
import type { ResourceBuilder } from './builder.ts';
import { millis, networkFilter } from './common.ts';
import { identityOf } from './identity.ts';
import { CALLERS, LOCAL_APP, shortHash } from './names.ts';
import { oncePer } from './once.ts';
import { CONNECT_TIMEOUT_MS } from './options.ts';

/**
 * Connections from others go through a second listener inside of Envoy, in which each caller has a filter chain of its
 * own: with the chain Envoy ends the connections of that caller, and no others. It is chosen by the identity in the
 * caller's certificate, which is not known yet when the chain of the first listener is chosen (decision 26).
 */
export const callerChains: ResourceBuilder = {
  inputs: ({ callers, config, verdicts, roots }) => [callers, config.local, verdicts, roots.TrustDomain],
  build({ callers, config, verdicts, roots }) {
    if (callers === undefined || config.local === undefined) return [];
    return [CLUSTER, listenerOf(callers, verdicts, roots.TrustDomain)];
  },
};

/** Whether connections that come in are kept apart by who calls. */
export function separatesCallers({ callers, config }: ConnectProxySnapshot): boolean {
  return callers !== undefined && config.local !== undefined;
}

/** Where Envoy's own object of the connection, which goes with it, has the identity of the caller. */
const CALLER = 'isthmus.caller';

/** Notes the identity of the caller once the handshake is done. */
export function noteCaller(): Filter {
  const config = create(ConfigSchema, {
    onDownstreamTlsHandshake: [
      {
        key: { case: 'objectKey', value: CALLER },
        // Hashable: without that, Envoy would use one connection's for all.
        factoryKey: 'envoy.hashable_string',
        value: {
          case: 'formatString',
          value: {
            format: {
              case: 'textFormatSource',
              value: { specifier: { case: 'inlineString', value: '%DOWNSTREAM_PEER_URI_SAN%' } },
            },
          },
        },
        readOnly: true,
        sharedWithUpstream: Shared.ONCE,
      },
    ],
  });
  return networkFilter('envoy.filters.network.set_filter_state', ConfigSchema, config);
}

const NO_LIMIT = 2 ** 32 - 1;

const CLUSTER = (() => {
  const raw = { case: 'typedConfig' as const, value: pack(RawBufferSchema, create(RawBufferSchema)) };
  const transport = create(InternalUpstreamTransportSchema, {
    transportSocket: { name: 'envoy.transport_sockets.raw_buffer', configType: raw },
  });
  const address = { address: { case: 'envoyInternalAddress' as const, value: internalAddress() } };
  return resource(
    'cluster',
    CALLERS,
    ClusterSchema,
    create(ClusterSchema, {
      name: CALLERS,
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
      connectTimeout: millis(CONNECT_TIMEOUT_MS),
      loadAssignment: {
        clusterName: CALLERS,
        endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address } } }] }],
      },
      transportSocket: create(TransportSocketSchema, {
        name: 'envoy.transport_sockets.internal_upstream',
        configType: { case: 'typedConfig', value: pack(InternalUpstreamTransportSchema, transport) },
      }),
      // The limits are those of the application's cluster.
      circuitBreakers: { thresholds: [{ maxConnections: NO_LIMIT, maxPendingRequests: NO_LIMIT }] },
    }),
  );
})();

function internalAddress() {
  return { addressNameSpecifier: { case: 'serverListenerName' as const, value: CALLERS } };
}

/** No chain has this name: the connection is closed. */
const NOBODY = 'refused';

function listenerOf(callers: Callers, verdicts: Verdicts, trustDomain: string) {
  const made = packed(verdicts, '')(callers, trustDomain);
  return callers.complete ? made : { ...made, provisional: true as const };
}

const packed = oncePer((verdicts: Verdicts) =>
  oncePer((callers: Callers, trustDomain) => {
    const chainOf = new Map<string, string>();
    for (const { service, datacenter } of callers.named) {
      const { allowed } = decide(verdicts, service, datacenter);
      chainOf.set(identityOf(service, datacenter, trustDomain), allowed ? nameOf({ service, datacenter }) : NOBODY);
    }
    const identities = [...chainOf.keys()].sort();
    const others = othersOf(verdicts);
    const chains = [...new Set([...chainOf.values()].filter((name) => name !== NOBODY))].sort();
    const listener = create(ListenerSchema, {
      name: CALLERS,
      listenerSpecifier: { case: 'internalListener', value: {} },
      filterChainMatcher: create(MatcherSchema, {
        ...(identities.length === 0
          ? {}
          : {
              matcherType: {
                case: 'matcherTree',
                value: {
                  input: {
                    name: 'caller',
                    typedConfig: pack(FilterStateInputSchema, create(FilterStateInputSchema, { key: CALLER })),
                  },
                  treeType: {
                    case: 'exactMatchMap',
                    value: {
                      map: Object.fromEntries(identities.map((id) => [id, chosen(chainOf.get(id) ?? NOBODY)])),
                    },
                  },
                },
              },
            }),
        onNoMatch: chosen(others),
      }),
      filterChains: [...chains, others].map((name) => ({ name, filters: [toApplication()] })),
    });
    return resource('listener', CALLERS, ListenerSchema, listener);
  }),
);

function chosen(name: string) {
  const value = create(StringValueSchema, { value: name });
  return {
    onMatch: { case: 'action' as const, value: { name, typedConfig: pack(StringValueSchema, value) } },
  };
}

/**
 * The chain of callers that are not listed. The rules decide which of them are let in; those of them that are no longer
 * are not known, so that all of them end: its name follows from whom the rules decide about against the default.
 */
function othersOf({ rules, defaultAction }: Verdicts): string {
  const against = rules.filter(({ action }) => action !== defaultAction);
  const said = against.map(({ source, sourceDatacenter }) => [source, sourceDatacenter ?? '']);
  return said.length === 0 ? 'others' : `others ${shortHash([defaultAction, said])}`;
}

function toApplication(): Filter {
  return networkFilter(
    'envoy.filters.network.tcp_proxy',
    TcpProxySchema,
    create(TcpProxySchema, {
      statPrefix: CALLERS,
      clusterSpecifier: { case: 'cluster', value: LOCAL_APP },
      idleTimeout: millis(0),
    }),
  );
}
