import { create, type DescMessage, type JsonObject, type MessageShape } from '@bufbuild/protobuf';
import { type AccessLogs, jsonFormatOf } from '../../../model/access-logs.ts';
import {
  type AccessLog,
  AccessLogFilterSchema,
  AccessLogSchema,
} from '../gen/envoy/config/accesslog/v3/accesslog_pb.ts';
import {
  type SubstitutionFormatString,
  SubstitutionFormatStringSchema,
} from '../gen/envoy/config/core/v3/substitution_format_string_pb.ts';
import { FileAccessLogSchema } from '../gen/envoy/extensions/access_loggers/file/v3/file_pb.ts';
import {
  StderrAccessLogSchema,
  StdoutAccessLogSchema,
} from '../gen/envoy/extensions/access_loggers/stream/v3/stream_pb.ts';
import { pack } from '../resource.ts';

const REQUEST = (name: string): string => `%REQ(${name})%`;

/** What Consul writes of a connection or request when no format is given. */
const DEFAULT_FORMAT: JsonObject = {
  start_time: '%START_TIME%',
  route_name: '%ROUTE_NAME%',
  method: REQUEST(':METHOD'),
  path: REQUEST('X-ENVOY-ORIGINAL-PATH?:PATH'),
  protocol: '%PROTOCOL%',
  response_code: '%RESPONSE_CODE%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  x_forwarded_for: REQUEST('X-FORWARDED-FOR'),
  user_agent: REQUEST('USER-AGENT'),
  request_id: REQUEST('X-REQUEST-ID'),
  authority: REQUEST(':AUTHORITY'),
  upstream_host: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER%',
  upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
};

/** For a filter that serves connections or requests: a line about each. */
export function filterAccessLogs(logs: AccessLogs | undefined): AccessLog[] {
  return logs?.Enabled === true ? [logger(logs)] : [];
}

/** For a listener: a line about each connection that no filter chain took. */
export function listenerAccessLogs(logs: AccessLogs | undefined): AccessLog[] {
  if (logs?.Enabled !== true || logs.DisableListenerLogs === true) return [];
  const filter = create(AccessLogFilterSchema, {
    filterSpecifier: { case: 'responseFlagFilter', value: { flags: ['NR'] } },
  });
  return [{ ...logger(logs), filter }];
}

function logger(logs: AccessLogs): AccessLog {
  const format = formatOf(logs);
  const made = <D extends DescMessage>(name: string, schema: D, config: MessageShape<D>): AccessLog =>
    create(AccessLogSchema, { name, configType: { case: 'typedConfig', value: pack(schema, config) } });
  const accessLogFormat = { case: 'logFormat', value: format } as const;
  switch (logs.Type) {
    case 'file': {
      const { Path: path = '' } = logs;
      return made(
        'envoy.access_loggers.file',
        FileAccessLogSchema,
        create(FileAccessLogSchema, { path, accessLogFormat }),
      );
    }
    case 'stderr':
      return made(
        'envoy.access_loggers.stderr',
        StderrAccessLogSchema,
        create(StderrAccessLogSchema, { accessLogFormat }),
      );
    default:
      return made(
        'envoy.access_loggers.stdout',
        StdoutAccessLogSchema,
        create(StdoutAccessLogSchema, { accessLogFormat }),
      );
  }
}

function formatOf({ JSONFormat, TextFormat }: AccessLogs): SubstitutionFormatString {
  if (TextFormat !== undefined) {
    const line = TextFormat.endsWith('\n') ? TextFormat : `${TextFormat}\n`;
    return create(SubstitutionFormatStringSchema, {
      format: { case: 'textFormatSource', value: { specifier: { case: 'inlineString', value: line } } },
    });
  }
  const own = JSONFormat === undefined ? undefined : (jsonFormatOf(JSONFormat) as JsonObject | undefined);
  return create(SubstitutionFormatStringSchema, { format: { case: 'jsonFormat', value: own ?? DEFAULT_FORMAT } });
}
