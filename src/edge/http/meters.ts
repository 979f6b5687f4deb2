import type { PerKeyLimit } from '../../lib/per-key-limit.ts';
import type { Counter, Metrics } from '../../telemetry/types.ts';
import type { Admission } from './admission.ts';
import type { BodyIntake } from './body.ts';
import type { PathEntry } from './table.ts';

export interface HttpMeters {
  /** Label: reason. */
  readonly refused: Counter;
  /** Labels: path, status. */
  readonly failures: Counter;
}

export interface Measured {
  readonly connections: PerKeyLimit;
  readonly admission: Admission;
  readonly bodies: BodyIntake;
  readonly table: readonly PathEntry[];
}

/** What the HTTP API measures. */
export function createHttpMeters(metrics: Metrics, { connections, admission, bodies, table }: Measured): HttpMeters {
  metrics.gauge({ name: 'isthmus_http_connections', help: 'Open connections to the HTTP API' }, (set) =>
    set(connections.held),
  );
  metrics.gauge({ name: 'isthmus_http_open_requests', help: 'Requests that wait or are being decided' }, (set) =>
    set(admission.underWay),
  );
  metrics.gauge({ name: 'isthmus_http_watchers', help: 'Open blocking queries and streams' }, (set) =>
    set(admission.watchers.held),
  );
  metrics.gauge({ name: 'isthmus_http_body_bytes', help: 'Bytes of request bodies that are held' }, (set) =>
    set(bodies.held),
  );
  metrics.gauge(
    { name: 'isthmus_http_requests', help: 'Requests answered since the start, by route', labels: ['path'] },
    (set) => {
      for (const entry of table) if (entry.requests > 0) set(entry.requests, { path: entry.path });
    },
  );
  return {
    refused: metrics.counter({
      name: 'isthmus_http_refused_total',
      help: 'Connections and requests refused before a route, by reason',
      labels: ['reason'],
    }),
    failures: metrics.counter({
      name: 'isthmus_http_failures_total',
      help: 'Requests answered with an error, by route and status',
      labels: ['path', 'status'],
    }),
  };
}
