import { isIP } from 'node:net';
import type { Options } from '../../model/proxy-options.ts';
import { objectOf, objectsOf, textOf, textsOf, wrong } from './keys.ts';

/** Whose metrics they are. */
export interface StatsOf {
  /** The service that the proxy stands for. */
  readonly service: string;
  readonly cluster: string;
  readonly datacenter: string;
}

interface StatsTag {
  readonly tag_name: string;
  readonly regex?: string;
  readonly fixed_value?: string;
}

/** Consul's tags, which users' dashboards know, in front of those that Envoy has itself. */
export function statsConfig(config: Options, of: StatsOf, omitDeprecated: boolean): object {
  const own = objectOf(config, 'envoy_stats_config_json');
  if (own !== undefined) return own;
  const custom = textsOf(config, 'envoy_stats_tags').map((text): StatsTag => {
    const [, name = '', value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
    if (name === '') throw wrong('envoy_stats_tags', `must be name=value, and ${JSON.stringify(text)} is not`);
    return { tag_name: name, fixed_value: value };
  });
  const source = { service: of.service, namespace: 'default', partition: 'default', datacenter: of.datacenter };
  return {
    stats_tags: [
      ...custom,
      ...destinationTags('consul.destination'),
      ...upstreamTags(),
      // Their names before Consul 1.9.
      ...(omitDeprecated ? [] : destinationTags('consul')),
      { tag_name: 'local_cluster', fixed_value: of.cluster },
      ...Object.entries(source).map(([name, value]) => ({ tag_name: `consul.source.${name}`, fixed_value: value })),
    ],
    use_all_default_tags: true,
  };
}

const SEGMENT = '[^.]+';
/** `[HASH~][SUBSET.]SERVICE.NAMESPACE.DATACENTER.ROUTING.TRUST-DOMAIN.consul.`: what a cluster is called. */
const CLUSTER = [
  ['custom_hash', '(?:', '~)?'],
  ['service_subset', '(?:', '\\.)?'],
  ['service', '', '\\.'],
  ['namespace', '', '\\.'],
  ['datacenter', '', '\\.'],
  ['routing_type', '', '\\.'],
  ['trust_domain', '', '\\.'],
] as const;
/** Tags that hold everything up to one part. */
const SPANS = { target: 'datacenter', full_target: 'trust_domain' } as const;

/** The outer group is cut out of the name of the metric, the inner one is the tag. */
function destinationTags(prefix: string): readonly StatsTag[] {
  const whole = (content: string): string => `^cluster\\.(?:passthrough~)?(${content}consul\\.)`;
  const parts = CLUSTER.map(([name]) => ({
    tag_name: `${prefix}.${name}`,
    regex: whole(CLUSTER.map(([part, open, close]) => segment(open, close, part === name)).join('')),
  }));
  const spans = Object.entries(SPANS).map(([name, last]) => {
    const end = CLUSTER.findIndex(([part]) => part === last);
    const within = CLUSTER.slice(0, end).map(([, open, close]) => segment(open, close, false));
    const behind = CLUSTER.slice(end + 1).map(([, open, close]) => segment(open, close, false));
    return { tag_name: `${prefix}.${name}`, regex: whole(`(${within.join('')}${SEGMENT})\\.${behind.join('')}`) };
  });
  return [...parts, ...spans];
}

/** `tcp.upstream.SERVICE.NAMESPACE.PARTITION.DATACENTER.`: what a listener of an upstream is called. */
const UPSTREAM = ['service', 'namespace', 'partition', 'datacenter'] as const;

function upstreamTags(): readonly StatsTag[] {
  return UPSTREAM.map((name) => ({
    tag_name: `consul.upstream.${name}`,
    regex: `^(?:tcp|http)\\.upstream\\.(${UPSTREAM.map((part) => segment('', '\\.', part === name)).join('')})`,
  }));
}

function segment(open: string, close: string, captured: boolean): string {
  return `${open}${captured ? `(${SEGMENT})` : SEGMENT}${close}`;
}

/** Where metrics are sent to. @param env holds what `$NAME` stands for. */
export function statsSinks(config: Options, env: Readonly<Record<string, string | undefined>>): readonly object[] {
  const made: object[] = [];
  for (const { key, name, type, unix } of URLS) {
    const given = textOf(config, key);
    if (given === '') continue;
    const text = given.startsWith('$') ? (env[given.slice(1)] ?? '') : given;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const address = url === undefined ? undefined : sinkAddress(url, unix);
    if (address === undefined) {
      const kinds = unix ? 'udp://ADDRESS:PORT or unix:///PATH' : 'udp://ADDRESS:PORT';
      throw wrong(
        key,
        `must be ${kinds}, with an IP address, or $NAME of a variable with it, and is ${JSON.stringify(text)}`,
      );
    }
    made.push({ name, typed_config: { '@type': `type.googleapis.com/envoy.config.metrics.v3.${type}`, address } });
  }
  return [
    ...made,
    ...objectsOf(config, 'envoy_stats_sinks_json'),
    ...objectsOf(config, 'envoy_extra_stats_sinks_json'),
  ];
}

const URLS = [
  { key: 'envoy_statsd_url', name: 'envoy.stat_sinks.statsd', type: 'StatsdSink', unix: false },
  { key: 'envoy_dogstatsd_url', name: 'envoy.stat_sinks.dog_statsd', type: 'DogStatsdSink', unix: true },
] as const;

function sinkAddress({ protocol, hostname, port, pathname }: URL, unix: boolean): object | undefined {
  if (protocol === 'unix:' && unix && hostname === '' && pathname !== '') return { pipe: { path: pathname } };
  const address = hostname.replace(/^\[|\]$/g, '');
  if (protocol !== 'udp:' || isIP(address) === 0 || port === '') return undefined;
  return { socket_address: { protocol: 'UDP', address, port_value: Number(port) } };
}
