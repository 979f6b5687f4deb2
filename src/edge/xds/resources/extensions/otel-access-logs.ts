import { create } from '@bufbuild/protobuf';
import type { OtelExtension } from '../../../../model/envoy-extensions/extensions.ts';
import { AccessLogSchema } from '../../gen/envoy/config/accesslog/v3/accesslog_pb.ts';
import { ApiVersion } from '../../gen/envoy/config/core/v3/config_source_pb.ts';
import { OpenTelemetryAccessLogConfigSchema } from '../../gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.ts';
import {
  type AnyValue,
  AnyValueSchema,
  KeyValueListSchema,
} from '../../gen/opentelemetry/proto/common/v1/common_pb.ts';
import { pack } from '../../resource.ts';
import { millis } from '../common.ts';
import { changedManager } from '../http/connection-manager.ts';
import { eachChain, type PatchContext, type ResourcePatch } from './patch.ts';
import { grpcService, localCluster } from './target.ts';

const CLUSTER = 'local_access_log';

/** A line about each request goes to a collector of OpenTelemetry. */
export function otelPatch(extension: OtelExtension, context: PatchContext): ResourcePatch {
  const { grpc, logName, flushMs, bufferBytes, filterState, body, attributes, resourceAttributes } = extension;
  const config = create(OpenTelemetryAccessLogConfigSchema, {
    commonConfig: {
      logName: logName || 'otel_envoy_accesslog',
      grpcService: grpcService(grpc, CLUSTER, context),
      transportApiVersion: ApiVersion.V3,
      filterStateObjectsToLog: [...filterState],
      ...(flushMs === undefined ? {} : { bufferFlushInterval: millis(flushMs) }),
      ...(bufferBytes === undefined ? {} : { bufferSizeBytes: bufferBytes }),
    },
    ...(body === undefined ? {} : { body: anyValue(body) }),
    attributes: listOf(attributes),
    resourceAttributes: listOf(resourceAttributes),
  });
  const log = create(AccessLogSchema, {
    name: 'envoy.access_loggers.open_telemetry',
    configType: { case: 'typedConfig', value: pack(OpenTelemetryAccessLogConfigSchema, config) },
  });
  return {
    clusters: localCluster(grpc, CLUSTER, true),
    listener(listener, { direction }) {
      if (extension.direction !== undefined && extension.direction !== direction) return;
      eachChain(listener, (filters) =>
        filters.map((each) => changedManager(each, (manager) => void manager.accessLog.push(log))),
      );
    },
  };
}

function listOf(values: Readonly<Record<string, unknown>>) {
  return create(KeyValueListSchema, {
    values: Object.entries(values).map(([key, value]) => ({ key, value: anyValue(value) })),
  });
}

function anyValue(value: unknown): AnyValue {
  switch (typeof value) {
    case 'string':
      return create(AnyValueSchema, { value: { case: 'stringValue', value } });
    case 'boolean':
      return create(AnyValueSchema, { value: { case: 'boolValue', value } });
    case 'number':
      return create(
        AnyValueSchema,
        Number.isInteger(value)
          ? { value: { case: 'intValue', value: BigInt(value) } }
          : { value: { case: 'doubleValue', value } },
      );
    default:
      if (Array.isArray(value))
        return create(AnyValueSchema, { value: { case: 'arrayValue', value: { values: value.map(anyValue) } } });
      return create(AnyValueSchema, {
        value: { case: 'kvlistValue', value: listOf((value ?? {}) as Readonly<Record<string, unknown>>) },
      });
  }
}
