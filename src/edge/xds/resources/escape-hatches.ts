import { create } from '@bufbuild/protobuf';
import type { Options } from '../../../model/proxy-options.ts';
import { type Cluster, ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { TrafficDirection } from '../gen/envoy/config/core/v3/base_pb.ts';
import type { Filter, FilterChain } from '../gen/envoy/config/listener/v3/listener_components_pb.ts';
import { type Listener, ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import {
  type HttpConnectionManager_Tracing,
  HttpConnectionManager_TracingSchema,
} from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { messageFromJson } from '../user-json.ts';
import { attempt, type Report } from './problems.ts';

/**
 * Options by which users replace what Envoys are given, as JSON of Envoy's. What keeps the mesh closed is put back:
 * TLS, and the rules of intentions. One that is wrong is reported, and what would be there without it is given.
 */

export type EscapeHatch =
  | 'envoy_public_listener_json'
  | 'envoy_local_cluster_json'
  | 'envoy_listener_json'
  | 'envoy_cluster_json'
  | 'envoy_listener_tracing_json';

function textOf(options: Options, key: EscapeHatch): string | undefined {
  const value = options[key];
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

export interface Secured {
  readonly transportSocket: NonNullable<FilterChain['transportSocket']>;
  /** In front of the filters of each chain. */
  readonly guards: (filters: readonly Filter[]) => Filter[];
}

/** The listener for other sidecars. */
export function ownPublicListener(
  options: Options,
  name: string,
  secured: Secured,
  report: Report,
): Listener | undefined {
  const text = textOf(options, 'envoy_public_listener_json');
  if (text === undefined) return undefined;
  return attempt(
    'envoy_public_listener_json',
    report,
    () => {
      const listener = messageFromJson(ListenerSchema, text);
      if (listener.name === '') listener.name = name;
      listener.trafficDirection = TrafficDirection.INBOUND;
      const chains = [...listener.filterChains, ...(listener.defaultFilterChain ? [listener.defaultFilterChain] : [])];
      if (chains.length === 0) throw new Error('has no filter chain');
      for (const chain of chains) {
        chain.transportSocket = secured.transportSocket;
        chain.filters = secured.guards(chain.filters);
      }
      return listener;
    },
    undefined,
  );
}

/** The listener for the application of one upstream. */
export function ownUpstreamListener(options: Options, name: string, report: Report): Listener | undefined {
  const text = textOf(options, 'envoy_listener_json');
  if (text === undefined) return undefined;
  return attempt(
    `envoy_listener_json of ${name}`,
    report,
    () => {
      const listener = messageFromJson(ListenerSchema, text);
      if (listener.name === '') listener.name = name;
      return listener;
    },
    undefined,
  );
}

/** The cluster of one upstream: its name and TLS stay. */
export function ownUpstreamCluster(options: Options, made: Cluster, report: Report): Cluster {
  const text = textOf(options, 'envoy_cluster_json');
  if (text === undefined) return made;
  const { name, transportSocket, transportSocketMatches } = made;
  return attempt(
    `envoy_cluster_json of ${name}`,
    report,
    () => {
      const cluster = messageFromJson(ClusterSchema, text);
      return Object.assign(cluster, { name, transportSocket, transportSocketMatches });
    },
    made,
  );
}

/** The cluster of the application: its name stays. */
export function ownLocalCluster(options: Options, made: Cluster, report: Report): Cluster {
  const text = textOf(options, 'envoy_local_cluster_json');
  if (text === undefined) return made;
  return attempt(
    'envoy_local_cluster_json',
    report,
    () => Object.assign(messageFromJson(ClusterSchema, text), { name: made.name }),
    made,
  );
}

/** How requests are traced; undefined: not at all. Without a tracer of its own, that of the bootstrap counts. */
export function tracingOf(options: Options, report: Report): HttpConnectionManager_Tracing | undefined {
  const text = textOf(options, 'envoy_listener_tracing_json');
  // By itself nothing is traced but what a caller already traces, as in Consul.
  const byCallers = create(HttpConnectionManager_TracingSchema, { randomSampling: { value: 0 } });
  if (text === undefined) return typeof options.envoy_tracing_json === 'string' ? byCallers : undefined;
  return attempt(
    'envoy_listener_tracing_json',
    report,
    () => messageFromJson(HttpConnectionManager_TracingSchema, text),
    undefined,
  );
}
