import { snakeCase } from '../../lib/snake-case.ts';
import {
  asAny,
  asBool,
  asDuration,
  asInt,
  asList,
  asMap,
  asString,
  asStruct,
  type Decoded,
  type Decoder,
} from '../go-decode.ts';

/**
 * The fields of services and checks, once: what a request's body holds (`decoder`, under the API's name, which is the
 * name in these tables) and what a configuration file does (`type`, under the same name in snake case). The decoders of
 * agents and of the catalog, and what files may say, are all made from here.
 */

/** How a file writes a value. */
export type FieldType =
  | 'text'
  | 'texts'
  | 'toggle'
  | 'number'
  | 'port'
  | 'tenancy'
  | 'duration'
  | 'textMap'
  | 'headers'
  | 'opaque'
  | 'block'
  | 'blocks'
  | 'blockMap';

export interface Field<T = unknown> {
  readonly decoder: Decoder<T>;
  readonly type: FieldType;
  /** Names in files, where they are not the API's in snake case; none for what only requests have. */
  readonly files?: readonly string[];
  /** For a block that may be repeated: the API's field for several of them. */
  readonly several?: string;
  /** For blocks: the fields inside. */
  readonly fields?: () => Fields;
}

export type Fields = Readonly<Record<string, Field>>;

/** The decoders of a table, by the API's names. */
export type Decoders<F extends Fields> = { readonly [N in keyof F]: F[N]['decoder'] };

function decodersOf<F extends Fields>(fields: F): Decoders<F> {
  return Object.fromEntries(Object.entries(fields).map(([name, { decoder }]) => [name, decoder])) as Decoders<F>;
}

/** The names in snake case of a table, for a decoder that takes both. */
function snakeAliases(fields: Fields): Record<string, string> {
  return Object.fromEntries(Object.keys(fields).map((name) => [snakeCase(name), name]));
}

/** A structure whose requests may hold names in snake case too. */
function structOf<F extends Fields>(
  goName: string,
  fields: F,
  more: Readonly<Record<string, string>> = {},
): Decoder<{ readonly [N in keyof F]?: Decoded<F[N]['decoder']> }> {
  return asStruct(goName, decodersOf(fields), { aliases: { ...snakeAliases(fields), ...more } }) as Decoder<{
    readonly [N in keyof F]?: Decoded<F[N]['decoder']>;
  }>;
}

/** '' counts as not given, as in configuration files. */
const asOptionalDuration: Decoder<number> = {
  decode: (value, where) => (value === '' ? undefined : asDuration.decode(value, where)),
};

const asOpaque: Decoder<Readonly<Record<string, unknown>>> = asMap(asAny, 'map[string]interface {}');

const text = { decoder: asString, type: 'text' } as const;
const texts = { decoder: asList(asString), type: 'texts' } as const;
const toggle = { decoder: asBool, type: 'toggle' } as const;
const number = { decoder: asInt, type: 'number' } as const;
const port = { decoder: asInt, type: 'port' } as const;
/** The name of a namespace, partition or peer: there is one of each here. */
const tenancy = { decoder: asString, type: 'tenancy' } as const;
/** As {@link tenancy}, and kept nowhere. */
const unkept = { decoder: { decode: () => undefined } as Decoder<undefined>, type: 'tenancy' } as const;
const duration = { decoder: asOptionalDuration, type: 'duration' } as const;
const opaque = { decoder: asOpaque, type: 'opaque' } as const;
/** Of requests alone. */
const hidden = { files: [] } as const;

const ADDRESS_FIELDS = { Address: text, Port: port } as const;
const WEIGHTS_FIELDS = { Passing: number, Warning: number } as const;
const MESH_GATEWAY_FIELDS = { Mode: text } as const;
const EXPOSED_PATH_FIELDS = { Path: text, ListenerPort: port, LocalPathPort: port, Protocol: text } as const;

/** Kept as it comes; a file is checked as far in as its fields are known. */
function opaqueBlock(fields: () => Fields): Field<Readonly<Record<string, unknown>>> {
  return { decoder: asOpaque, type: 'block', fields };
}

const MESH_GATEWAY = opaqueBlock(() => MESH_GATEWAY_FIELDS);
const EXPOSE = opaqueBlock(() => ({
  Checks: toggle,
  Paths: { ...opaque, type: 'blocks', fields: () => EXPOSED_PATH_FIELDS },
}));

const LOCALITY_FIELDS = { Region: text, Zone: text } as const;
const PORT_FIELDS = { Name: text, Port: port, Default: toggle } as const;

/** Where a node or an instance stands. */
export const LOCALITY = structOf('structs.Locality', LOCALITY_FIELDS);

/** Several ports, one of which is the default. */
const PORTS = {
  decoder: asList(structOf('structs.ServicePort', PORT_FIELDS), 'structs.ServicePorts'),
  type: 'blocks',
  fields: (): Fields => PORT_FIELDS,
} as const;

const ENVOY_EXTENSION_FIELDS = {
  Name: text,
  Required: toggle,
  Arguments: opaque,
  ConsulVersion: text,
  EnvoyVersion: text,
} as const;

const TRANSPARENT_FIELDS = { OutboundListenerPort: port, DialedDirectly: toggle } as const;

const ACCESS_LOGS_FIELDS = {
  Enabled: toggle,
  DisableListenerLogs: toggle,
  Type: text,
  Path: text,
  JSONFormat: text,
  TextFormat: text,
} as const;

const UPSTREAM_FIELDS = {
  DestinationType: text,
  DestinationNamespace: tenancy,
  DestinationPartition: unkept,
  DestinationPeer: unkept,
  DestinationName: text,
  DestinationPort: text,
  Datacenter: text,
  LocalBindAddress: text,
  LocalBindPort: port,
  LocalBindSocketPath: text,
  LocalBindSocketMode: text,
  Config: opaque,
  MeshGateway: MESH_GATEWAY,
  CentrallyConfigured: { ...toggle, ...hidden },
} as const;

const PROXY_FIELDS = {
  DestinationServiceName: text,
  DestinationServiceID: text,
  LocalServiceAddress: text,
  LocalServicePort: port,
  LocalServicePorts: PORTS,
  LocalServiceSocketPath: text,
  Mode: text,
  TransparentProxy: {
    decoder: structOf('structs.TransparentProxyConfig', TRANSPARENT_FIELDS),
    type: 'block',
    fields: (): Fields => TRANSPARENT_FIELDS,
  },
  EnvoyExtensions: {
    decoder: asList(structOf('structs.EnvoyExtension', ENVOY_EXTENSION_FIELDS), 'structs.EnvoyExtensions'),
    type: 'blocks',
    fields: (): Fields => ENVOY_EXTENSION_FIELDS,
  },
  AccessLogs: {
    decoder: structOf('structs.AccessLogsConfig', ACCESS_LOGS_FIELDS),
    type: 'block',
    fields: (): Fields => ACCESS_LOGS_FIELDS,
  },
  Config: opaque,
  Upstreams: {
    decoder: asList(structOf('structs.Upstream', UPSTREAM_FIELDS), 'structs.Upstreams'),
    type: 'blocks',
    fields: (): Fields => UPSTREAM_FIELDS,
  },
  MeshGateway: MESH_GATEWAY,
  Expose: EXPOSE,
} as const;

/** How a check is carried out. */
const CHECK_BASE = {
  Name: text,
  Status: text,
  Notes: text,
  Token: text,
  /** A line for a shell, which Consul took until 1.0; kept to say what takes its place. */
  Script: text,
  Args: { ...texts, files: ['args', 'script_args'] },
  ScriptArgs: { ...texts, ...hidden },
  HTTP: text,
  Header: { decoder: asMap(asList(asString), 'map[string][]string'), type: 'headers' },
  Method: text,
  Body: text,
  DisableRedirects: toggle,
  TCP: text,
  TCPUseTLS: toggle,
  UDP: text,
  Interval: duration,
  AliasNode: text,
  AliasService: text,
  DockerContainerID: text,
  Shell: text,
  GRPC: text,
  GRPCUseTLS: toggle,
  H2PING: text,
  H2PingUseTLS: toggle,
  OSService: text,
  TLSServerName: text,
  TLSSkipVerify: toggle,
  Timeout: duration,
  TTL: duration,
  SuccessBeforePassing: number,
  FailuresBeforeWarning: number,
  FailuresBeforeCritical: number,
  DeregisterCriticalServiceAfter: duration,
  OutputMaxSize: number,
  Namespace: tenancy,
  Partition: unkept,
} as const;

/** A check inside a service. */
const CHECK_TYPE_FIELDS = {
  CheckID: { ...text, files: ['id', 'check_id'] },
  ID: { ...text, ...hidden },
  ServiceID: text,
  ...CHECK_BASE,
} as const;

/** A check of its own. */
export const CHECK_FIELDS = {
  ID: { ...text, files: ['id', 'check_id'] },
  ServiceID: text,
  ...CHECK_BASE,
} as const;

export const CHECK_TYPE = structOf('structs.CheckType', CHECK_TYPE_FIELDS);
export const CHECK_DEFINITION = structOf('structs.CheckDefinition', CHECK_FIELDS, { check_id: 'ID', checkid: 'ID' });

/** What a service has wherever it is registered. */
const SERVICE_COMMON = {
  Kind: text,
  ID: text,
  Tags: texts,
  Address: text,
  TaggedAddresses: {
    decoder: asMap(structOf('structs.ServiceAddress', ADDRESS_FIELDS), 'map[string]structs.ServiceAddress'),
    type: 'blockMap',
    fields: (): Fields => ADDRESS_FIELDS,
  },
  Meta: { decoder: asMap(asString), type: 'textMap' },
  Port: port,
  Ports: PORTS,
  SocketPath: text,
  Locality: { decoder: LOCALITY, type: 'block', fields: (): Fields => LOCALITY_FIELDS },
  Weights: {
    decoder: structOf('structs.Weights', WEIGHTS_FIELDS),
    type: 'block',
    fields: (): Fields => WEIGHTS_FIELDS,
  },
  EnableTagOverride: toggle,
  Proxy: {
    decoder: structOf('structs.ConnectProxyConfig', PROXY_FIELDS),
    type: 'block',
    fields: (): Fields => PROXY_FIELDS,
  },
} as const;

/** With an agent. */
const SERVICE_BASE = {
  ...SERVICE_COMMON,
  Name: text,
  Namespace: tenancy,
  Partition: unkept,
  Check: { decoder: CHECK_TYPE, type: 'block', several: 'Checks', fields: (): Fields => CHECK_TYPE_FIELDS },
  Checks: {
    decoder: asList(CHECK_TYPE, 'structs.CheckTypes'),
    type: 'blocks',
    fields: (): Fields => CHECK_TYPE_FIELDS,
  },
  Token: text,
} as const;

/** What a sidecar inside a service has of `connect` is only looked at to refuse it. */
export const SIDECAR = structOf('structs.ServiceDefinition', { ...SERVICE_BASE, Connect: opaque });

const CONNECT_FIELDS = {
  Native: toggle,
  SidecarService: { decoder: SIDECAR, type: 'block', fields: (): Fields => SERVICE_FIELDS },
} as const;

export const SERVICE_FIELDS = {
  ...SERVICE_BASE,
  Connect: {
    decoder: structOf('structs.ServiceConnect', CONNECT_FIELDS),
    type: 'block',
    fields: (): Fields => CONNECT_FIELDS,
  },
} as const;

export const SERVICE_DEFINITION = structOf('structs.ServiceDefinition', SERVICE_FIELDS);

/** In the catalog: what an agent made of a definition, under the API's names alone. */
export const NODE_SERVICE = asStruct('structs.NodeService', {
  ...decodersOf(SERVICE_COMMON),
  Service: asString,
  Connect: asStruct('structs.ServiceConnect', { Native: asBool, SidecarService: asOpaque }),
  ContentHash: asString,
  Datacenter: asString,
  CreateIndex: asInt,
  ModifyIndex: asInt,
});
