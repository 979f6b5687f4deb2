import type { Definition } from './definition.ts';
import type { JoinSource } from './join-sources.ts';
import type { AuditSink } from './keys/audit.ts';
import type { Values } from './keys/table.ts';

/** The configuration as the rest of the process sees it: merged, validated, frozen. Times are milliseconds. */

export interface RuntimeConfig {
  readonly datacenter: string;
  /** Equals `datacenter` in the primary. */
  readonly primaryDatacenter: string;
  readonly nodeName: string;
  /** A UUID; '' lets the daemon make one and keep it in the data directory. */
  readonly nodeId: string;
  readonly nodeMeta: Readonly<Record<string, string>>;
  /** '' with `devMode`: nothing is kept. */
  readonly dataDir: string;
  readonly devMode: boolean;
  readonly server: boolean;

  /** Literal IP that servers, agents and datacenters connect to; may be 0.0.0.0 or ::. */
  readonly bindAddr: string;
  /** Literal IP that other nodes of the datacenter reach this one by. */
  readonly advertiseAddr: string;
  /** The same for other datacenters. */
  readonly advertiseAddrWan: string;
  /** `lan`, `lan_ipv4`, `wan`, `wan_ipv4` (or `_ipv6`), and what `tagged_addresses` adds. */
  readonly taggedAddresses: Readonly<Record<string, string>>;
  /** Where each listener binds: one entry an address, none when the listener is off. */
  readonly listeners: ListenerConfig;
  readonly ports: PortsConfig;
  /** Certificates of the server ports, of the HTTPS listener and of xDS over TLS. */
  readonly tls: TlsConfig;
  /** File with an invitation; '' where there is none. */
  readonly joinInvite: string;

  readonly retryJoin: readonly string[];
  readonly retryJoinWan: readonly string[];
  /** What `retry_join` names instead of addresses. */
  readonly joinSources: readonly JoinSource[];
  readonly joinSourcesWan: readonly JoinSource[];
  readonly retryIntervalMs: number;
  /** 0 tries for ever. */
  readonly retryMax: number;
  /** Joined once at the start; a failure ends the process. */
  readonly startJoin: readonly string[];
  readonly translateWanAddrs: boolean;
  readonly leaveOnTerminate: boolean;
  readonly skipLeaveOnInterrupt: boolean;
  readonly nodeTimeoutMs: number;
  readonly reconnectTimeoutMs: number;

  readonly storage: StorageConfig;
  readonly log: LogConfig;
  readonly acl: AclConfig;
  /** Where no intention says otherwise. */
  readonly defaultIntentionPolicy: AclDefaultPolicy;
  /** Reload when a file has changed. */
  readonly autoReload: boolean;
  /** Where changes are put on record; none when that is off. */
  readonly auditSinks: readonly AuditSink[];
  readonly connect: ConnectConfigSection;
  readonly dns: DnsConfig;
  readonly http: HttpConfig;
  readonly limits: LimitsConfig;

  readonly defaultQueryTimeMs: number;
  readonly maxQueryTimeMs: number;
  readonly checkUpdateIntervalMs: number;
  readonly checkOutputMaxSize: number;
  readonly watches: readonly Readonly<Record<string, unknown>>[];
  /** Commands of checks from anywhere are run. */
  readonly scriptChecks: boolean;
  /** Commands of checks in files are run. */
  readonly localScriptChecks: boolean;
  readonly checkAllowRedirectHosts: boolean;
  readonly checkAllowLinkLocal: boolean;
  readonly discardCheckOutput: boolean;

  /** Definitions from the files, in the shape that /v1/agent/service/register takes. */
  readonly services: readonly Definition[];
  /** Definitions from the files, in the shape that /v1/agent/check/register takes. */
  readonly checks: readonly Definition[];
  /** `config_entries.bootstrap`: written by the primary when they do not exist yet. */
  readonly bootstrapEntries: readonly Definition[];
}

export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

export interface ListenerConfig {
  readonly http: readonly ListenAddress[];
  readonly https: readonly ListenAddress[];
  readonly dns: readonly ListenAddress[];
  readonly grpc: readonly ListenAddress[];
  readonly grpcTls: readonly ListenAddress[];
  /** Server to server and agent to server; only when `server`. */
  readonly server: readonly ListenAddress[];
  /** What `retry_join` names. */
  readonly serfLan: readonly ListenAddress[];
  /** What `retry_join_wan` names; only when `server`. */
  readonly serfWan: readonly ListenAddress[];
}

/** -1 is off, 0 lets the system choose. */
export interface PortsConfig {
  readonly http: number;
  readonly https: number;
  readonly dns: number;
  readonly grpc: number;
  readonly grpcTls: number;
  readonly server: number;
  readonly serfLan: number;
  readonly serfWan: number;
  readonly sidecarMinPort: number;
  readonly sidecarMaxPort: number;
  readonly exposeMinPort: number;
  readonly exposeMaxPort: number;
}

export interface TlsConfig {
  /** Of the server ports. */
  readonly rpc: RpcTls;
  readonly https: TlsSection;
  readonly grpc: TlsSection;
}

/** Paths of PEM files; '' where not given. */
export interface TlsFiles {
  readonly caFile: string;
  readonly caPath: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface TlsSection extends TlsFiles {
  readonly verifyIncoming: boolean;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** In the form that Node takes; '' takes its own. */
  readonly ciphers: string;
}

/** What is asked of the other side of a connection between servers, or between agents and servers. */
export interface RpcVerification {
  readonly verifyIncoming: boolean;
  readonly verifyOutgoing: boolean;
  readonly verifyServerHostname: boolean;
}

/** Its own `verify` fields count for this machine. */
export interface RpcTls extends TlsSection, RpcVerification {
  /** What counts for other machines. */
  readonly elsewhere: RpcVerification;
  /** Plain text is for other machines too. */
  readonly allowPlaintext: boolean;
  /** No files: certificates come from this datacenter's own authority. */
  readonly managed: boolean;
  /** Life of a certificate that it makes. */
  readonly managedCertMs: number;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';

export interface LogConfig {
  readonly level: LogLevel;
  readonly json: boolean;
  /** '' writes to standard error only. */
  readonly file: string;
}

export interface StorageConfig {
  readonly engine: 'embedded' | 'etcd';
  readonly etcd: {
    readonly endpoints: readonly string[];
    /** Paths of PEM files; '' where not given. */
    readonly caFile: string;
    readonly certFile: string;
    readonly keyFile: string;
    readonly username: string;
    /** A secret. Never logged. */
    readonly password: string;
    readonly prefix: string;
    /** 0 leaves compaction to etcd. */
    readonly compactionIntervalMs: number;
  };
}

export type AclDefaultPolicy = 'allow' | 'deny';
export type AclDownPolicy = 'allow' | 'deny' | 'extend-cache' | 'async-cache';

export interface AclConfig {
  readonly enabled: boolean;
  readonly defaultPolicy: AclDefaultPolicy;
  readonly downPolicy: AclDownPolicy;
  readonly tokenTtlMs: number;
  readonly enableKeyListPolicy: boolean;
  readonly enableTokenPersistence: boolean;
  readonly enableTokenReplication: boolean;
  /** Secrets; '' where not given. Never logged. */
  readonly tokens: {
    readonly master: string;
    readonly agent: string;
    readonly agentMaster: string;
    readonly default: string;
    readonly replication: string;
    readonly dns: string;
    readonly fileRegistration: string;
  };
}

export interface ConnectConfigSection {
  readonly enabled: boolean;
  readonly caProvider: string;
  /** As the provider reads it, in the API's names (`LeafCertTTL`, `RotationPeriod`, …); its rules hold. */
  readonly caConfig: Readonly<Record<string, unknown>>;
  /** '' keeps CA private keys unencrypted at rest. */
  readonly caKeyEncryptionFile: string;
  /** How long a rotation waits for a holder that does not confirm the new root. */
  readonly rotationHoldMs: number;
}

export interface DnsConfig {
  /** Without dots at the ends. */
  readonly domain: string;
  readonly altDomain: string;
  readonly recursors: readonly string[];
  readonly allowStale: boolean;
  readonly maxStaleMs: number;
  readonly nodeTtlMs: number;
  /** By service name; '*' is any. */
  readonly serviceTtlMs: Readonly<Record<string, number>>;
  readonly onlyPassing: boolean;
  readonly enableTruncate: boolean;
  readonly udpAnswerLimit: number;
  readonly udpMaxSize: number;
  /** UDP answers to a source network within a second; 0 is without limit. */
  readonly rateLimit: number;
  readonly aRecordLimit: number;
  readonly disableCompression: boolean;
  readonly nodeMetaTxt: boolean;
  readonly recursorTimeoutMs: number;
  readonly recursorStrategy: 'sequential' | 'random';
  readonly soa: {
    readonly refresh: number;
    readonly retry: number;
    readonly expire: number;
    readonly minTtl: number;
  };
}

export interface HttpConfig {
  readonly responseHeaders: Readonly<Record<string, string>>;
  /** Path prefixes that are refused with 403. */
  readonly blockEndpoints: readonly string[];
  /** CIDRs that may write; empty is everyone. */
  readonly allowWriteHttpFrom: readonly string[];
  /** Names in `Host` beside those that the agent has by itself. */
  readonly allowHosts: readonly string[];
  /** Origins of pages that may write. */
  readonly allowOrigins: readonly string[];
  readonly maxHeaderBytes: number;
  readonly useCache: boolean;
}

export interface LimitsConfig {
  /** Sockets that one client address may hold open at the HTTP listeners; 0 is without limit. */
  readonly httpMaxConnsPerClient: number;
  /** Blocking queries and streams of one client address; 0 is without limit. */
  readonly httpMaxWatchersPerClient: number;
  readonly httpMaxRequestsInFlight: number;
  readonly httpMaxBodyBytes: number;
  readonly kvMaxValueBytes: number;
  readonly txnMaxBytes: number;
  readonly sessionTtlMinMs: number;
  readonly httpHeaderTimeoutMs: number;
  readonly httpRequestTimeoutMs: number;
  readonly httpIdleTimeoutMs: number;
  readonly httpWriteTimeoutMs: number;
  readonly httpsHandshakeTimeoutMs: number;
  readonly rpcHandshakeTimeoutMs: number;
  /** Sockets that one client address may hold open at the server ports; 0 is without limit. */
  readonly dnsMaxConnsPerClient: number;
  readonly rpcMaxConnsPerClient: number;
}

/** What a caller gives to `loadConfig`. */
export interface LoadInput {
  /** By flag name without dashes, as typed on the command line; repeated flags give several values. */
  readonly flags: Readonly<Record<string, readonly string[]>>;
  /** `-config-file` and `-config-dir`, in the order given. */
  readonly sources: readonly ConfigSource[];
  /** `-hcl`: fragments in HCL, which count over the files. */
  readonly fragments?: readonly string[];
  readonly dev: boolean;
  /** `auto` takes the format from the file's extension. */
  readonly format?: 'auto' | 'hcl' | 'json';
  /** Unknown keys are warnings: for files that a newer Consul wrote. */
  readonly ignoreUnknownKeys?: boolean;
  /** The files are all there is (`validate`): nothing that was registered by the API is counted on. */
  readonly onlyFiles?: boolean;
}

export interface ConfigSource {
  readonly kind: 'file' | 'dir' | 'either';
  readonly path: string;
}

/** What loading needs from the machine. */
export interface ConfigDeps {
  /** Throws as node:fs does. */
  readFile(path: string): string;
  /** Names of the files in a directory (no directories among them); `undefined` when `path` is a file. */
  listDir(path: string): readonly string[] | undefined;
  hostname(): string;
  interfaces(): readonly InterfaceAddress[];
}

export interface InterfaceAddress {
  readonly name: string;
  readonly address: string;
  readonly family: 4 | 6;
  readonly internal: boolean;
  /** Length of the network's prefix in bits; absent: the whole address. */
  readonly prefix?: number;
  /** Flags of the interface, as Linux has them; absent: up, and loopback for what is internal. */
  readonly flags?: number;
  /** The default route leads over the interface. */
  readonly isDefault?: boolean;
}

export interface LoadedConfig {
  readonly config: RuntimeConfig;
  /** Sentences for the log, one each. */
  readonly warnings: readonly string[];
  /** Keys of Consul's that were given, are not read here, and lose nothing; sorted. */
  readonly noEffect: readonly string[];
  /** The value of every key before addresses were picked; what `diffReload` compares. */
  readonly values: Values;
}

/** What a reload would do. Names are keys as written in files (`log_level`, `ports.http`). */
export interface ReloadDiff {
  /** Changed and taken over at once. */
  readonly reloadable: readonly string[];
  /** Changed, but only a restart takes them over. */
  readonly needsRestart: readonly string[];
}
