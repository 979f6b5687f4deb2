import type { Counter, Histogram, Metrics } from '../../telemetry/types.ts';

/** What the etcd engine measures. */
export interface EtcdMeters {
  readonly seconds: Histogram;
  readonly failures: Counter;
  readonly watchReconnects: Counter;
  /** Tells which member is spoken to now. */
  use(endpoint: string): void;
}

export function etcdMeters(metrics: Metrics, endpoints: readonly string[]): EtcdMeters {
  let active = '';
  metrics.gauge(
    {
      name: 'isthmus_store_etcd_endpoint',
      help: '1 for the etcd member that is spoken to now, 0 for the others.',
      labels: ['endpoint'],
    },
    (set) => {
      for (const endpoint of endpoints) set(endpoint === active ? 1 : 0, { endpoint });
    },
  );
  return {
    seconds: metrics.histogram({
      name: 'isthmus_store_etcd_request_seconds',
      help: 'Time of a call of etcd that succeeded.',
      labels: ['method'],
    }),
    failures: metrics.counter({
      name: 'isthmus_store_etcd_failures_total',
      help: 'Calls of etcd that failed in a way that another member or a later try may heal.',
      labels: ['endpoint'],
    }),
    watchReconnects: metrics.counter({
      name: 'isthmus_store_watch_reconnects_total',
      help: 'How often the watch on the store was made anew.',
    }),
    use(endpoint) {
      active = endpoint;
    },
  };
}
