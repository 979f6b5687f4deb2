import { alias, used } from './key.ts';
import { duration, integer, port, tenancy, text, textMap, texts, toggle } from './kind.ts';

/** Who this node is, where it listens and whom it joins. */
export const NETWORK_KEYS = {
  datacenter: used(text, 'dc1', 'Datacenter of this node: lower-case letters, digits, `-` and `_`.', {
    flag: 'datacenter',
  }),
  primary_datacenter: used(
    text,
    '',
    'Datacenter that decides about certificates, intentions and other configuration. Empty means this one.',
    { flag: 'primary-datacenter' },
  ),
  node_name: used(text, '', 'Name of this node, unique in its datacenter. Empty takes the host name.', {
    flag: 'node',
  }),
  node_id: used(text, '', 'UUID of this node. Empty makes one and keeps it in the data directory.', {
    flag: 'node-id',
  }),
  node_meta: used(textMap, {}, 'Metadata of this node; the flag takes `key:value` and may be repeated.', {
    flag: 'node-meta',
  }),
  partition: used(tenancy('partition'), '', 'There is one partition, `default`.', { flag: 'partition' }),
  data_dir: used(text, '', 'Directory for data that must survive a restart. Required without `-dev`.', {
    flag: 'data-dir',
  }),
  server: used(toggle, false, 'Run as a server of the datacenter; otherwise as a client agent.', {
    flag: 'server',
  }),

  bind_addr: used(
    text,
    '0.0.0.0',
    'Address for servers, agents and other datacenters: an IP or a template such as `{{ GetPrivateIP }}`.',
    { flag: 'bind' },
  ),
  client_addr: used(text, '127.0.0.1', 'Addresses for HTTP, HTTPS, DNS and gRPC, separated by blanks.', {
    flag: 'client',
  }),
  advertise_addr: used(text, '', 'Address that others in the datacenter use. Empty takes `bind_addr`.', {
    flag: 'advertise',
  }),
  advertise_addr_ipv4: used(text, '', 'Used where `advertise_addr` is empty.'),
  advertise_addr_ipv6: used(text, '', 'Used where `advertise_addr` and `advertise_addr_ipv4` are empty.'),
  advertise_addr_wan: used(text, '', 'Address that other datacenters use. Empty takes `advertise_addr`.', {
    flag: 'advertise-wan',
  }),
  advertise_addr_wan_ipv4: used(text, '', 'Used where `advertise_addr_wan` is empty.'),
  advertise_addr_wan_ipv6: used(text, '', 'Used where the other two are empty.'),
  tagged_addresses: used(textMap, {}, 'More addresses of this node, by tag.'),
  serf_lan: used(text, '', 'Address of the listener for joining agents. Empty takes `bind_addr`.', {
    flag: 'serf-lan-bind',
  }),
  serf_wan: used(text, '', 'Address of the listener for joining datacenters. Empty takes `bind_addr`.', {
    flag: 'serf-wan-bind',
  }),

  'addresses.http': used(text, '', 'Addresses of the HTTP API, separated by blanks; `unix:///path` is a socket.'),
  'addresses.https': used(text, '', 'Addresses of the HTTP API over TLS.'),
  'addresses.dns': used(text, '', 'Addresses of the DNS server.'),
  'addresses.grpc': used(text, '', 'Addresses of the xDS server.'),
  'addresses.grpc_tls': used(text, '', 'Addresses of the xDS server over TLS.'),

  'ports.http': used(port, 8500, 'HTTP API. -1 turns a listener off, 0 lets the system choose.', {
    flag: 'http-port',
  }),
  'ports.https': used(port, -1, 'HTTP API over TLS.', { flag: 'https-port' }),
  'ports.dns': used(port, 8600, 'DNS, on UDP and TCP.', { flag: 'dns-port' }),
  'ports.grpc': used(port, -1, 'xDS for Envoy. `-dev` turns it on at 8502.', { flag: 'grpc-port' }),
  'ports.grpc_tls': used(port, -1, 'xDS for Envoy over TLS; Consul takes 8503.', { flag: 'grpc-tls-port' }),
  'ports.server': used(port, 8300, 'Servers among themselves and agents to servers.', { flag: 'server-port' }),
  'ports.serf_lan': used(port, 8301, 'For joining agents and servers of this datacenter: what `retry_join` names.', {
    flag: 'serf-lan-port',
  }),
  'ports.serf_wan': used(port, 8302, 'For joining datacenters: what `retry_join_wan` names.', {
    flag: 'serf-wan-port',
  }),
  'ports.sidecar_min_port': used(port, 21_000, 'First port for sidecars that name none.'),
  'ports.sidecar_max_port': used(port, 21_255, 'Last port for sidecars that name none.'),
  'ports.expose_min_port': used(port, 21_500, 'First port at which Envoys serve paths of checks (`expose.checks`).'),
  'ports.expose_max_port': used(port, 21_755, 'Last port at which Envoys serve paths of checks.'),

  bootstrap_expect: used(
    integer(),
    0,
    'How many servers the datacenter has. They wait for none, but more than one need a store that they share: ' +
      '`storage.engine = "etcd"`.',
    { flag: 'bootstrap-expect' },
  ),
  retry_join: used(
    texts,
    [],
    'Servers of this datacenter, tried until one answers: host or host:port; `exec=PROGRAM ARGS`, which prints ' +
      'them; or `provider=dns name=NAME`, with `port=` and `type=srv`. A server finds those of its datacenter in ' +
      'their store, and warns about `exec=` and `provider=`.',
    {
      flag: 'retry-join',
    },
  ),
  retry_join_wan: used(texts, [], 'Servers of other datacenters, named as in `retry_join`, tried until one answers.', {
    flag: 'retry-join-wan',
  }),
  retry_interval: used(duration, 30_000, 'Longest wait between two tries of `retry_join`.', {
    flag: 'retry-interval',
  }),
  retry_max: used(integer(), 0, 'Tries of `retry_join` before the process gives up; 0 never gives up.', {
    flag: 'retry-max',
  }),
  start_join: used(texts, [], 'Servers of this datacenter joined once at the start.', { flag: 'join' }),
  start_join_wan: used(texts, [], 'As `retry_join_wan`.', { flag: 'join-wan' }),
  translate_wan_addrs: used(
    toggle,
    false,
    'Answer with the WAN address of nodes and services that are in another datacenter.',
  ),
  leave_on_terminate: used(
    toggle,
    false,
    'Leave the datacenter on SIGTERM. Not given: a client agent leaves, a server does not.',
  ),
  skip_leave_on_interrupt: used(
    toggle,
    false,
    'Do not leave the datacenter on SIGINT. Not given: a client agent leaves, a server does not.',
  ),
  node_timeout: used(
    duration,
    10_000,
    'A node without a heartbeat for this long is critical. Agents send four heartbeats in this time.',
  ),
  reconnect_timeout: used(duration, 259_200_000, 'How long a failed node is kept before it is removed.'),

  acl_datacenter: alias(text, '', 'primary_datacenter'),
} as const;
