import type { Counter, Gauge, Histogram, Labels, Metrics } from '../telemetry/types.ts';

type Collect = (set: (value: number, labels?: Labels) => void) => void;

/** Values that are read when the metrics are scraped. */
export interface SidecarGauges {
  readonly connections: Collect;
  readonly tunnels: Collect;
  readonly leftOut: Collect;
  readonly leafExpiry: Collect;
  readonly rootExpiry: Collect;
}

export interface SidecarMeters {
  readonly opened: Counter;
  readonly refused: Counter;
  readonly closedByChange: Counter;
  readonly bytes: Counter;
  readonly handshake: Histogram;
  readonly connect: Histogram;
  readonly tunnelsOpened: Counter;
  readonly retries: Counter;
  readonly updates: Counter;
  readonly requests: Counter;
  readonly requestRetries: Counter;
  readonly gauges: readonly Gauge[];
}

const HANDSHAKE_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

export function createMeters(metrics: Metrics, gauges: SidecarGauges): SidecarMeters {
  return {
    opened: metrics.counter({
      name: 'isthmus_sidecar_connections_total',
      help: 'Connections of applications that were let through.',
      labels: ['direction'],
    }),
    refused: metrics.counter({
      name: 'isthmus_sidecar_refused_total',
      help: 'Connections refused or given up, by reason.',
      labels: ['direction', 'reason'],
    }),
    closedByChange: metrics.counter({
      name: 'isthmus_sidecar_closed_by_change_total',
      help: 'Open connections closed because an intention or the trusted roots changed.',
      labels: ['reason'],
    }),
    bytes: metrics.counter({
      name: 'isthmus_sidecar_bytes_total',
      help: 'Bytes of applications moved; flow is seen from the application behind the sidecar.',
      labels: ['direction', 'flow'],
    }),
    handshake: metrics.histogram({
      name: 'isthmus_sidecar_handshake_seconds',
      help: 'Duration of TLS handshakes that succeeded, TCP connect included when dialling.',
      labels: ['direction'],
      buckets: HANDSHAKE_BUCKETS,
    }),
    connect: metrics.histogram({
      name: 'isthmus_sidecar_connect_seconds',
      help: 'From the accepted connection of the application until the other side took it, all attempts included.',
      labels: [],
      buckets: HANDSHAKE_BUCKETS,
    }),
    tunnelsOpened: metrics.counter({
      name: 'isthmus_sidecar_tunnels_total',
      help: 'Tunnels established with other built-in sidecars.',
      labels: ['direction'],
    }),
    retries: metrics.counter({
      name: 'isthmus_sidecar_retries_total',
      help: 'Attempts to reach another instance after one failed.',
      labels: ['upstream'],
    }),
    updates: metrics.counter({
      name: 'isthmus_sidecar_updates_total',
      help: 'Updates from the agent, by whether they could be put into effect.',
      labels: ['result'],
    }),
    requests: metrics.counter({
      name: 'isthmus_sidecar_requests_total',
      help: 'HTTP requests, by the class of the status they were answered with; none: given up.',
      labels: ['direction', 'status'],
    }),
    requestRetries: metrics.counter({
      name: 'isthmus_sidecar_request_retries_total',
      help: 'HTTP requests that were sent once more.',
      labels: ['direction'],
    }),
    gauges: [
      metrics.gauge(
        { name: 'isthmus_sidecar_connections', help: 'Open connections of applications.', labels: ['direction'] },
        gauges.connections,
      ),
      metrics.gauge(
        { name: 'isthmus_sidecar_tunnels', help: 'Open tunnels, draining ones included.', labels: ['direction'] },
        gauges.tunnels,
      ),
      metrics.gauge(
        { name: 'isthmus_sidecar_instances_left_out', help: 'Instances that get no connections because they failed.' },
        gauges.leftOut,
      ),
      metrics.gauge(
        { name: 'isthmus_sidecar_leaf_expiry_seconds', help: 'Seconds until the own certificate expires.' },
        gauges.leafExpiry,
      ),
      metrics.gauge(
        { name: 'isthmus_sidecar_root_expiry_seconds', help: 'Seconds until the first trusted root expires.' },
        gauges.rootExpiry,
      ),
    ],
  };
}
