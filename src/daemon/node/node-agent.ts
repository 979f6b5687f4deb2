import { HolderReporter } from '../../agent/cache/holder-reporter.ts';
import { LeafManager } from '../../agent/cache/leaf-manager.ts';
import { RootsCache } from '../../agent/cache/roots-cache.ts';
import { ConnectionAuthorizer } from '../../agent/connection-authorizer.ts';
import { UserEvents } from '../../agent/events/user-events.ts';
import { createLocalState, type LocalState } from '../../agent/local/local-state.ts';
import type { LocalServices } from '../../agent/proxycfg/local-services.ts';
import { createProxyConfigs, type ProxyConfigs } from '../../agent/proxycfg/proxy-configs.ts';
import type { LoadedConfig } from '../../config/types.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import type { HealthCheck, NodeService } from '../../model/catalog.ts';
import type { OwnCsrs } from '../../pki/csr.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { withToken } from '../access/access.ts';
import type { AgentTokens } from '../access/agent-tokens.ts';
import { nodeMeta } from './self.ts';

/** What one node knows and holds: its services and checks, leaves, roots, and its proxies' configuration. */
export interface NodeAgent {
  readonly local: LocalState;
  readonly tokens: AgentTokens;
  readonly leaves: LeafManager;
  readonly roots: RootsCache;
  readonly authorizer: ConnectionAuthorizer;
  readonly proxies: ProxyConfigs;
  readonly events: UserEvents;
  /** In the order of starting. */
  readonly services: readonly Service[];
}

export interface NodeAgentDeps {
  readonly loaded: LoadedConfig;
  readonly nodeId: string;
  /** As tokens see it. */
  readonly contract: ServerContract;
  /** For leaves and roots, which the agent holds whoever asks: it decides itself who gets them. */
  readonly trusted: ServerContract;
  /** The agent's own tokens. */
  readonly tokens: AgentTokens;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Shared with the authority in this process. */
  readonly ownCsrs: OwnCsrs;
}

/** Puts together the part that every agent has, server or not: it sees servers only through the contract. */
export function createNodeAgent(deps: NodeAgentDeps): NodeAgent {
  const { contract, trusted, tokens, clock, metrics, ownCsrs } = deps;
  const token = (): string | undefined => tokens.own();
  const { config } = deps.loaded;
  const { datacenter, nodeName: node } = config;
  const log = deps.log.child({ component: 'agent' });
  const pool = new WatchPool({ contract, clock, log, metrics });
  const roots = new RootsCache({ contract: trusted, clock, log });
  const leaves = new LeafManager({
    contract: trusted,
    roots,
    datacenter,
    clock,
    random: Math.random,
    log,
    metrics,
    ownCsrs,
  });
  const authorizer = new ConnectionAuthorizer({ pool, roots, clock, aclsEnabled: config.acl.enabled });
  const local = createLocalState(
    {
      ...{ contract: withToken(contract, token), clock, log, metrics, token },
      fileToken: () => tokens.get('config_file_service_registration'),
    },
    {
      node,
      nodeId: deps.nodeId,
      datacenter,
      address: config.advertiseAddr,
      taggedAddresses: config.taggedAddresses,
      nodeMeta: nodeMeta(config),
      ...(config.dataDir === '' ? {} : { dataDir: config.dataDir }),
      sidecarPorts: { min: config.ports.sidecarMinPort, max: config.ports.sidecarMaxPort },
      exposePorts: { min: config.ports.exposeMinPort, max: config.ports.exposeMaxPort },
      checkUpdateIntervalMs: config.checkUpdateIntervalMs,
      checkOutputMaxSize: config.checkOutputMaxSize,
      discardCheckOutput: config.discardCheckOutput,
      scripts: { local: config.localScriptChecks || config.scriptChecks, remote: config.scriptChecks },
      env: process.env,
      checkReach: { redirectHosts: config.checkAllowRedirectHosts, linkLocal: config.checkAllowLinkLocal },
    },
  );
  // What a token was missing for is tried again with the new one.
  tokens.onChange(() => local.requestSync());
  const proxies = createProxyConfigs({
    pool,
    local: localServices(local),
    onSidecar: (proxyId) => local.runChecks(proxyId),
    isListening: (proxyId) => local.checks().some((each) => each.ServiceID === proxyId && isListening(each)),
    leaves,
    roots,
    datacenter,
    node,
    address: config.advertiseAddr,
    clock,
    log,
    metrics,
  });
  const reporter = new HolderReporter({
    contract: trusted,
    roots,
    leaves,
    verifiers: proxies.verifiers,
    node,
    clock,
    log,
  });
  const events = new UserEvents({ contract: trusted, node, services: () => local.services(), clock, log });
  const authorizing: Service = {
    name: 'authorizer',
    start: async () => undefined,
    stop: async () => authorizer.close(),
  };
  const definitions: Service = {
    name: 'definitions of services and checks',
    start: () => local.loadDefinitions(config.services, config.checks),
    stop: async () => undefined,
  };
  return {
    local,
    tokens,
    leaves,
    roots,
    authorizer,
    proxies,
    events,
    services: [pool, roots, leaves, authorizing, proxies, reporter, events, definitions, local],
  };
}

/** A check that connects to the proxy found it there. */
function isListening({ Type, Status }: HealthCheck): boolean {
  return Type === 'tcp' && Status !== 'critical';
}

/** The agent's services as sidecars need to know them; indexes are the catalog's, not the agent's. */
function localServices(local: LocalState): LocalServices {
  const full = (id: string): NodeService | undefined => {
    const form = local.serviceForm(id);
    return form === undefined ? undefined : { ...form, CreateIndex: 0, ModifyIndex: 0 };
  };
  return {
    get: full,
    exposedPaths: (proxyId) => local.exposedPaths(proxyId),
    servesExposed: (proxyId) => local.servesExposed(proxyId),
    list: () => local.services().flatMap(({ ID }) => full(ID) ?? []),
    onChange: (listener) =>
      local.onChange((change) => {
        if (change.kind === 'service' || change.kind === 'check') listener();
      }),
  };
}
