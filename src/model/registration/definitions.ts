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
  TOP,
} from '../go-decode.ts';

/**
 * What callers give to register a service or a check with an agent, as the body of a request or in a configuration
 * file. Durations are milliseconds once decoded.
 */

const asOpaque: Decoder<Readonly<Record<string, unknown>>> = asMap(asAny, 'map[string]interface {}');

/** '' counts as not given, as in configuration files. */
const asOptionalDuration: Decoder<number> = {
  decode: (value, where) => (value === '' ? undefined : asDuration.decode(value, where)),
};

const CHECK_TYPE_FIELDS = {
  Name: asString,
  Status: asString,
  Notes: asString,
  Token: asString,
  Args: asList(asString),
  ScriptArgs: asList(asString),
  HTTP: asString,
  Header: asMap(asList(asString), 'map[string][]string'),
  Method: asString,
  Body: asString,
  TCP: asString,
  Interval: asOptionalDuration,
  AliasNode: asString,
  AliasService: asString,
  DockerContainerID: asString,
  Shell: asString,
  GRPC: asString,
  GRPCUseTLS: asBool,
  TLSServerName: asString,
  TLSSkipVerify: asBool,
  Timeout: asOptionalDuration,
  TTL: asOptionalDuration,
  SuccessBeforePassing: asInt,
  FailuresBeforeCritical: asInt,
  DeregisterCriticalServiceAfter: asOptionalDuration,
  OutputMaxSize: asInt,
  Namespace: asString,
};

/** Fields that files and older clients write with underscores. */
function aliases(...fields: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    fields.map((field) => [
      field
        .replace(/([a-z])([A-Z])/g, '$1_$2')
        .replace(/([A-Z]+)([A-Z][a-z])/g, '$1_$2')
        .toLowerCase(),
      field,
    ]),
  );
}

const CHECK_ALIASES = {
  ...aliases(
    'ScriptArgs',
    'AliasNode',
    'AliasService',
    'TLSServerName',
    'TLSSkipVerify',
    'SuccessBeforePassing',
    'FailuresBeforeCritical',
    'DeregisterCriticalServiceAfter',
    'OutputMaxSize',
    'ServiceID',
  ),
  docker_container_id: 'DockerContainerID',
  grpc_use_tls: 'GRPCUseTLS',
};

const CHECK_TYPE = asStruct(
  'structs.CheckType',
  { CheckID: asString, ID: asString, ServiceID: asString, ...CHECK_TYPE_FIELDS },
  { aliases: { ...CHECK_ALIASES, check_id: 'CheckID' } },
);

/** How a check is carried out; `CheckID` names it within its agent. */
export type CheckType = Decoded<typeof CHECK_TYPE>;

const CHECK_DEFINITION = asStruct(
  'structs.CheckDefinition',
  { ID: asString, ServiceID: asString, ...CHECK_TYPE_FIELDS },
  { aliases: { ...CHECK_ALIASES, check_id: 'ID', checkid: 'ID' } },
);

export type CheckDefinition = Decoded<typeof CHECK_DEFINITION>;

const UPSTREAM = asStruct(
  'structs.Upstream',
  {
    DestinationType: asString,
    DestinationNamespace: asString,
    DestinationName: asString,
    Datacenter: asString,
    LocalBindAddress: asString,
    LocalBindPort: asInt,
    LocalBindSocketPath: asString,
    LocalBindSocketMode: asString,
    Config: asOpaque,
    MeshGateway: asOpaque,
  },
  {
    aliases: {
      ...aliases('DestinationType', 'DestinationNamespace', 'DestinationName', 'LocalBindAddress', 'LocalBindPort'),
      ...aliases('MeshGateway', 'LocalBindSocketPath', 'LocalBindSocketMode'),
    },
  },
);

const PROXY = asStruct(
  'structs.ConnectProxyConfig',
  {
    DestinationServiceName: asString,
    DestinationServiceID: asString,
    LocalServiceAddress: asString,
    LocalServicePort: asInt,
    Config: asOpaque,
    Upstreams: asList(UPSTREAM, 'structs.Upstreams'),
    MeshGateway: asOpaque,
    Expose: asOpaque,
  },
  {
    aliases: aliases(
      'DestinationServiceName',
      'DestinationServiceID',
      'LocalServiceAddress',
      'LocalServicePort',
      'MeshGateway',
    ),
  },
);

const SERVICE_ADDRESS = asStruct('structs.ServiceAddress', { Address: asString, Port: asInt });

const SERVICE_FIELDS = {
  Kind: asString,
  ID: asString,
  Name: asString,
  Namespace: asString,
  Tags: asList(asString),
  Address: asString,
  TaggedAddresses: asMap(SERVICE_ADDRESS, 'map[string]structs.ServiceAddress'),
  Meta: asMap(asString),
  Port: asInt,
  Check: CHECK_TYPE,
  Checks: asList(CHECK_TYPE, 'structs.CheckTypes'),
  Weights: asStruct('structs.Weights', { Passing: asInt, Warning: asInt }),
  Token: asString,
  EnableTagOverride: asBool,
  Proxy: PROXY,
};

const SERVICE_OPTIONS = { aliases: aliases('TaggedAddresses', 'EnableTagOverride') };

/** A sidecar inside a service; what it has of `connect` is only looked at to refuse it. */
const SIDECAR = asStruct('structs.ServiceDefinition', { ...SERVICE_FIELDS, Connect: asOpaque }, SERVICE_OPTIONS);

export type SidecarDefinition = Decoded<typeof SIDECAR>;

const CONNECT = asStruct(
  'structs.ServiceConnect',
  { Native: asBool, SidecarService: SIDECAR },
  { aliases: aliases('SidecarService') },
);

const SERVICE_DEFINITION = asStruct(
  'structs.ServiceDefinition',
  { ...SERVICE_FIELDS, Connect: CONNECT },
  SERVICE_OPTIONS,
);

export type ServiceDefinition = Decoded<typeof SERVICE_DEFINITION>;

/** Who a registration came from: what files define goes when it is no longer in them. */
export type Source = 'api' | 'file';

/** Decoders of request bodies: the texts of their refusals are Consul's. */
export const serviceDefinition: Decoder<ServiceDefinition> = SERVICE_DEFINITION;
export const checkDefinition: Decoder<CheckDefinition> = CHECK_DEFINITION;

/** From a configuration file, where the loader has checked names and types. */
export function decodeServiceDefinition(value: unknown): ServiceDefinition {
  return SERVICE_DEFINITION.decode(value, TOP) ?? {};
}

export function decodeCheckDefinition(value: unknown): CheckDefinition {
  return CHECK_DEFINITION.decode(value, TOP) ?? {};
}
