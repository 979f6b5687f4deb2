import { create } from '@bufbuild/protobuf';
import type {
  ExtAuthzExtension,
  HttpAuthorization,
  InsertOptions,
} from '../../../../model/envoy-extensions/extensions.ts';
import type { TextMatch } from '../../../../model/layer7/match.ts';
import { isRequestProtocol } from '../../../../model/layer7/route-table.ts';
import { ApiVersion } from '../../gen/envoy/config/core/v3/config_source_pb.ts';
import type { Filter } from '../../gen/envoy/config/listener/v3/listener_components_pb.ts';
import {
  ExtAuthzSchema,
  HttpServiceSchema,
} from '../../gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts';
import { ExtAuthzSchema as NetworkExtAuthzSchema } from '../../gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.ts';
import { HttpFilterSchema } from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { ListStringMatcherSchema } from '../../gen/envoy/type/matcher/v3/string_pb.ts';
import { pack } from '../../resource.ts';
import { millis, networkFilter } from '../common.ts';
import { changedManager } from '../http/connection-manager.ts';
import { stringMatcher } from '../http/matchers.ts';
import { eachChain, type PatchContext, type ResourcePatch } from './patch.ts';
import { grpcService, localCluster, TARGET_TIMEOUT_MS, targetCluster } from './target.ts';

const CLUSTER = 'local_ext_authz';
const HTTP_FILTER = 'envoy.filters.http.ext_authz';
const NETWORK_FILTER = 'envoy.filters.network.ext_authz';

/** Another service decides about each request, or each connection. It is behind the rules, which go first. */
export function extAuthzPatch(
  extension: ExtAuthzExtension & { readonly required: boolean },
  context: PatchContext,
): ResourcePatch {
  const { service, insert } = extension;
  const target = 'grpc' in service ? service.grpc : service.http;
  const requests = isRequestProtocol(context.snapshot.protocol);
  if (!requests && 'http' in service)
    throw new Error('HttpService is for services that take requests: use GrpcService');
  const http = requests ? httpFilter(extension, context) : undefined;
  const network = requests ? undefined : connectionFilter(extension, context);
  return {
    clusters: localCluster(target, CLUSTER, 'grpc' in service),
    listener(listener, { direction }) {
      if (direction !== 'inbound') return;
      eachChain(listener, (filters) =>
        network === undefined
          ? filters.map((each) =>
              changedManager(each, (manager) => {
                if (http !== undefined)
                  manager.httpFilters = inserted(
                    manager.httpFilters,
                    http,
                    insert ?? BEFORE_ROUTER,
                    'the HTTP filters',
                  );
              }),
            )
          : inserted(filters, network, insert ?? BEFORE_TCP_PROXY, 'the filters'),
      );
    },
  };
}

const BEFORE_ROUTER: InsertOptions = { location: 'BeforeFirstMatch', filter: 'envoy.filters.http.router' };
const BEFORE_TCP_PROXY: InsertOptions = { location: 'BeforeFirstMatch', filter: 'envoy.filters.network.tcp_proxy' };

function inserted<F extends { readonly name: string }>(
  filters: readonly F[],
  filter: F,
  { location, filter: name }: InsertOptions,
  where: string,
): F[] {
  const matches = filters.flatMap((each, at) => (each.name === name ? [at] : []));
  const [first = -1] = matches;
  const last = matches.at(-1) ?? -1;
  if (first === -1 && location.includes('Match')) throw new Error(`no filter ${name} is among ${where}`);
  const at = {
    First: 0,
    BeforeFirstMatch: first,
    AfterFirstMatch: first + 1,
    BeforeLastMatch: last,
    AfterLastMatch: last + 1,
    Last: filters.length,
  }[location];
  return [...filters.slice(0, at), filter, ...filters.slice(at)];
}

function httpFilter(extension: ExtAuthzExtension & { readonly required: boolean }, context: PatchContext) {
  const { service, body, statusOnError } = extension;
  const filter = create(ExtAuthzSchema, {
    services:
      'grpc' in service
        ? { case: 'grpcService', value: grpcService(service.grpc, CLUSTER, context) }
        : { case: 'httpService', value: httpService(service.http, context) },
    transportApiVersion: ApiVersion.V3,
    failureModeAllow: !extension.required,
    statPrefix: extension.statPrefix,
    bootstrapMetadataLabelsKey: extension.labelsKey,
    clearRouteCache: extension.clearRouteCache,
    includePeerCertificate: extension.peerCertificate,
    metadataContextNamespaces: [...extension.metadataNamespaces],
    ...(statusOnError === undefined ? {} : { statusOnError: { code: statusOnError } }),
    ...(body === undefined
      ? {}
      : {
          withRequestBody: {
            maxRequestBytes: body.maxBytes,
            allowPartialMessage: body.partial,
            packAsBytes: body.asBytes,
          },
        }),
  });
  return create(HttpFilterSchema, {
    name: HTTP_FILTER,
    configType: { case: 'typedConfig', value: pack(ExtAuthzSchema, filter) },
  });
}

function httpService(http: HttpAuthorization, context: PatchContext) {
  const cluster = targetCluster(http, CLUSTER, context);
  return create(HttpServiceSchema, {
    serverUri: {
      uri: `http://${cluster}`, // only the cluster counts
      httpUpstreamType: { case: 'cluster', value: cluster },
      timeout: millis(http.timeoutMs ?? TARGET_TIMEOUT_MS),
    },
    pathPrefix: http.pathPrefix,
    authorizationRequest: {
      ...matchers('allowedHeaders', http.requestHeaders),
      headersToAdd: http.headersToAdd.map(([key, value]) => ({ key, value })),
    },
    authorizationResponse: {
      ...matchers('allowedUpstreamHeaders', http.upstreamHeaders),
      ...matchers('allowedUpstreamHeadersToAppend', http.upstreamHeadersToAppend),
      ...matchers('allowedClientHeaders', http.clientHeaders),
      ...matchers('allowedClientHeadersOnSuccess', http.clientHeadersOnSuccess),
      ...matchers('dynamicMetadataFromHeaders', http.metadataFromHeaders),
    },
  });
}

function matchers<K extends string>(name: K, patterns: readonly TextMatch[]) {
  if (patterns.length === 0) return {};
  const value = create(ListStringMatcherSchema, { patterns: patterns.map((each) => stringMatcher(each)) });
  return { [name]: value } as Record<K, typeof value>;
}

function connectionFilter(
  { service, statPrefix, peerCertificate, required }: ExtAuthzExtension & { readonly required: boolean },
  context: PatchContext,
): Filter {
  const grpc = 'grpc' in service ? service.grpc : undefined;
  const filter = create(NetworkExtAuthzSchema, {
    statPrefix,
    ...(grpc === undefined ? {} : { grpcService: grpcService(grpc, CLUSTER, context) }),
    transportApiVersion: ApiVersion.V3,
    failureModeAllow: !required,
    includePeerCertificate: peerCertificate,
  });
  return networkFilter(NETWORK_FILTER, NetworkExtAuthzSchema, filter);
}
