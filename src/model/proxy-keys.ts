/**
 * The opaque options (`config`) of proxies and upstreams that Consul documents, and what each does here: read by the
 * code, and the page docs/envoy-keys.md is made of it.
 */

type Keys = Readonly<Record<string, string>>;

/** Of a proxy: what an Envoy is started with. A change counts from its next start. */
export const BOOTSTRAP_KEYS = {
  envoy_statsd_url:
    'A statsd sink: `udp://ADDRESS:PORT` with an IP address, or `$NAME` of an environment variable that holds such ' +
    'a URL.',
  envoy_dogstatsd_url: 'A DogStatsD sink: `udp://ADDRESS:PORT`, `unix:///PATH`, or `$NAME` of an environment variable.',
  envoy_stats_tags: 'List of `name=value`: tags of every metric, beside those of Consul.',
  envoy_stats_config_json: "Envoy's `stats_config`, instead of the tags of Consul and of `envoy_stats_tags`.",
  envoy_stats_sinks_json: 'The same as `envoy_extra_stats_sinks_json`.',
  envoy_extra_stats_sinks_json:
    'Stats sinks of Envoy, JSON objects with commas between them, beside those of the URLs.',
  envoy_stats_flush_interval: 'How often metrics are flushed to the sinks, such as `10s`.',
  envoy_prometheus_bind_addr: 'ADDRESS:PORT at which `/metrics` is served for Prometheus, and nothing else.',
  envoy_stats_bind_addr: 'ADDRESS:PORT at which what is below `/stats` is served, and nothing else.',
  envoy_extra_static_clusters_json:
    'Clusters of Envoy, JSON objects with commas between them, beside those of the mesh.',
  envoy_extra_static_listeners_json: 'Listeners of Envoy, the same way.',
  envoy_tracing_json:
    "Envoy's `tracing`: the tracer of requests that a caller traces already; `envoy_listener_tracing_json` says more.",
  envoy_bootstrap_json_tpl:
    "The whole bootstrap, as a template with Consul's names: `{{ .ProxyID }}`, `{{ if .Token }}…{{ end }}` and the " +
    'like.',
} as const satisfies Keys;

export type BootstrapKey = keyof typeof BOOTSTRAP_KEYS;

/** Of a proxy: taken over by running Envoys. */
export const PROXY_KEYS = {
  bind_address: 'Address at which the sidecar listens, when it is not the registered one.',
  bind_port: 'Port at which it listens, when it is not the registered one.',
  protocol:
    'What the application speaks: `tcp`, `http`, `http2` or `grpc`; `Protocol` of its `service-defaults` unless ' +
    'given here.',
  local_connect_timeout_ms: 'Longest attempt to reach the application; 5,000 unless given.',
  local_request_timeout_ms: 'Longest answer of the application to a request; 0, as without it: as long as it takes.',
  local_idle_timeout_ms: 'How long a request may be without a byte either way; 0: for ever. 5 minutes unless given.',
  max_inbound_connections: 'Connections to the application at the same time.',
  max_request_headers_kb:
    'Longest headers of a request to the application, KiB: up to 8,192; 60 unless given. The built-in sidecar has ' +
    'its own limit.',
  balance_inbound_connections: '`exact_balance` spreads the connections of other sidecars over the threads of Envoy.',
} as const satisfies Keys;

/** Of a proxy: Envoy's own JSON in place of what its Envoy is given. */
export const PROXY_HATCHES = {
  envoy_public_listener_json:
    'The listener for other sidecars. Its TLS and the rules of intentions are put into each of its filter chains.',
  envoy_local_cluster_json: 'The cluster of the application, `local_app`.',
  envoy_listener_tracing_json:
    "How requests are traced (`tracing` of Envoy's HTTP connection manager), with the tracer in `provider`.",
} as const satisfies Keys;

/** Of an upstream. */
export const UPSTREAM_KEYS = {
  protocol: '`tcp`: connections are carried as they are, whatever the service speaks. Nothing else has an effect.',
  connect_timeout_ms:
    "Longest attempt to connect; else the resolver's `ConnectTimeout`, else 5,000. A connection has three attempts.",
  limits: '`max_connections`, `max_pending_requests`, `max_concurrent_requests`: circuit breakers.',
  balance_outbound_connections: '`exact_balance` spreads the connections of the application over the threads of Envoy.',
  max_connections: 'The older spelling of `limits.max_connections`.',
  passive_health_check:
    '`max_failures`, `interval`, `base_ejection_time`, `max_ejection_percent` (100 unless given): instances that ' +
    'fail ' +
    'are left out. For Envoys alone: `consecutive_5xx` (else `max_failures`), `enforcing_consecutive_5xx`, ' +
    '`consecutive_gateway_failure` with `enforcing_consecutive_gateway_failure` (0 unless given: none is left out ' +
    'for it).',
} as const satisfies Keys;

/** Of an upstream: Envoy's own JSON in place of what the Envoy is given. */
export const UPSTREAM_HATCHES = {
  envoy_listener_json: 'The listener at which the application reaches the upstream.',
  envoy_cluster_json:
    'The cluster of the upstream, when it has only one; its name and TLS stay. `EnvoyClusterJSON` of ' +
    '`UpstreamConfig`, too.',
} as const satisfies Keys;

/** Consul documents them, they are accepted, and they do nothing here: each with the reason. */
export const KEYS_WITHOUT_EFFECT = {
  xds_fetch_timeout_ms: 'Envoy waits for its resources without an end: to start without some would refuse connections.',
  envoy_hcp_metrics_bind_socket_dir: "There is no collector for HashiCorp's cloud here.",
  envoy_telemetry_collector_bind_socket_dir: "There is no collector for HashiCorp's cloud here.",
} as const satisfies Keys;
