/**
 * The fields of services and checks in configuration files, and how the HTTP API names them. A key of a file is matched
 * without its underscores and in any case, so `tls_skip_verify`, `tlsskipverify` and `TLSSkipVerify` are one.
 */

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

export interface Field {
  /** As files spell it. */
  readonly name: string;
  /** As the API spells it. */
  readonly api: string;
  readonly type: FieldType;
  /** For a block that may be repeated: the API's field for several of them. */
  readonly several?: string;
  /** For blocks: the fields inside. */
  readonly fields?: () => readonly Field[];
}

const field = (name: string, api: string, type: FieldType, fields?: () => readonly Field[]): Field =>
  fields === undefined ? { name, api, type } : { name, api, type, fields };

const MESH_GATEWAY: readonly Field[] = [field('mode', 'Mode', 'text')];

const EXPOSE: readonly Field[] = [
  field('checks', 'Checks', 'toggle'),
  field('paths', 'Paths', 'blocks', () => [
    field('path', 'Path', 'text'),
    field('listener_port', 'ListenerPort', 'port'),
    field('local_path_port', 'LocalPathPort', 'port'),
    field('protocol', 'Protocol', 'text'),
  ]),
];

const UPSTREAM: readonly Field[] = [
  field('destination_type', 'DestinationType', 'text'),
  field('destination_namespace', 'DestinationNamespace', 'tenancy'),
  field('destination_partition', 'DestinationPartition', 'tenancy'),
  field('destination_peer', 'DestinationPeer', 'tenancy'),
  field('destination_name', 'DestinationName', 'text'),
  field('datacenter', 'Datacenter', 'text'),
  field('local_bind_address', 'LocalBindAddress', 'text'),
  field('local_bind_port', 'LocalBindPort', 'port'),
  field('local_bind_socket_path', 'LocalBindSocketPath', 'text'),
  field('local_bind_socket_mode', 'LocalBindSocketMode', 'text'),
  field('config', 'Config', 'opaque'),
  field('mesh_gateway', 'MeshGateway', 'block', () => MESH_GATEWAY),
];

const PROXY: readonly Field[] = [
  field('destination_service_name', 'DestinationServiceName', 'text'),
  field('destination_service_id', 'DestinationServiceID', 'text'),
  field('local_service_address', 'LocalServiceAddress', 'text'),
  field('local_service_port', 'LocalServicePort', 'port'),
  field('config', 'Config', 'opaque'),
  field('upstreams', 'Upstreams', 'blocks', () => UPSTREAM),
  field('mesh_gateway', 'MeshGateway', 'block', () => MESH_GATEWAY),
  field('expose', 'Expose', 'block', () => EXPOSE),
];

const CHECK_COMMON: readonly Field[] = [
  field('name', 'Name', 'text'),
  field('notes', 'Notes', 'text'),
  field('token', 'Token', 'text'),
  field('status', 'Status', 'text'),
  field('args', 'Args', 'texts'),
  field('script_args', 'Args', 'texts'),
  field('http', 'HTTP', 'text'),
  field('header', 'Header', 'headers'),
  field('method', 'Method', 'text'),
  field('body', 'Body', 'text'),
  field('output_max_size', 'OutputMaxSize', 'number'),
  field('tcp', 'TCP', 'text'),
  field('interval', 'Interval', 'duration'),
  field('docker_container_id', 'DockerContainerID', 'text'),
  field('shell', 'Shell', 'text'),
  field('grpc', 'GRPC', 'text'),
  field('grpc_use_tls', 'GRPCUseTLS', 'toggle'),
  field('tls_server_name', 'TLSServerName', 'text'),
  field('tls_skip_verify', 'TLSSkipVerify', 'toggle'),
  field('alias_node', 'AliasNode', 'text'),
  field('alias_service', 'AliasService', 'text'),
  field('timeout', 'Timeout', 'duration'),
  field('ttl', 'TTL', 'duration'),
  field('success_before_passing', 'SuccessBeforePassing', 'number'),
  field('failures_before_critical', 'FailuresBeforeCritical', 'number'),
  field('deregister_critical_service_after', 'DeregisterCriticalServiceAfter', 'duration'),
  field('namespace', 'Namespace', 'tenancy'),
  field('partition', 'Partition', 'tenancy'),
];

/** A check of its own. */
export const CHECK_FIELDS: readonly Field[] = [
  field('id', 'ID', 'text'),
  field('check_id', 'ID', 'text'),
  field('service_id', 'ServiceID', 'text'),
  ...CHECK_COMMON,
];

/** A check inside a service. */
const SERVICE_CHECK: readonly Field[] = [
  field('id', 'CheckID', 'text'),
  field('check_id', 'CheckID', 'text'),
  field('service_id', 'ServiceID', 'text'),
  ...CHECK_COMMON,
];

const CONNECT: readonly Field[] = [
  field('native', 'Native', 'toggle'),
  field('sidecar_service', 'SidecarService', 'block', () => SERVICE_FIELDS),
];

export const SERVICE_FIELDS: readonly Field[] = [
  field('kind', 'Kind', 'text'),
  field('id', 'ID', 'text'),
  field('name', 'Name', 'text'),
  field('namespace', 'Namespace', 'tenancy'),
  field('partition', 'Partition', 'tenancy'),
  field('tags', 'Tags', 'texts'),
  field('address', 'Address', 'text'),
  field('tagged_addresses', 'TaggedAddresses', 'blockMap', () => [
    field('address', 'Address', 'text'),
    field('port', 'Port', 'port'),
  ]),
  field('meta', 'Meta', 'textMap'),
  field('port', 'Port', 'port'),
  { name: 'check', api: 'Check', type: 'block', several: 'Checks', fields: () => SERVICE_CHECK },
  field('checks', 'Checks', 'blocks', () => SERVICE_CHECK),
  field('token', 'Token', 'text'),
  field('weights', 'Weights', 'block', () => [
    field('passing', 'Passing', 'number'),
    field('warning', 'Warning', 'number'),
  ]),
  field('enable_tag_override', 'EnableTagOverride', 'toggle'),
  field('proxy', 'Proxy', 'block', () => PROXY),
  field('connect', 'Connect', 'block', () => CONNECT),
];
