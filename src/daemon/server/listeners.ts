import type { RuntimeConfig } from '../../config/types.ts';
import type { Federation } from '../../federation/federation.ts';
import type { Clock } from '../../lib/clock.ts';
import { VERSION } from '../../model/version.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { SnapshotContract } from '../../rpc/contract/snapshots.ts';
import { DEFAULT_LIMITS } from '../../rpc/transport/handlers.ts';
import { createRpcListener, type ListenerSpec, type RpcListener } from '../../rpc/transport/listener.ts';
import type { OtherProtocol } from '../../rpc/transport/tls.ts';
import { type AgentSessions, createAgentSessions } from '../../server/agent-sessions.ts';
import { audited } from '../../server/audited.ts';
import { StalenessGuard } from '../../server/staleness-guard.ts';
import type { Audit, Logger, Metrics } from '../../telemetry/types.ts';
import type { Domains } from '../domains/domains.ts';
import { serverNode } from '../node/self.ts';
import type { Foundation } from './foundation.ts';
import type { Replication } from './replication.ts';

export interface ListenersDeps extends Pick<Foundation, 'identity' | 'bound' | 'store' | 'tls'> {
  readonly config: RuntimeConfig;
  readonly domains: Domains;
  readonly federation: Federation;
  readonly replication: Replication;
  readonly enrolment: OtherProtocol;
  /** As tokens see it. */
  readonly contract: ServerContract;
  readonly snapshots: SnapshotContract;
  readonly audit: Audit;
  /** AccessorID of a token, as far as it is known here; '' otherwise. */
  readonly accessorOf: (token: string | undefined) => string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface Listeners {
  /** The server ports. */
  readonly listener: RpcListener;
  /** What client agents hold with this server. */
  readonly sessions: AgentSessions;
}

/** What servers, client agents and other datacenters reach of this server. */
export function createListeners(deps: ListenersDeps): Listeners {
  const { config, identity, bound, store, tls, domains, contract, audit, accessorOf, clock, log, metrics } = deps;
  const { datacenter, nodeName: node } = config;
  const sessions = createAgentSessions(
    {
      datacenter,
      self: () => serverNode(identity),
      build: VERSION,
      nodes: domains.nodes,
      measured: (name, rttMs) => domains.catalog.measured(name, rttMs),
      ...(config.acl.enabled ? { callers: domains.acl.tokenResolver } : {}),
      store,
      clock,
      log: log.child({ component: 'nodes' }),
      metrics,
    },
    { nodeTimeoutMs: config.nodeTimeoutMs },
  );
  const recording = config.auditSinks.length > 0;
  const listener = createRpcListener({
    listeners: rpcListeners(config),
    onBound(name, address) {
      bound[name] = address;
    },
    limits: {
      maxConnectionsPerClient: config.limits.rpcMaxConnsPerClient,
      handshakeMs: config.limits.rpcHandshakeTimeoutMs,
      // What the HTTP API takes is passed on as JSON, with its arguments around it.
      maxWriteBytes: Math.max(
        DEFAULT_LIMITS.maxWriteBytes,
        2 * config.limits.httpMaxBodyBytes,
        2 * config.limits.txnMaxBytes,
      ),
    },
    handlers: {
      datacenter,
      tokensDecide: config.acl.enabled,
      contract: new StalenessGuard({
        inner: recording ? audited(contract, { audit, accessorOf, datacenter, node }) : contract,
        contact: () => store.contact(),
        clock,
      }),
      changes: deps.replication.changes,
      snapshots: deps.snapshots,
      session: (stream, signal) => sessions.hold(stream, signal),
      ...deps.federation.handlers,
    },
    security: tls.accepting(deps.enrolment),
    clock,
    log: log.child({ component: 'rpc' }),
    metrics,
  });
  return { listener, sessions };
}

function rpcListeners({ listeners: { server, serfLan, serfWan } }: RuntimeConfig): ListenerSpec[] {
  const named = { server, serf_lan: serfLan, serf_wan: serfWan };
  return Object.entries(named).flatMap(([name, addresses]) =>
    addresses.flatMap((address) =>
      address.kind === 'tcp' ? [{ name, address: address.host, port: address.port }] : [],
    ),
  );
}
