import { type Consequence, type Key, without } from './key.ts';

export interface NoEffectRow {
  readonly consequence: Consequence;
  /** Ends the sentence "… has no effect here: …". */
  readonly why: string;
  /** Separated by blanks; `key=flag` where Consul has a flag for it, `key=flag!` when that takes no value. */
  readonly keys: string;
}

const row = (consequence: Consequence, why: string, keys: string): NoEffectRow => ({ consequence, why, keys });
/** What a row of a key says that Consul's community edition has no use for either. */
const ENTERPRISE = 'of Consul Enterprise alone';
const GOSSIP = 'gossip_interval gossip_nodes probe_interval probe_timeout retransmit_mult suspicion_mult';
const inside = (group: string, keys: string): string =>
  keys
    .trim()
    .split(/\s+/)
    .map((key) => `${group}.${key}`)
    .join(' ');

/** Keys of Consul that are not read here. `refused` is refused only with a value that would turn something on. */
export const NO_EFFECT_ROWS: readonly NoEffectRow[] = [
  row(
    'harmless',
    'there is no Raft to tune',
    `bootstrap=bootstrap! protocol=protocol raft_protocol=raft-protocol
     raft_snapshot_interval raft_snapshot_threshold raft_trailing_logs performance.raft_multiplier
     raft_boltdb raft_prevote_disabled server_rejoin_age_max
     ${inside(
       'autopilot',
       'cleanup_dead_servers last_contact_threshold max_trailing_logs min_quorum server_stabilization_time',
     )}
     ${inside(
       'raft_logstore',
       `backend disable_log_cache verification.enabled verification.interval boltdb.no_freelist_sync
        wal.segment_size_mb`,
     )}`,
  ),
  row(
    'harmless',
    `${ENTERPRISE}; servers are upgraded one after the other (docs/upgrades.md)`,
    inside('autopilot', 'disable_upgrade_migration redundancy_zone_tag upgrade_version_tag'),
  ),
  row(
    'harmless',
    `${ENTERPRISE}; there is no licence, and one namespace`,
    `license_path license_poll_base_time license_poll_max_time license_update_base_time license_update_max_time
     reporting.license.enabled reporting.snapshot_retention_time dns_config.prefer_namespace audit.rpc_enabled`,
  ),
  row(
    'refused',
    `${ENTERPRISE}: it would change who may bootstrap access control, and does not here`,
    'acl.msp_disable_bootstrap',
  ),
  row(
    'refused',
    `${ENTERPRISE}: these tokens would not exist; make tokens by the API (docs/access-control.md)`,
    'acl.tokens.managed_service_provider',
  ),
  row(
    'harmless',
    'Consul sets it by itself, whatever a file says',
    `ae_interval check_deregister_interval_min check_reap_interval consul revision segment_limit segment_name_limit
     sync_coordinate_interval_min sync_coordinate_rate_target version version_prerelease version_metadata build_date
     connect.test_ca_leaf_root_change_spread peering.test_allow_peer_registrations`,
  ),
  row('harmless', "it is for Consul's snapshot agent alone", 'snapshot_agent'),
  row(
    'harmless',
    'Envoys stay with their own agent, and time limits of calls and heartbeats are fixed',
    `limits.rpc_client_timeout
     ${inside('performance', 'enable_xds_load_balancing grpc_keepalive_interval grpc_keepalive_timeout')}`,
  ),
  row(
    'harmless',
    'these listeners connect to no one, and certificates of the server ports are managed without it',
    `tls.https.verify_outgoing tls.https.verify_server_hostname tls.grpc.verify_outgoing
     tls.grpc.verify_server_hostname tls.defaults.use_auto_cert tls.internal_rpc.use_auto_cert tls.https.use_auto_cert`,
  ),
  row(
    'lost',
    'there are no peers: datacenters become one mesh by an invitation or `retry_join_wan` (docs/two-datacenters.md)',
    'peering.enabled',
  ),
  row(
    'lost',
    'nothing is connected to the HashiCorp Cloud Platform',
    `${inside('cloud', 'auth_url client_id client_secret hostname resource_id scada_address node_id node_name')}
     ui_config.hcp_enabled`,
  ),
  row('lost', 'no experiments are offered', 'experiments'),
  row('lost', 'one level counts for all parts of the log', 'log_sublevels'),
  row('lost', 'nodes have no locality; services may be registered with one', 'locality.region locality.zone'),
  row('lost', 'the rate at which Envoys are updated is not limited', 'xds.update_max_per_second'),
  row(
    'harmless',
    'there is no gossip to tune',
    `${inside('gossip_lan', GOSSIP)} ${inside('gossip_wan', GOSSIP)} disable_keyring_file=disable-keyring-file!
     reconnect_timeout_wan advertise_reconnect_timeout rejoin_after_leave=rejoin! disable_coordinates`,
  ),
  row(
    'harmless',
    'links to other datacenters are always tried again, with a growing pause of up to 30 s',
    'retry_interval_wan=retry-interval-wan retry_max_wan=retry-max-wan',
  ),
  row(
    'harmless',
    'what it turns on or off is not there, or is always so',
    `acl.disabled_ttl acl.policy_ttl acl.role_ttl acl_enforce_version_8
     cache.entry_fetch_max_burst cache.entry_fetch_rate dns_config.cache_max_age
     dns_config.use_cache disable_anonymous_signature disable_host_node_id=disable-host-node-id!
     disable_http_unprintable_char_filter disable_remote_exec disable_update_check discovery_max_stale
     enable_central_service_config performance.leave_drain_time
     performance.rpc_hold_timeout rpc.enable_streaming telemetry.disable_compat_1.9
     telemetry.prometheus_retention_time tls_prefer_server_cipher_suites use_streaming_backend server_name
     ui_content_path=ui-content-path
     ui_config.content_path ui_config.dashboard_url_templates ui_config.metrics_provider
     ui_config.metrics_provider_files ui_config.metrics_provider_options_json ui_config.metrics_proxy
     auto_encrypt.allow_tls auto_encrypt.dns_san auto_encrypt.ip_san auto_config.authorization auto_config.dns_sans
     auto_config.intro_token
     auto_config.intro_token_file auto_config.ip_sans auto_config.server_addresses
     ports.proxy_min_port ports.proxy_max_port telemetry.disable_per_tenancy_usage_metrics
     telemetry.retry_failed_connection`,
  ),
  row(
    'lost',
    'gossip keys protect nothing, since there is no gossip; TLS protects servers and agents (docs/secure-transport.md)',
    'encrypt=encrypt encrypt_verify_incoming encrypt_verify_outgoing',
  ),
  row(
    'lost',
    'no address is kept away from the server ports; use a firewall, and TLS',
    'serf_lan_allowed_cidrs=serf-lan-allowed-cidrs serf_wan_allowed_cidrs=serf-wan-allowed-cidrs',
  ),
  row(
    'lost',
    'log files are not rotated and syslog is not written; use logrotate, or what starts the process',
    `log_rotate_bytes=log-rotate-bytes log_rotate_duration=log-rotate-duration
     log_rotate_max_files=log-rotate-max-files enable_syslog=syslog! syslog_facility`,
  ),
  row('lost', 'no such file is written; take the process ID from what starts the process', 'pid_file=pid-file'),
  row(
    'lost',
    'a socket gets the owner and mode that the umask gives; put it into a directory that only some may enter',
    'unix_sockets.group unix_sockets.mode unix_sockets.user',
  ),
  row(
    'lost',
    'requests to servers are not limited in rate; what one client may hold is (docs/limits.md)',
    `limits.rpc_max_burst limits.rpc_rate
     ${inside('limits.request_limits', 'mode read_rate write_rate')}`,
  ),
  row(
    'lost',
    'metrics of certificates are always there, and warnings come at fixed times (docs/metrics.md)',
    inside(
      'telemetry.certificate',
      'enabled cache_duration critical_threshold_days warning_threshold_days info_threshold_days ' +
        'exclude_auto_renewable',
    ),
  ),
  row('lost', 'metrics of the machine are not measured; use an exporter of its own', 'telemetry.enable_host_metrics'),
  row('lost', 'HTTP checks present no certificate', 'enable_agent_tls_for_checks'),
  row('lost', 'profiles are not served', 'enable_debug'),
  row(
    'lost',
    'the names of metrics are fixed, and all of them are there',
    'telemetry.metrics_prefix telemetry.disable_hostname telemetry.prefix_filter telemetry.filter_default',
  ),
  row(
    'lost',
    `${ENTERPRISE}; every server counts, in one pool: there are no segments and no read replicas`,
    `non_voting_server=non-voting-server! read_replica=read-replica! segment=segment segments`,
  ),
  row(
    'harmless',
    'without files the listener for Envoy over TLS takes the managed certificate',
    'tls.grpc.use_auto_cert',
  ),
  row(
    'refused',
    'there is no browser interface yet; leave it out',
    'ui=ui! ui_config.enabled ui_dir=ui-dir ui_config.dir',
  ),
  row(
    'refused',
    'metrics are sent nowhere; let Prometheus collect /v1/agent/metrics?format=prometheus (docs/metrics.md)',
    inside(
      'telemetry',
      `circonus_api_app circonus_api_token circonus_api_url circonus_broker_id circonus_broker_select_tag
       circonus_check_display_name circonus_check_force_metric_activation circonus_check_id
       circonus_check_instance_id circonus_check_search_tag circonus_check_tags circonus_submission_interval
       circonus_submission_url dogstatsd_addr dogstatsd_tags statsd_address statsite_address`,
    ),
  ),
  row(
    'refused',
    'an agent gets its certificate by an invitation: `join_invite` (docs/client-agents.md)',
    'auto_encrypt.tls auto_config.enabled',
  ),
  row(
    'refused',
    'datacenters are reached directly, at the addresses of `retry_join_wan`',
    `connect.enable_mesh_gateway_wan_federation connect.mesh_gateway_wan_federation_enabled
     primary_gateways=primary-gateway primary_gateways_interval`,
  ),
];

export const NO_EFFECT_KEYS: Readonly<Record<string, Key<unknown>>> = Object.fromEntries(
  NO_EFFECT_ROWS.flatMap(({ consequence, why, keys }) =>
    keys
      .trim()
      .split(/\s+/)
      .map((entry) => {
        const [path = '', flag] = entry.split('=');
        return [path, without(consequence, why, flag?.replace('!', ''), !entry.endsWith('!'))] as const;
      }),
  ),
);
