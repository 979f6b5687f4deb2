import { describe, expect, it } from 'vitest';
import { BOOTSTRAP_KEYS } from '../../model/proxy-keys.ts';
import type { Options } from '../../model/proxy-options.ts';
import { Flags } from '../flags.ts';
import { agentAddress } from './agent-address.ts';
import { type BootstrapOptions, bootstrap } from './bootstrap.ts';
import { bootstrapFlags, refuseGateways } from './flags.ts';

const IO = {
  env: { STATSD: 'udp://127.0.0.1:8125' },
  readFile: (path: string) => `text of ${path}\n`,
  listFiles: (path: string) => [`${path}/a.pem`, `${path}/b.pem`],
};

function made(config: Options, flags: Readonly<Record<string, string>> = {}, changes: Partial<BootstrapOptions> = {}) {
  const given = new Flags(Object.entries(flags));
  return bootstrap({
    proxyId: 'web-sidecar-proxy',
    service: 'web',
    datacenter: 'dc1',
    ...bootstrapFlags(given, IO),
    agent: agentAddress(given, IO),
    token: 'secret',
    config,
    separatesCallers: true,
    env: IO.env,
    ...changes,
  }) as {
    readonly [part: string]: unknown;
    readonly static_resources: {
      readonly clusters: readonly { readonly name: string }[];
      readonly listeners?: readonly { readonly name: string; readonly address: unknown }[];
    };
    readonly stats_config: {
      readonly stats_tags: readonly {
        readonly tag_name: string;
        readonly regex?: string;
        readonly fixed_value?: string;
      }[];
    };
  };
}

/** Tags of a metric, and its name without them, as Envoy takes them out. */
function tagged(metric: string) {
  const tags: Record<string, string> = {};
  let rest = metric;
  for (const { tag_name, regex } of made({}, { 'omit-deprecated-tags': 'true' }).stats_config.stats_tags) {
    const match = regex === undefined ? null : new RegExp(regex).exec(metric);
    if (match === null) continue;
    if (match[2] !== undefined) tags[tag_name] = match[2];
    rest = metric.replace(match[1] as string, '');
  }
  return { tags, rest };
}

describe('the metrics of an Envoy', () => {
  it('have the tags of Consul', () => {
    expect(tagged('cluster.8bd2~v2.db.default.dc2.internal.td-1.consul.upstream_cx_total')).toEqual({
      rest: 'cluster.upstream_cx_total',
      tags: {
        'consul.destination.custom_hash': '8bd2',
        'consul.destination.service_subset': 'v2',
        'consul.destination.service': 'db',
        'consul.destination.namespace': 'default',
        'consul.destination.datacenter': 'dc2',
        'consul.destination.routing_type': 'internal',
        'consul.destination.trust_domain': 'td-1',
        'consul.destination.target': '8bd2~v2.db.default.dc2',
        'consul.destination.full_target': '8bd2~v2.db.default.dc2.internal.td-1',
      },
    });
    expect(tagged('cluster.db.default.dc2.internal.td-1.consul.upstream_cx_total').tags).toMatchObject({
      'consul.destination.service': 'db',
      'consul.destination.target': 'db.default.dc2',
    });
    expect(tagged('tcp.upstream.db.default.default.dc2.downstream_cx_total')).toEqual({
      rest: 'tcp.upstream.downstream_cx_total',
      tags: {
        'consul.upstream.service': 'db',
        'consul.upstream.namespace': 'default',
        'consul.upstream.partition': 'default',
        'consul.upstream.datacenter': 'dc2',
      },
    });
    expect(tagged('cluster.local_app.upstream_cx_total').tags).toEqual({});
  });

  it('name their source, with tags of the proxy, and those of before Consul 1.9 unless they are left out', () => {
    const tags = made({ envoy_stats_tags: ['team=blue', 'empty='] }).stats_config.stats_tags;
    const fixed = tags.filter(({ fixed_value }) => fixed_value !== undefined);
    expect(fixed.map(({ tag_name, fixed_value }) => [tag_name, fixed_value])).toEqual([
      ['team', 'blue'],
      ['empty', ''],
      ['local_cluster', 'web'],
      ['consul.source.service', 'web'],
      ['consul.source.namespace', 'default'],
      ['consul.source.partition', 'default'],
      ['consul.source.datacenter', 'dc1'],
    ]);
    expect(tags.map(({ tag_name }) => tag_name)).toContain('consul.service');
    const without = made({}, { 'omit-deprecated-tags': 'true' }).stats_config.stats_tags;
    expect(without.map(({ tag_name }) => tag_name)).not.toContain('consul.service');
    expect(made({ envoy_stats_config_json: '{"stats_tags": []}' }).stats_config).toEqual({ stats_tags: [] });
  });

  it('go to sinks, and are served at addresses of their own', () => {
    const bootstrap = made(
      {
        envoy_statsd_url: '$STATSD',
        envoy_dogstatsd_url: 'unix:///run/dog.sock',
        envoy_extra_stats_sinks_json: '{"name": "a"}, {"name": "b"}',
        envoy_stats_flush_interval: '1.5s',
        envoy_prometheus_bind_addr: '0.0.0.0:20200',
        envoy_stats_bind_addr: '127.0.0.1:20201',
        envoy_extra_static_clusters_json: '{"name": "collector"}',
        envoy_extra_static_listeners_json: '{"name": "extra"}',
        envoy_tracing_json: '{"http": {}}',
      },
      { 'prometheus-backend-port': '20100', 'prometheus-scrape-path': '/scrape' },
    );
    expect(bootstrap.stats_sinks).toMatchObject([
      {
        name: 'envoy.stat_sinks.statsd',
        typed_config: { address: { socket_address: { protocol: 'UDP', address: '127.0.0.1', port_value: 8_125 } } },
      },
      { name: 'envoy.stat_sinks.dog_statsd', typed_config: { address: { pipe: { path: '/run/dog.sock' } } } },
      { name: 'a' },
      { name: 'b' },
    ]);
    expect(bootstrap.stats_flush_interval).toBe('1.5s');
    expect(bootstrap.tracing).toEqual({ http: {} });
    const { clusters, listeners } = bootstrap.static_resources;
    expect(clusters.map(({ name }) => name)).toEqual(['local_agent', 'self_admin', 'prometheus_backend', 'collector']);
    expect(listeners?.map(({ name }) => name)).toEqual([
      'envoy_prometheus_metrics_listener',
      'envoy_metrics_listener',
      'extra',
    ]);
    expect(JSON.stringify(listeners?.[0])).toContain(
      '{"match":{"path":"/scrape"},"route":{"cluster":"prometheus_backend","prefix_rewrite":"/stats/prometheus"}}',
    );
  });

  it('are given to Prometheus over mutual TLS where files are named', () => {
    const flags = { 'prometheus-ca-path': '/ca', 'prometheus-cert-file': 'c.pem', 'prometheus-key-file': 'k.pem' };
    const text = JSON.stringify(made({ envoy_prometheus_bind_addr: '[::1]:20200' }, flags).static_resources.listeners);
    expect(text).toContain('"require_client_certificate":true');
    expect(text).toContain('text of /ca/a.pem\\ntext of /ca/b.pem\\n');
    expect(text).toContain('"address":"::1"');
    expect(() => made({}, { 'prometheus-cert-file': 'c.pem' })).toThrow('go together');
  });
});

describe('the bootstrap', () => {
  it('names the key whose value is wrong', () => {
    for (const config of [
      { envoy_statsd_url: 'udp://collector.example:8125' },
      { envoy_statsd_url: 'unix:///run/x.sock' },
      { envoy_dogstatsd_url: '$NOT_SET' },
      { envoy_stats_tags: ['novalue'] },
      { envoy_stats_flush_interval: '1m' },
      { envoy_prometheus_bind_addr: '20200' },
      { envoy_extra_static_clusters_json: '{' },
      { envoy_tracing_json: '[]' },
      { envoy_stats_config_json: 5 },
    ])
      expect(() => made(config), JSON.stringify(config)).toThrow(Object.keys(config)[0]);
  });

  it('reads every documented key', () => {
    const read = new Set<string>();
    made(
      new Proxy<Record<string, unknown>>(
        {},
        {
          get(_target, key) {
            read.add(String(key));
            return undefined;
          },
        },
      ),
    );
    expect([...read].sort()).toEqual(Object.keys(BOOTSTRAP_KEYS).sort());
  });

  it('is made of a template with the names of Consul', () => {
    const template = `{
      {{- /* a comment */ -}}
      "node": {"id": "{{ .ProxyID }}", "cluster": "{{.ProxyCluster}}"},
      {{- if .GRPC.AgentTLS }} "tls": true, {{ else }} "tls": false, {{ end -}}
      "agent": "{{ .GRPC.AgentAddress }}:{{ .GRPC.AgentPort }}",
      {{ if ne .Token "" }}"token": "{{ .Token }}",{{ end }}
      {{ if not .TracingConfigJSON }}"untraced": {{ if eq .Datacenter "dc1" }}true{{ else }}false{{ end }},{{ end }}
      "clusters": [{{ .StaticClustersJSON }}]
    }`;
    expect(
      made({ envoy_bootstrap_json_tpl: template, envoy_extra_static_clusters_json: '{"name":"a"},{"name":"b"}' }),
    ).toEqual({
      node: { id: 'web-sidecar-proxy', cluster: 'web' },
      tls: false,
      agent: '127.0.0.1:8502',
      token: 'secret',
      untraced: true,
      clusters: [{ name: 'a' }, { name: 'b' }],
    });
  });

  it('refuses what it can not fill in, and never shows the token', () => {
    for (const [template, why] of [
      ['{{ .Nothing }}', 'is no value'],
      ['{{ range .X }}{{ end }}', 'is not supported'],
      ['{{ if .Token }}', 'no {{ end }}'],
      ['{{ end }}', 'belongs to no {{ if }}'],
      ['{ {{ .Token }} ', 'is no JSON'],
    ] as const) {
      const fails = () => made({ envoy_bootstrap_json_tpl: template });
      expect(fails).toThrow(why);
      expect(fails).not.toThrow('secret');
    }
  });

  it('trusts the authorities of a directory', () => {
    expect(agentAddress(new Flags([['grpc-ca-path', '/ca']]), IO)).toMatchObject({
      caPem: 'text of /ca/a.pem\ntext of /ca/b.pem\n',
    });
  });

  it('has no gateways, and says so', () => {
    expect(() => refuseGateways(new Flags([['gateway', 'mesh']]))).toThrow('gateways come with a later version');
    expect(() => refuseGateways(new Flags([['register', 'true']]))).toThrow('is for gateways');
    expect(() => refuseGateways(new Flags([['proxy-id', 'x']]))).not.toThrow();
  });
});
