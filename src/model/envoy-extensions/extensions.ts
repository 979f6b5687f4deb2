import { IsthmusError } from '../../lib/errors.ts';
import type { TextMatch } from '../layer7/match.ts';
import { foldName } from '../names.ts';
import { Arguments } from './arguments.ts';

/** `EnvoyExtensions` of `proxy-defaults` and `service-defaults`: what users add to what Envoys are given. */

export type Direction = 'inbound' | 'outbound';

/** A service that an extension calls: one of the proxy's upstreams, or a program beside it. */
export interface ExtensionTarget {
  readonly at: { readonly service: string } | { readonly host: string; readonly port: number };
  readonly timeoutMs: number | undefined;
}

export interface GrpcTarget extends ExtensionTarget {
  readonly authority: string;
  readonly metadata: readonly (readonly [name: string, value: string])[];
}

export interface LuaExtension {
  readonly type: 'lua';
  readonly direction: Direction;
  readonly script: string;
}

export interface ExtAuthzExtension {
  readonly type: 'ext-authz';
  readonly insert: InsertOptions | undefined;
  readonly service: { readonly grpc: GrpcTarget } | { readonly http: HttpAuthorization };
  readonly statPrefix: string;
  readonly labelsKey: string;
  readonly clearRouteCache: boolean;
  readonly peerCertificate: boolean;
  readonly metadataNamespaces: readonly string[];
  readonly statusOnError: number | undefined;
  readonly body: { readonly maxBytes: number; readonly partial: boolean; readonly asBytes: boolean } | undefined;
}

export interface HttpAuthorization extends ExtensionTarget {
  readonly pathPrefix: string;
  readonly requestHeaders: readonly TextMatch[];
  readonly headersToAdd: readonly (readonly [name: string, value: string])[];
  readonly upstreamHeaders: readonly TextMatch[];
  readonly upstreamHeadersToAppend: readonly TextMatch[];
  readonly clientHeaders: readonly TextMatch[];
  readonly clientHeadersOnSuccess: readonly TextMatch[];
  readonly metadataFromHeaders: readonly TextMatch[];
}

export interface InsertOptions {
  readonly location: (typeof LOCATIONS)[number];
  readonly filter: string;
}

export interface OtelExtension {
  readonly type: 'otel-access-logging';
  /** Absent: both. */
  readonly direction: Direction | undefined;
  readonly logName: string;
  readonly grpc: GrpcTarget;
  readonly flushMs: number | undefined;
  readonly bufferBytes: number | undefined;
  readonly filterState: readonly string[];
  readonly body: unknown;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resourceAttributes: Readonly<Record<string, unknown>>;
}

export interface PropertyOverrideExtension {
  readonly type: 'property-override';
  readonly patches: readonly Patch[];
}

export interface Patch {
  readonly resource: 'cluster' | 'cluster-load-assignment' | 'listener' | 'route';
  readonly direction: Direction;
  /** Of upstreams; empty: all. */
  readonly services: readonly string[];
  readonly path: readonly string[];
  /** Absent: the field is removed. */
  readonly value?: unknown;
}

export interface WasmExtension {
  readonly type: 'wasm';
  readonly protocol: 'tcp' | 'http';
  readonly direction: Direction;
  readonly name: string;
  readonly rootId: string;
  readonly vmId: string;
  readonly runtime: string;
  readonly code:
    | { readonly file: string }
    | { readonly service: string; readonly uri: string; readonly sha256: string; readonly timeoutMs: number };
  readonly retries: number | undefined;
  readonly configuration: string | undefined;
  readonly vmConfiguration: string | undefined;
  readonly hostEnvironment: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly capabilities: readonly string[];
}

export type EnvoyExtension = {
  /** `Name` of it in the entry. */
  readonly name: string;
  /** What it is added to is not served without it. */
  readonly required: boolean;
} & (LuaExtension | ExtAuthzExtension | OtelExtension | PropertyOverrideExtension | WasmExtension);

export interface ExtensionFields {
  readonly Name?: string;
  readonly Required?: boolean;
  readonly Arguments?: unknown;
}

const BUILT_IN: Readonly<Record<string, (args: Arguments) => unknown>> = {
  'builtin/lua': lua,
  'builtin/ext-authz': extAuthz,
  'builtin/otel-access-logging': otel,
  'builtin/property-override': propertyOverride,
  'builtin/wasm': wasm,
};

/** Of Consul, and not offered here. */
const NOT_OFFERED: Readonly<Record<string, string>> = {
  'builtin/aws/lambda': 'it stands in for a service behind a terminating gateway, which is not offered yet',
  'builtin/http/localratelimit': 'use RateLimits of service-defaults',
};

/** Throws `rejected`, with the argument that is wrong. @param where names it in the text */
export function compileExtension(
  { Name = '', Required, Arguments: given }: ExtensionFields,
  where: string,
): EnvoyExtension {
  const rejected = (why: string): IsthmusError => new IsthmusError('rejected', `invalid ${where}: ${why}`);
  if (Name === '') throw rejected('Name is required');
  const notOffered = NOT_OFFERED[Name];
  if (notOffered !== undefined) throw rejected(`${Name} is not offered: ${notOffered}`);
  const compile = BUILT_IN[Name];
  if (compile === undefined) throw rejected(`Name ${JSON.stringify(Name)} is not a built-in extension`);
  const args = new Arguments(`${where}.Arguments`, given ?? {});
  args.oneOf('ProxyType', ['connect-proxy'], 'connect-proxy');
  const made = compile(args) as object;
  args.done();
  return { ...made, name: Name, required: Required === true } as EnvoyExtension;
}

const DIRECTIONS = ['inbound', 'outbound'] as const;

function lua(args: Arguments): LuaExtension {
  // Documents and code of Consul name it differently.
  const key = args.has('Listener') ? 'Listener' : 'ListenerType';
  return { type: 'lua', direction: args.oneOf(key, DIRECTIONS), script: args.required('Script') };
}

const LOCATIONS = [
  'First',
  'BeforeFirstMatch',
  'AfterFirstMatch',
  'BeforeLastMatch',
  'AfterLastMatch',
  'Last',
] as const;

function extAuthz(args: Arguments): ExtAuthzExtension {
  args.oneOf('ListenerType', ['inbound'], 'inbound');
  const insert = args.object('InsertOptions');
  const config = required(args, 'Config');
  const grpc = config.object('GrpcService');
  const http = config.object('HttpService');
  if ((grpc === undefined) === (http === undefined))
    throw args.wrong('Config', 'must have exactly one of GrpcService and HttpService');
  const body = config.object('WithRequestBody');
  config.oneOf('TransportApiVersion', ['V3', 'AUTO'], 'V3');
  return {
    type: 'ext-authz',
    insert: insert?.text('Location') === undefined ? undefined : insertOptions(insert),
    service: grpc === undefined ? { http: httpAuthorization(http as Arguments) } : { grpc: grpcTarget(grpc) },
    statPrefix: config.text('StatPrefix') ?? 'response',
    labelsKey: config.text('BootstrapMetadataLabelsKey') ?? '',
    clearRouteCache: config.flag('ClearRouteCache') === true,
    peerCertificate: config.flag('IncludePeerCertificate') === true,
    metadataNamespaces: config.texts('MetadataContextNamespaces'),
    statusOnError: config.count('StatusOnError'),
    body: body && {
      maxBytes: body.count('MaxRequestBytes') ?? 0,
      partial: body.flag('AllowPartialMessage') === true,
      asBytes: body.flag('PackAsBytes') === true,
    },
  };
}

function insertOptions(insert: Arguments): InsertOptions {
  const location = insert.oneOf('Location', LOCATIONS);
  const filter = insert.text('FilterName') ?? '';
  if (filter === '' && location.includes('Match')) throw insert.wrong('FilterName', `is missing: ${location} needs it`);
  return { location, filter };
}

function httpAuthorization(http: Arguments): HttpAuthorization {
  const request = http.object('AuthorizationRequest');
  const response = http.object('AuthorizationResponse');
  return {
    ...target(http),
    pathPrefix: http.text('PathPrefix') ?? '',
    requestHeaders: patterns(request, 'AllowedHeaders'),
    headersToAdd: pairs(request, 'HeadersToAdd'),
    upstreamHeaders: patterns(response, 'AllowedUpstreamHeaders'),
    upstreamHeadersToAppend: patterns(response, 'AllowedUpstreamHeadersToAppend'),
    clientHeaders: patterns(response, 'AllowedClientHeaders'),
    clientHeadersOnSuccess: patterns(response, 'AllowedClientHeadersOnSuccess'),
    metadataFromHeaders: patterns(response, 'DynamicMetadataFromHeaders'),
  };
}

function otel(args: Arguments): OtelExtension {
  const direction = args.text('ListenerType') === undefined ? undefined : args.oneOf('ListenerType', DIRECTIONS);
  const config = required(args, 'Config');
  // Documents of Consul have these in Config, its code one level deeper.
  const common = config.object('CommonConfig') ?? config;
  common.object('RetryPolicy')?.object('RetryBackOff');
  const grpc = required(common, 'GrpcService');
  return {
    type: 'otel-access-logging',
    direction,
    logName: common.text('LogName') ?? '',
    grpc: grpcTarget(grpc),
    flushMs: common.duration('BufferFlushInterval'),
    bufferBytes: common.count('BufferSizeBytes'),
    filterState: common.texts('FilterStateObjectsToLog'),
    body: config.any('Body'),
    attributes: config.map('Attributes'),
    resourceAttributes: config.map('ResourceAttributes'),
  };
}

function propertyOverride(args: Arguments): PropertyOverrideExtension {
  args.flag('Debug');
  const patches = args.objects('Patches').map(patch);
  if (patches.length === 0) throw args.wrong('Patches', 'must have at least one');
  return { type: 'property-override', patches };
}

function patch(given: Arguments): Patch {
  const filter = required(given, 'ResourceFilter');
  const resource = filter.oneOf('ResourceType', ['cluster', 'cluster-load-assignment', 'listener', 'route']);
  const direction = filter.oneOf('TrafficDirection', DIRECTIONS);
  const services = filter.objects('Services').map((service) => {
    for (const name of ['Namespace', 'Partition']) service.oneOf(name, ['default'], 'default');
    return foldName(service.required('Name'));
  });
  if (services.length > 0 && direction !== 'outbound')
    throw filter.wrong('Services', 'may only be given where TrafficDirection is outbound');
  const path = given.required('Path');
  if (!/^(\/[a-z0-9_]+)+$/i.test(path)) throw given.wrong('Path', 'must be like /outlier_detection/interval');
  const op = given.oneOf('Op', ['add', 'remove']);
  const value = given.any('Value');
  if (op === 'remove' && value !== undefined) throw given.wrong('Value', 'is not taken with the operation remove');
  if (op === 'add' && value === undefined) throw given.wrong('Value', 'is missing');
  return { resource, direction, services, path: path.slice(1).split('/'), ...(op === 'add' ? { value } : {}) };
}

const RUNTIMES = ['v8', 'wasmtime', 'wamr', 'wavm'] as const;

function wasm(args: Arguments): WasmExtension {
  const plugin = required(args, 'PluginConfig');
  const vm = required(plugin, 'VmConfig');
  const code = required(vm, 'Code');
  const local = code.object('Local')?.text('Filename');
  const remote = code.object('Remote');
  if ((local === undefined) === (remote === undefined))
    throw vm.wrong('Code', 'must have exactly one of Local and Remote');
  const environment = vm.object('EnvironmentVariables');
  const retry = remote?.object('RetryPolicy');
  retry?.object('RetryBackOff')?.text('BaseInterval');
  retry?.object('RetryBackOff')?.text('MaxInterval');
  return {
    type: 'wasm',
    protocol: args.oneOf('Protocol', ['tcp', 'http']),
    direction: args.oneOf('ListenerType', DIRECTIONS),
    name: plugin.text('Name') ?? '',
    rootId: plugin.text('RootID') ?? '',
    vmId: vm.text('VmID') ?? '',
    runtime: vm.oneOf('Runtime', RUNTIMES, 'v8'),
    code: remote === undefined ? { file: local ?? '' } : remoteCode(remote),
    retries: retry?.count('NumRetries'),
    configuration: plugin.text('Configuration'),
    vmConfiguration: vm.text('Configuration'),
    hostEnvironment: environment?.texts('HostEnvKeys') ?? [],
    environment: Object.fromEntries(
      Object.entries(environment?.map('KeyValues') ?? {}).map(([name, value]) => [name, String(value)]),
    ),
    capabilities: Object.keys(
      plugin.object('CapabilityRestrictionConfiguration')?.map('AllowedCapabilities') ?? {},
    ).sort(),
  };
}

function remoteCode(remote: Arguments): WasmExtension['code'] {
  const uri = required(remote, 'HttpURI');
  const service = required(uri, 'Service');
  for (const name of ['Namespace', 'Partition']) service.oneOf(name, ['default'], 'default');
  return {
    service: foldName(service.required('Name')),
    uri: uri.required('URI'),
    sha256: remote.required('SHA256'),
    timeoutMs: uri.duration('Timeout') ?? 1_000,
  };
}

function grpcTarget(grpc: Arguments): GrpcTarget {
  return { ...target(grpc), authority: grpc.text('Authority') ?? '', metadata: pairs(grpc, 'InitialMetadata') };
}

const LOCAL_HOSTS: Readonly<Record<string, string>> = {
  '': '127.0.0.1',
  localhost: '127.0.0.1',
  '127.0.0.1': '127.0.0.1',
  '::1': '::1',
  '[::1]': '::1',
};

function target(of: Arguments): ExtensionTarget {
  const given = required(of, 'Target');
  const service = given.object('Service');
  const uri = given.text('URI');
  if ((service === undefined) === (uri === undefined))
    throw of.wrong('Target', 'must have exactly one of Service and URI');
  const timeoutMs = given.duration('Timeout');
  if (service !== undefined) {
    for (const name of ['Namespace', 'Partition']) service.oneOf(name, ['default'], 'default');
    return { at: { service: foldName(service.required('Name')) }, timeoutMs };
  }
  const [, host = '', port = ''] = /^(?:[a-z]+:\/\/)?(.*):(\d{1,5})$/i.exec(uri ?? '') ?? [];
  const address = LOCAL_HOSTS[host];
  if (port === '' || Number(port) > 65_535 || address === undefined)
    throw given.wrong('URI', 'must be localhost:PORT, 127.0.0.1:PORT or [::1]:PORT');
  return { at: { host: address, port: Number(port) }, timeoutMs };
}

function pairs(of: Arguments | undefined, name: string): readonly (readonly [string, string])[] {
  return (of?.objects(name) ?? []).map((each) => [each.required('Key'), each.text('Value') ?? '']);
}

const PATTERNS = {
  Exact: 'exact',
  Prefix: 'prefix',
  Suffix: 'suffix',
  Contains: 'contains',
  SafeRegex: 'regex',
} as const;

function patterns(of: Arguments | undefined, name: string): readonly TextMatch[] {
  return (of?.objects(name) ?? []).map((each) => {
    const ignoreCase = each.flag('IgnoreCase') === true;
    const found = Object.entries(PATTERNS).flatMap(([key, type]): TextMatch[] => {
      const value = each.text(key);
      return value === undefined ? [] : [{ type, value, ...(ignoreCase ? { ignoreCase } : {}) }];
    });
    const [only] = found;
    if (only !== undefined && found.length === 1) return only;
    throw of?.wrong(name, `each must have one of ${Object.keys(PATTERNS).join(', ')}`) as IsthmusError;
  });
}

function required(of: Arguments, name: string): Arguments {
  const found = of.object(name);
  if (found === undefined) throw of.wrong(name, 'is missing');
  return found;
}
