import { guardedLocal } from '../../agent/access/guarded-local.ts';
import type { LocalState } from '../../agent/local/types.ts';
import type { LoadedConfig } from '../../config/types.ts';
import type { AgentParts } from '../../edge/http/agent-parts.ts';
import { type Ask, askRoutes } from '../../edge/http/ask.ts';
import { auditRoutes } from '../../edge/http/audit.ts';
import { createHttpEdge, type HttpEdge } from '../../edge/http/edge.ts';
import { guardRoutes } from '../../edge/http/guard-routes.ts';
import { DEFAULT_LIMITS, type HttpLimits } from '../../edge/http/limits.ts';
import type { HttpListener } from '../../edge/http/listen.ts';
import type { Route } from '../../edge/http/route.ts';
import { agentCheckRoutes } from '../../edge/http/routes/agent-checks.ts';
import { agentServiceRoutes } from '../../edge/http/routes/agent-services.ts';
import { apiRoutes } from '../../edge/http/routes/all.ts';
import { envoyRoutes } from '../../edge/http/routes/envoys.ts';
import type { Clock } from '../../lib/clock.ts';
import type { EnvoyStatus } from '../../model/envoy.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { SnapshotContract } from '../../rpc/contract/snapshots.ts';
import type { Audit, Logger, Metrics } from '../../telemetry/types.ts';
import type { Certificates } from '../security/certificates.ts';

export interface HttpDeps {
  readonly loaded: LoadedConfig;
  readonly contract: ServerContract;
  readonly snapshots: SnapshotContract;
  readonly agent: AgentParts;
  readonly local: LocalState;
  readonly certificates: Certificates;
  /** The Envoys that follow this agent. */
  readonly envoys: () => readonly EnvoyStatus[];
  readonly audit: Audit;
  /** AccessorID of a request's token, as far as it is known here; '' otherwise. */
  readonly accessorOf: (token: string | undefined) => string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** The HTTP API with the listeners and limits of the configuration; `ask` reaches it within the process. */
export function createHttp(deps: HttpDeps): HttpEdge & { readonly ask: Ask } {
  const { contract, agent, certificates, clock, metrics } = deps;
  const { config } = deps.loaded;
  const { datacenter, nodeName } = config;
  const queryTimes = { defaultMs: config.defaultQueryTimeMs, maxMs: config.maxQueryTimeMs };
  const local = config.acl.enabled ? guardedLocal(deps.local, agent.access.rights, nodeName) : deps.local;
  const routes = [
    ...apiRoutes({
      contract,
      snapshots: deps.snapshots,
      agent,
      datacenter,
      translateWanAddrs: config.translateWanAddrs,
      queryTimes,
      kvLimits: { maxValueBytes: config.limits.kvMaxValueBytes, maxTxnBytes: config.limits.txnMaxBytes },
      clock,
    }),
    ...agentServiceRoutes({ local, datacenter }),
    ...agentCheckRoutes({ local }),
    ...envoyRoutes({ envoys: deps.envoys }),
  ];
  const { audit, accessorOf } = deps;
  const around = (all: readonly Route[]): readonly Route[] => {
    const guarded = config.acl.enabled ? guardRoutes(all, { rights: agent.access.rights, local, nodeName }) : all;
    if (config.auditSinks.length === 0) return guarded;
    return auditRoutes(guarded, { audit, accessorOf, datacenter, node: nodeName });
  };
  const edge = createHttpEdge(
    {
      routes,
      around,
      clock,
      log: deps.log.child({ component: 'http' }),
      metrics,
    },
    {
      listeners: httpListeners(deps.loaded, certificates),
      defaultPolicy: config.acl.enabled ? config.acl.defaultPolicy : 'allow',
      limits: httpLimits(config),
      responseHeaders: {
        ...config.http.responseHeaders,
        ...(config.translateWanAddrs ? { 'X-Consul-Translate-Addresses': 'true' } : {}),
      },
      blockEndpoints: config.http.blockEndpoints,
      allowWriteHttpFrom: config.http.allowWriteHttpFrom,
      allowOrigins: config.http.allowOrigins,
      hosts: [
        nodeName,
        `*.${config.dns.domain}`,
        config.advertiseAddr,
        config.advertiseAddrWan,
        ...config.http.allowHosts,
      ],
    },
  );
  certificates.onChange((use) => {
    const material = use === 'https' ? certificates.material(use) : undefined;
    if (material === undefined) return;
    edge.setTls(material.options);
    if (config.ports.https >= 0 && config.listeners.https.length === 0)
      deps.log.warn('the HTTPS listener opens after a restart: it had no certificate before');
  });
  return Object.assign(edge, { ask: askRoutes(around(routes)) });
}

function httpLimits({ limits, http }: LoadedConfig['config']): Partial<HttpLimits> {
  return {
    maxConnectionsPerClient: limits.httpMaxConnsPerClient,
    maxWatchersPerClient: limits.httpMaxWatchersPerClient,
    maxRequestsInFlight: limits.httpMaxRequestsInFlight,
    maxBodyBytes: limits.httpMaxBodyBytes,
    maxBodiesBytes: Math.max(DEFAULT_LIMITS.maxBodiesBytes, 4 * limits.httpMaxBodyBytes, 4 * limits.txnMaxBytes),
    ...(http.maxHeaderBytes > 0 ? { maxHeaderBytes: http.maxHeaderBytes } : {}),
    headersMs: limits.httpHeaderTimeoutMs,
    requestMs: limits.httpRequestTimeoutMs,
    keepAliveMs: limits.httpIdleTimeoutMs,
    writeMs: limits.httpWriteTimeoutMs,
    tlsHandshakeMs: limits.httpsHandshakeTimeoutMs,
  };
}

function httpListeners({ config }: LoadedConfig, certificates: Certificates): HttpListener[] {
  const context = certificates.material('https')?.options;
  const requireClientCertificate = config.tls.https.verifyIncoming;
  const secure = config.listeners.https.map((address): HttpListener => {
    if (address.kind === 'unix' || context === undefined) return address;
    return { ...address, tls: { context, requireClientCertificate } };
  });
  return [...config.listeners.http, ...secure];
}
