import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { IsthmusError } from '../lib/errors.ts';
import { caConfigFaults } from '../model/ca-config.ts';
import { CA_PROVIDERS } from '../model/ca-providers.ts';
import { AddressError, addressList, advertisedFor, isUnspecified, singleAddress } from './address.ts';
import { parseServiceTtls } from './dns-values.ts';
import { type JoinSource, parseJoinSource } from './join-sources.ts';
import type { AuditSink } from './keys/audit.ts';
import { placeOf } from './keys/ca-config.ts';
import type { Values } from './keys/table.ts';
import type { Problems } from './problems.ts';
import type { Reject } from './reject.ts';
import { buildStorage } from './storage.ts';
import { buildTls } from './tls.ts';
import type {
  ConfigDeps,
  InterfaceAddress,
  ListenAddress,
  ListenerConfig,
  PortsConfig,
  RuntimeConfig,
} from './types.ts';
import { checkValues } from './validate.ts';

export interface BuildInput {
  readonly values: Values;
  readonly origins: ReadonlyMap<string, string>;
  readonly dev: boolean;
  readonly deps: ConfigDeps;
  readonly problems: Problems;
  readonly warnings: string[];
}

/** Turns merged values into the configuration that the process uses; throws all that can't work. */
export function buildConfig(input: BuildInput): RuntimeConfig {
  const { values, deps, origins, problems, warnings } = input;
  const located = (path: keyof Values, text: string): string => {
    const origin = origins.get(path);
    return origin === undefined ? text : `${origin}: ${text}`;
  };
  const reject: Reject = (path, text) => {
    throw new IsthmusError('invalid_argument', located(path, text));
  };
  checkValues(values, input.dev, (path, text) => {
    if (!problems.isBroken(path)) problems.add(located(path, text));
  });

  checkCaConfig(values, origins, problems);
  const datacenter = values.datacenter.toLowerCase();
  const ports = buildPorts(values);
  if (values['acl.enabled'] && values['acl.tokens.replication'] === '' && isSecondary(values, datacenter)) {
    warnings.push(
      'acl.tokens.replication is empty: this secondary cannot replicate with access control on, unless it joined by ' +
        'an invitation',
    );
  }
  if (values.join_invite !== '' && values.server && !isSecondary(values, datacenter))
    problems.add(
      located('join_invite', '"join_invite" is for a new datacenter: set "primary_datacenter" to the one that invites'),
    );
  const tls = problems.attempt(() => buildTls({ values, origins, warnings, reject }));
  const storage = problems.attempt(() => buildStorage(values, datacenter, reject));
  // What the files say nothing about depends on this machine alone, and is no fault beside theirs.
  const named = [...origins.keys()].some((path) => /^(bind|client|advertise|serf|addresses)/.test(path));
  const addresses =
    problems.any && !named ? undefined : problems.attempt(() => resolveAddresses(values, deps.interfaces(), reject));
  const join = joinTargets(values, 'retry_join', located, problems);
  const joinWan = joinTargets(values, 'retry_join_wan', located, problems);
  if (values.server && join.sources.length > 0)
    warnings.push(
      located(
        'retry_join',
        '"retry_join" names servers by exec= or provider=, which a server does not use: servers of a datacenter find ' +
          'each other in the store that they share; those of other datacenters belong into "retry_join_wan"',
      ),
    );
  problems.throwIfAny();
  if (addresses === undefined || tls === undefined || storage === undefined)
    throw new IsthmusError('internal', 'a part of the configuration is missing');
  if (ports.https >= 0 && tls.https.certFile === '') {
    warnings.push('"ports.https" needs "cert_file" and "key_file"; the HTTPS listener stays off');
  }
  return {
    datacenter,
    primaryDatacenter: values.primary_datacenter.toLowerCase() || datacenter,
    nodeName: values.node_name || deps.hostname(),
    nodeId: values.node_id.toLowerCase(),
    nodeMeta: values.node_meta,
    dataDir: values.data_dir,
    devMode: input.dev,
    server: values.server,
    ...addresses.own,
    listeners: buildListeners(values, addresses, ports, tls.https.certFile !== ''),
    ports,
    tls,
    joinInvite: values.join_invite,
    retryJoin: join.addresses,
    joinSources: join.sources,
    retryJoinWan: [...joinWan.addresses, ...values.start_join_wan],
    joinSourcesWan: joinWan.sources,
    retryIntervalMs: values.retry_interval,
    retryMax: values.retry_max,
    startJoin: values.start_join,
    translateWanAddrs: values.translate_wan_addrs,
    // As Consul: who runs only on its node leaves with it, a server is expected back.
    leaveOnTerminate: origins.has('leave_on_terminate') ? values.leave_on_terminate : !values.server,
    skipLeaveOnInterrupt: origins.has('skip_leave_on_interrupt') ? values.skip_leave_on_interrupt : values.server,
    nodeTimeoutMs: values.node_timeout,
    reconnectTimeoutMs: values.reconnect_timeout,
    storage,
    log: {
      level: values.log_level === 'err' ? 'error' : values.log_level,
      json: values.log_json,
      file: values.log_file,
    },
    ...buildSections(values),
    defaultIntentionPolicy:
      values.default_intention_policy || (values['acl.enabled'] ? values['acl.default_policy'] : 'allow'),
    autoReload: values.auto_reload_config,
    defaultQueryTimeMs: values.default_query_time,
    maxQueryTimeMs: values.max_query_time,
    checkUpdateIntervalMs: values.check_update_interval,
    checkOutputMaxSize: values.check_output_max_size,
    watches: values.watches,
    scriptChecks: values.enable_script_checks,
    localScriptChecks: values.enable_local_script_checks,
    checkAllowRedirectHosts: values.check_allow_redirect_hosts,
    checkAllowLinkLocal: values.check_allow_link_local,
    discardCheckOutput: values.discard_check_output,
    services: [...values.services, ...values.service],
    checks: [...values.checks, ...values.check],
    bootstrapEntries: values['config_entries.bootstrap'],
    auditSinks: buildAudit(values),
  };
}

interface JoinTargets {
  readonly addresses: readonly string[];
  readonly sources: readonly JoinSource[];
}

function joinTargets(
  values: Values,
  path: 'retry_join' | 'retry_join_wan',
  located: (path: keyof Values, text: string) => string,
  problems: Problems,
): JoinTargets {
  const addresses: string[] = [];
  const sources: JoinSource[] = [];
  for (const text of values[path]) {
    try {
      const source = parseJoinSource(text);
      if (source === undefined) addresses.push(text);
      else sources.push(source);
    } catch (error) {
      problems.add(located(path, `"${path}" ${IsthmusError.from(error).message}`));
    }
  }
  return { addresses, sources };
}

/** The rules of the provider that is named; one that is not known is a fault of its own. */
function checkCaConfig(values: Values, origins: ReadonlyMap<string, string>, problems: Problems): void {
  const provider = CA_PROVIDERS.find((name) => name === values['connect.ca_provider']);
  if (provider === undefined) return;
  const config = values['connect.ca_config'];
  for (const { key, text, unknown } of caConfigFaults(provider, config)) {
    const origin = placeOf(config, key) ?? origins.get('connect.ca_config') ?? '';
    if (unknown) problems.addUnknown(`${origin}: ${text}`);
    else problems.add(`${origin}: "connect.ca_config": ${text}`);
  }
}

/** The sink that counts when none is named. */
function buildAudit(values: Values): readonly AuditSink[] {
  if (!values['audit.enabled']) return [];
  const named = values['audit.sink'];
  if (named.length > 0 || values.data_dir === '') return named;
  const path = join(values.data_dir, 'audit', 'audit.json');
  return [{ name: 'default', path, mode: 0o600, rotateBytes: 25_165_824, rotateMs: 86_400_000, rotateMaxFiles: 15 }];
}

function isSecondary(values: Values, datacenter: string): boolean {
  return values.server && values.primary_datacenter !== '' && values.primary_datacenter.toLowerCase() !== datacenter;
}

interface Addresses {
  readonly own: Pick<RuntimeConfig, 'bindAddr' | 'advertiseAddr' | 'advertiseAddrWan' | 'taggedAddresses'>;
  readonly serfLan: string;
  readonly serfWan: string;
  readonly edges: Readonly<Record<'http' | 'https' | 'dns' | 'grpc' | 'grpcTls', readonly string[]>>;
}

function resolveAddresses(values: Values, interfaces: readonly InterfaceAddress[], reject: Reject): Addresses {
  const guard = <T>(path: keyof Values, find: () => T, named = true): T => {
    try {
      return find();
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      return reject(path, named ? `"${path}" ${error.message}` : error.message);
    }
  };
  const single = (...paths: ('bind_addr' | keyof typeof ADDRESS_KEYS)[]): string => {
    for (const path of paths) {
      const address = guard(path, () => singleAddress(values[path], interfaces));
      if (address !== '') return address;
    }
    return '';
  };
  const bindAddr = single('bind_addr');
  if (bindAddr === '') reject('bind_addr', '"bind_addr" must not be empty');
  const lan =
    single('advertise_addr', 'advertise_addr_ipv4', 'advertise_addr_ipv6') ||
    guard('bind_addr', () => advertisedFor(bindAddr, interfaces), false);
  if (isUnspecified(lan)) reject('advertise_addr', 'Advertise address cannot be 0.0.0.0, :: or [::]');
  const wan = single('advertise_addr_wan', 'advertise_addr_wan_ipv4', 'advertise_addr_wan_ipv6') || lan;
  if (isUnspecified(wan)) reject('advertise_addr_wan', 'Advertise WAN address cannot be 0.0.0.0, :: or [::]');

  const edge = (path: `addresses.${'http' | 'https' | 'dns' | 'grpc' | 'grpc_tls'}`): readonly string[] => {
    const sockets = path !== 'addresses.dns';
    const own = guard(path, () => addressList(values[path], interfaces, sockets));
    return own.length > 0 ? own : guard('client_addr', () => addressList(values.client_addr, interfaces, sockets));
  };
  return {
    own: {
      bindAddr,
      advertiseAddr: lan,
      advertiseAddrWan: wan,
      taggedAddresses: {
        lan,
        [isIPv4(lan) ? 'lan_ipv4' : 'lan_ipv6']: lan,
        wan,
        [isIPv4(wan) ? 'wan_ipv4' : 'wan_ipv6']: wan,
        ...values.tagged_addresses,
      },
    },
    serfLan: single('serf_lan') || bindAddr,
    serfWan: single('serf_wan') || bindAddr,
    edges: {
      http: edge('addresses.http'),
      https: edge('addresses.https'),
      dns: edge('addresses.dns'),
      grpc: edge('addresses.grpc'),
      grpcTls: edge('addresses.grpc_tls'),
    },
  };
}

const ADDRESS_KEYS = {
  advertise_addr: true,
  advertise_addr_ipv4: true,
  advertise_addr_ipv6: true,
  advertise_addr_wan: true,
  advertise_addr_wan_ipv4: true,
  advertise_addr_wan_ipv6: true,
  serf_lan: true,
  serf_wan: true,
} as const;

function buildPorts(values: Values): PortsConfig {
  return {
    http: values['ports.http'],
    https: values['ports.https'],
    dns: values['ports.dns'],
    grpc: values['ports.grpc'],
    grpcTls: values['ports.grpc_tls'],
    server: values['ports.server'],
    serfLan: values['ports.serf_lan'],
    serfWan: values['ports.serf_wan'],
    sidecarMinPort: values['ports.sidecar_min_port'],
    sidecarMaxPort: values['ports.sidecar_max_port'],
    exposeMinPort: values['ports.expose_min_port'],
    exposeMaxPort: values['ports.expose_max_port'],
  };
}

function buildListeners(values: Values, addresses: Addresses, ports: PortsConfig, https: boolean): ListenerConfig {
  const at = (hosts: readonly string[], port: number): ListenAddress[] =>
    port < 0
      ? []
      : hosts.map((host) =>
          host.startsWith('unix://')
            ? { kind: 'unix', path: host.slice('unix://'.length) }
            : { kind: 'tcp', host, port },
        );
  const { edges, own } = addresses;
  return {
    http: at(edges.http, ports.http),
    https: https ? at(edges.https, ports.https) : [],
    dns: at(edges.dns, ports.dns),
    grpc: at(edges.grpc, ports.grpc),
    grpcTls: at(edges.grpcTls, ports.grpcTls),
    server: values.server ? at([own.bindAddr], ports.server) : [],
    serfLan: values.server ? at([addresses.serfLan], ports.serfLan) : [],
    serfWan: values.server ? at([addresses.serfWan], ports.serfWan) : [],
  };
}

function buildSections(values: Values): Pick<RuntimeConfig, 'acl' | 'connect' | 'dns' | 'http' | 'limits'> {
  return {
    acl: {
      enabled: values['acl.enabled'],
      defaultPolicy: values['acl.default_policy'],
      downPolicy: values['acl.down_policy'],
      tokenTtlMs: values['acl.token_ttl'],
      enableKeyListPolicy: values['acl.enable_key_list_policy'],
      enableTokenPersistence: values['acl.enable_token_persistence'],
      enableTokenReplication: values['acl.enable_token_replication'],
      tokens: {
        master: values['acl.tokens.initial_management'],
        agent: values['acl.tokens.agent'],
        agentMaster: values['acl.tokens.agent_recovery'],
        default: values['acl.tokens.default'],
        replication: values['acl.tokens.replication'],
        dns: values['acl.tokens.dns'],
        fileRegistration: values['acl.tokens.config_file_service_registration'],
      },
    },
    connect: {
      enabled: values['connect.enabled'],
      caProvider: values['connect.ca_provider'],
      caConfig: values['connect.ca_config'],
      caKeyEncryptionFile: values['connect.ca_key_encryption_file'],
      rotationHoldMs: values['connect.ca_rotation_hold_timeout'],
    },
    dns: {
      domain: trimDots(values.domain),
      altDomain: trimDots(values.alt_domain),
      recursors: values.recursors,
      allowStale: values['dns_config.allow_stale'],
      maxStaleMs: values['dns_config.max_stale'],
      nodeTtlMs: values['dns_config.node_ttl'],
      serviceTtlMs: parseServiceTtls(values['dns_config.service_ttl']),
      onlyPassing: values['dns_config.only_passing'],
      enableTruncate: values['dns_config.enable_truncate'],
      udpAnswerLimit: values['dns_config.udp_answer_limit'],
      udpMaxSize: values['dns_config.udp_max_size'],
      rateLimit: values['dns_config.rate_limit'],
      aRecordLimit: values['dns_config.a_record_limit'],
      disableCompression: values['dns_config.disable_compression'],
      nodeMetaTxt: values['dns_config.enable_additional_node_meta_txt'],
      recursorStrategy: values['dns_config.recursor_strategy'],
      recursorTimeoutMs: values['dns_config.recursor_timeout'],
      soa: {
        refresh: values['dns_config.soa.refresh'],
        retry: values['dns_config.soa.retry'],
        expire: values['dns_config.soa.expire'],
        minTtl: values['dns_config.soa.min_ttl'],
      },
    },
    http: {
      responseHeaders: values['http_config.response_headers'],
      blockEndpoints: values['http_config.block_endpoints'],
      allowWriteHttpFrom: values['http_config.allow_write_http_from'],
      allowHosts: values['http_config.allow_hosts'],
      allowOrigins: values['http_config.allow_origins'],
      maxHeaderBytes: values['http_config.max_header_bytes'],
      useCache: values['http_config.use_cache'],
    },
    limits: {
      httpMaxConnsPerClient: values['limits.http_max_conns_per_client'],
      httpMaxWatchersPerClient: values['limits.http_max_watchers_per_client'],
      httpMaxRequestsInFlight: values['limits.http_max_requests_in_flight'],
      httpMaxBodyBytes: values['limits.http_max_body_bytes'],
      kvMaxValueBytes: values['limits.kv_max_value_size'],
      txnMaxBytes: Math.max(values['limits.txn_max_req_len'], values['limits.kv_max_value_size']),
      sessionTtlMinMs: values.session_ttl_min,
      httpHeaderTimeoutMs: values['limits.http_header_timeout'],
      httpRequestTimeoutMs: values['limits.http_request_timeout'],
      httpIdleTimeoutMs: values['limits.http_idle_timeout'],
      httpWriteTimeoutMs: values['limits.http_write_timeout'],
      httpsHandshakeTimeoutMs: values['limits.https_handshake_timeout'],
      rpcHandshakeTimeoutMs: values['limits.rpc_handshake_timeout'],
      dnsMaxConnsPerClient: values['limits.dns_max_conns_per_client'],
      rpcMaxConnsPerClient: values['limits.rpc_max_conns_per_client'],
    },
  };
}

function trimDots(domain: string): string {
  return domain.replace(/^\.+|\.+$/g, '').toLowerCase();
}
