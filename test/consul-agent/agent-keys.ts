/**
 * Every key that the agent of Consul reads from its configuration, community edition 1.22, in the order of its own
 * structures; and those of older versions that it still takes. Blocks are closed lists: what stands in one is there.
 * `services`, `checks` and configuration entries have tables of their own.
 */
const GROUPS: Readonly<Record<string, string>> = {
  '': `acl_agent_master_token acl_agent_token acl_datacenter acl_default_policy acl_down_policy
    acl_enable_key_list_policy acl_master_token acl_replication_token acl_token acl_ttl advertise_addr
    advertise_addr_ipv4 advertise_addr_ipv6 advertise_addr_wan advertise_addr_wan_ipv4 advertise_addr_wan_ipv6
    advertise_reconnect_timeout ae_interval alt_domain auto_reload_config bind_addr bootstrap bootstrap_expect
    build_date ca_file ca_path cert_file check check_deregister_interval_min check_output_max_size
    check_reap_interval check_update_interval checks client_addr data_dir datacenter default_intention_policy
    default_query_time disable_anonymous_signature disable_coordinates disable_host_node_id
    disable_http_unprintable_char_filter disable_keyring_file disable_remote_exec disable_update_check
    discard_check_output discovery_max_stale domain enable_acl_replication enable_agent_tls_for_checks
    enable_central_service_config enable_debug enable_local_script_checks enable_script_checks enable_syslog encrypt
    encrypt_verify_incoming encrypt_verify_outgoing experiments key_file leave_on_terminate log_file log_json
    log_level log_rotate_bytes log_rotate_duration log_rotate_max_files log_sublevels max_query_time node_id
    node_meta node_name pid_file primary_datacenter primary_gateways primary_gateways_interval protocol raft_boltdb
    raft_prevote_disabled raft_protocol raft_snapshot_interval raft_snapshot_threshold raft_trailing_logs
    reconnect_timeout reconnect_timeout_wan recursors rejoin_after_leave retry_interval retry_interval_wan retry_join
    retry_join_wan retry_max retry_max_wan revision segment_limit segment_name_limit serf_lan serf_lan_allowed_cidrs
    serf_wan serf_wan_allowed_cidrs server server_name server_rejoin_age_max service services session_ttl_min
    skip_leave_on_interrupt snapshot_agent start_join start_join_wan sync_coordinate_interval_min
    sync_coordinate_rate_target syslog_facility tagged_addresses tls_cipher_suites tls_min_version
    tls_prefer_server_cipher_suites translate_wan_addrs ui ui_content_path ui_dir use_streaming_backend
    verify_incoming verify_incoming_https verify_incoming_rpc verify_outgoing verify_server_hostname version
    version_metadata version_prerelease watches`,
  acl: `default_policy down_policy enable_key_list_policy enable_token_persistence enable_token_replication enabled
    policy_ttl role_ttl token_ttl`,
  'acl.tokens': `agent agent_master agent_recovery config_file_service_registration default dns initial_management
    master replication`,
  addresses: 'dns grpc grpc_tls http https',
  auto_config: 'authorization.enabled dns_sans enabled intro_token intro_token_file ip_sans server_addresses',
  'auto_config.authorization.static': `allow_reuse bound_audiences bound_issuer claim_assertions claim_mappings
    clock_skew_leeway expiration_leeway jwks_ca_cert jwks_url jwt_supported_algs jwt_validation_pub_keys
    list_claim_mappings not_before_leeway oidc_discovery_ca_cert oidc_discovery_url`,
  auto_encrypt: 'allow_tls dns_san ip_san tls',
  autopilot: 'cleanup_dead_servers last_contact_threshold max_trailing_logs min_quorum server_stabilization_time',
  cache: 'entry_fetch_max_burst entry_fetch_rate',
  cloud: 'auth_url client_id client_secret hostname resource_id scada_address',
  config_entries: 'bootstrap',
  connect: `ca_config ca_provider enable_mesh_gateway_wan_federation enabled test_ca_leaf_root_change_spread`,
  'consul.coordinate': 'update_batch_size update_max_batches update_period',
  'consul.raft': 'election_timeout heartbeat_timeout leader_lease_timeout',
  'consul.server': 'health_interval',
  dns_config: `a_record_limit allow_stale cache_max_age disable_compression enable_additional_node_meta_txt
    enable_truncate max_stale node_ttl only_passing recursor_strategy recursor_timeout service_ttl udp_answer_limit
    use_cache`,
  'dns_config.soa': 'expire min_ttl refresh retry',
  gossip_lan: 'gossip_interval gossip_nodes probe_interval probe_timeout retransmit_mult suspicion_mult',
  gossip_wan: 'gossip_interval gossip_nodes probe_interval probe_timeout retransmit_mult suspicion_mult',
  http_config: 'allow_write_http_from block_endpoints max_header_bytes response_headers use_cache',
  limits: `http_max_conns_per_client https_handshake_timeout kv_max_value_size rpc_client_timeout
    rpc_handshake_timeout rpc_max_burst rpc_max_conns_per_client rpc_rate txn_max_req_len`,
  'limits.request_limits': 'mode read_rate write_rate',
  locality: 'region zone',
  peering: 'enabled test_allow_peer_registrations',
  performance: `enable_xds_load_balancing grpc_keepalive_interval grpc_keepalive_timeout leave_drain_time
    raft_multiplier rpc_hold_timeout`,
  ports: `dns expose_max_port expose_min_port grpc grpc_tls http https proxy_max_port proxy_min_port serf_lan serf_wan
    server sidecar_max_port sidecar_min_port`,
  raft_logstore: `backend boltdb.no_freelist_sync disable_log_cache verification.enabled verification.interval
    wal.segment_size_mb`,
  rpc: 'enable_streaming',
  telemetry: `circonus_api_app circonus_api_token circonus_api_url circonus_broker_id circonus_broker_select_tag
    circonus_check_display_name circonus_check_force_metric_activation circonus_check_id circonus_check_instance_id
    circonus_check_search_tag circonus_check_tags circonus_submission_interval circonus_submission_url
    disable_hostname disable_per_tenancy_usage_metrics dogstatsd_addr dogstatsd_tags enable_host_metrics
    filter_default metrics_prefix prefix_filter prometheus_retention_time retry_failed_connection statsd_address
    statsite_address`,
  'telemetry.certificate': `cache_duration critical_threshold_days enabled exclude_auto_renewable
    info_threshold_days warning_threshold_days`,
  'tls.defaults': `ca_file ca_path cert_file key_file tls_cipher_suites tls_min_version use_auto_cert verify_incoming
    verify_outgoing verify_server_hostname`,
  'tls.grpc': `ca_file ca_path cert_file key_file tls_cipher_suites tls_min_version use_auto_cert verify_incoming
    verify_outgoing verify_server_hostname`,
  'tls.https': `ca_file ca_path cert_file key_file tls_cipher_suites tls_min_version use_auto_cert verify_incoming
    verify_outgoing verify_server_hostname`,
  'tls.internal_rpc': `ca_file ca_path cert_file key_file tls_cipher_suites tls_min_version use_auto_cert
    verify_incoming verify_outgoing verify_server_hostname`,
  ui_config: `content_path dashboard_url_templates dir enabled hcp_enabled metrics_provider metrics_provider_files
    metrics_provider_options_json`,
  'ui_config.metrics_proxy': 'add_headers base_url path_allowlist',
  unix_sockets: 'group mode user',
  xds: 'update_max_per_second',
};

/** Those that do something in Consul Enterprise alone. */
const ENTERPRISE_GROUPS: Readonly<Record<string, string>> = {
  '': `license_path license_poll_base_time license_poll_max_time license_update_base_time license_update_max_time
    non_voting_server partition read_replica segment segments`,
  acl: 'msp_disable_bootstrap',
  'acl.tokens': 'managed_service_provider',
  audit: 'enabled rpc_enabled sink',
  autopilot: 'disable_upgrade_migration redundancy_zone_tag upgrade_version_tag',
  dns_config: 'prefer_namespace',
  reporting: 'license.enabled snapshot_retention_time',
};

/** Names that older versions took and the current one does not; files still have them. */
const OLDER_GROUPS: Readonly<Record<string, string>> = {
  '': 'acl_enforce_version_8',
  acl: 'disabled_ttl',
  cloud: 'node_id node_name',
  connect: 'mesh_gateway_wan_federation_enabled',
  telemetry: 'disable_compat_1.9',
};

const pathsOf = (groups: Readonly<Record<string, string>>): readonly string[] =>
  Object.entries(groups).flatMap(([group, names]) =>
    names
      .trim()
      .split(/\s+/)
      .map((name) => (group === '' ? name : `${group}.${name}`)),
  );

export const CONSUL_KEYS = pathsOf(GROUPS);
export const ENTERPRISE_KEYS = pathsOf(ENTERPRISE_GROUPS);
export const OLDER_KEYS = pathsOf(OLDER_GROUPS);

/** The flags of `consul agent`. */
export const CONSUL_FLAGS: readonly string[] = `advertise advertise-wan allow-write-http-from alt-domain
  auto-reload-config bind bootstrap bootstrap-expect check_output_max_size client config-dir config-file
  config-format data-dir datacenter default-query-time dev disable-host-node-id disable-keyring-file dns-port domain
  enable-local-script-checks enable-script-checks encrypt grpc-port grpc-tls-port hcl http-port https-port join
  join-wan log-file log-json log-level log-rotate-bytes log-rotate-duration log-rotate-max-files max-query-time node
  node-id node-meta non-voting-server pid-file primary-gateway protocol raft-protocol read-replica recursor rejoin
  retry-interval retry-interval-wan retry-join retry-join-wan retry-max retry-max-wan segment serf-lan-allowed-cidrs
  serf-lan-bind serf-lan-port serf-wan-allowed-cidrs serf-wan-bind serf-wan-port server server-port syslog ui
  ui-content-path ui-dir`
  .trim()
  .split(/\s+/);
