import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import type { AccessLogs } from '../../../../model/access-logs.ts';
import type { RequestNormalisation } from '../../../../model/layer7/normalise-request.ts';
import { HttpProtocolOptions_HeadersWithUnderscoresAction as Underscores } from '../../gen/envoy/config/core/v3/protocol_pb.ts';
import type { Filter } from '../../gen/envoy/config/listener/v3/listener_components_pb.ts';
import { RouterSchema } from '../../gen/envoy/extensions/filters/http/router/v3/router_pb.ts';
import {
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  HttpConnectionManager_ForwardClientCertDetails as ForwardClientCert,
  type HttpConnectionManager,
  HttpConnectionManager_CodecType,
  type HttpConnectionManager_ForwardClientCertDetails,
  type HttpConnectionManager_Tracing,
  HttpConnectionManagerSchema,
  type HttpFilter,
  HttpFilterSchema,
} from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { pack } from '../../resource.ts';
import { filterAccessLogs } from '../access-logs.ts';
import { networkFilter, overThisStream } from '../common.ts';

export interface RequestsOptions {
  readonly statPrefix: string;
  /** Name of the routes, which are a resource of their own. */
  readonly routes: string;
  readonly logs: AccessLogs | undefined;
  /** Before the router. */
  readonly filters: readonly HttpFilter[];
  /** What becomes of `x-forwarded-client-cert`: removed, or set to who called. */
  readonly clientCert: 'remove' | 'set';
  /** KiB; absent: Envoy's own limit. */
  readonly maxRequestHeadersKb?: number | undefined;
  /** Absent: nothing is traced. */
  readonly tracing?: HttpConnectionManager_Tracing | undefined;
  /** Absent: requests are taken as they come. */
  readonly normalisation?: RequestNormalisation;
}

/** The greatest that Envoy takes, KiB. */
const HEADERS_KB_MAX = 8_192;

const MANAGER = 'envoy.filters.network.http_connection_manager';

/** The filter of a listener that takes requests, HTTP/1.1 and HTTP/2 alike. */
export function connectionManager(options: RequestsOptions): Filter {
  const { statPrefix, routes, logs, filters, clientCert, tracing, normalisation } = options;
  const { maxRequestHeadersKb: headersKb } = options;
  return networkFilter(
    MANAGER,
    HttpConnectionManagerSchema,
    create(HttpConnectionManagerSchema, {
      statPrefix,
      accessLog: filterAccessLogs(logs),
      codecType: HttpConnectionManager_CodecType.AUTO,
      routeSpecifier: { case: 'rds', value: { routeConfigName: routes, configSource: overThisStream() } },
      httpFilters: [...filters, ROUTER],
      upgradeConfigs: [{ upgradeType: 'websocket' }],
      ...(headersKb === undefined ? {} : { maxRequestHeadersKb: Math.min(Math.ceil(headersKb), HEADERS_KB_MAX) }),
      ...(tracing === undefined ? {} : { tracing }),
      ...FORWARDED[clientCert],
      ...(normalisation === undefined ? {} : normalised(normalisation)),
    }),
  );
}

const MANAGER_TYPE = `type.googleapis.com/${HttpConnectionManagerSchema.typeName}`;

/** A filter, changed when it is one that takes requests. */
export function changedManager(filter: Filter, change: (manager: HttpConnectionManager) => void): Filter {
  const config = filter.configType.case === 'typedConfig' ? filter.configType.value : undefined;
  if (config?.typeUrl !== MANAGER_TYPE) return filter;
  const manager = fromBinary(HttpConnectionManagerSchema, config.value);
  change(manager);
  return networkFilter(filter.name, HttpConnectionManagerSchema, manager);
}

type ManagerInit = Exclude<MessageInitShape<typeof HttpConnectionManagerSchema>, HttpConnectionManager>;

const ROUTER = create(HttpFilterSchema, {
  name: 'envoy.filters.http.router',
  configType: { case: 'typedConfig', value: pack(RouterSchema, create(RouterSchema)) },
});

const FORWARDED: Readonly<
  Record<
    RequestsOptions['clientCert'],
    { readonly setCurrentClientCertDetails?: NonNullable<ManagerInit['setCurrentClientCertDetails']> } & {
      readonly forwardClientCertDetails: HttpConnectionManager_ForwardClientCertDetails;
    }
  >
> = {
  remove: { forwardClientCertDetails: ForwardClientCert.SANITIZE },
  // Only what this certificate proves: what the caller sends of others could be made up.
  set: {
    forwardClientCertDetails: ForwardClientCert.SANITIZE_SET,
    setCurrentClientCertDetails: { subject: true, cert: true, chain: true, dns: true, uri: true },
  },
};

function normalised({ path, mergeSlashes, escapedSlashes, underscores }: RequestNormalisation) {
  return {
    normalizePath: path,
    mergeSlashes,
    pathWithEscapedSlashesAction: {
      keep: EscapedSlashes.KEEP_UNCHANGED,
      reject: EscapedSlashes.REJECT_REQUEST,
      redirect: EscapedSlashes.UNESCAPE_AND_REDIRECT,
      forward: EscapedSlashes.UNESCAPE_AND_FORWARD,
    }[escapedSlashes],
    commonHttpProtocolOptions: {
      headersWithUnderscoresAction: {
        allow: Underscores.ALLOW,
        reject: Underscores.REJECT_REQUEST,
        drop: Underscores.DROP_HEADER,
      }[underscores],
    },
  };
}

/** A filter whose configuration is a resource of its own: what changes there ends nothing. */
export function discoveredFilter(name: string, typeName: string): HttpFilter {
  return create(HttpFilterSchema, {
    name,
    configType: {
      case: 'configDiscovery',
      value: { configSource: overThisStream(), typeUrls: [`type.googleapis.com/${typeName}`] },
    },
  });
}
