import { guardedLeaves } from '../../agent/access/guarded-leaves.ts';
import { guardedProxies } from '../../agent/access/guarded-proxies.ts';
import { rightsOf, serviceWriters } from '../../agent/access/rights-of.ts';
import type { AgentParts, LogLines } from '../../edge/http/agent-parts.ts';
import type { XdsAddress } from '../../edge/xds/listener.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { MetricsRegistry } from '../../telemetry/metrics.ts';
import type { Core } from '../core.ts';
import { agentSelf } from '../node/agent-self.ts';
import { agentVersion, machine } from '../node/machine.ts';
import type { NodeAgent } from '../node/node-agent.ts';
import type { Reload } from '../reload.ts';
import type { Certificates } from '../security/certificates.ts';

export interface EdgePartsDeps {
  /** Where Envoys reach this agent, once it serves them. */
  readonly xdsAddresses: () => readonly XdsAddress[];
  readonly core: Core;
  readonly nodeId: string;
  readonly agent: NodeAgent;
  readonly metrics: MetricsRegistry;
  /** The agent's log. */
  readonly lines: LogLines;
  readonly certificates: Certificates;
  readonly reload: Reload;
  /** Asks the process to stop after having left. */
  readonly stop: (reason: string) => void;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** What the HTTP edge asks of this agent. */
export function createEdgeParts(deps: EdgePartsDeps): AgentParts {
  const { core, agent, metrics } = deps;
  const { tokens, callers } = core;
  const { config } = deps.reload.loaded();
  const rights = rightsOf({ enabled: config.acl.enabled, callers, defaultToken: () => tokens.get('default') });
  const requireService = serviceWriters(rights);
  return {
    nodeName: config.nodeName,
    access: {
      rights,
      setToken(kind, secret) {
        if (!config.acl.enabled) throw new IsthmusError('unauthenticated', 'ACL support disabled');
        tokens.set(kind, secret);
      },
    },
    self: async () =>
      agentSelf({
        loaded: deps.reload.loaded(),
        nodeId: deps.nodeId,
        member: core.member(),
        counts: agent.local.counts(),
        stats: core.stats(),
        certificates: deps.certificates.expiries(),
        xds: deps.xdsAddresses(),
      }),
    host: () => machine(config.dataDir),
    version: agentVersion,
    members: (options) => core.members(options),
    reload: deps.reload.run,
    async leave() {
      await core.leave();
      deps.stop('asked to leave');
    },
    join: (address, { wan }) => core.join(address, { wan, signal: deps.signal }),
    forceLeave: (node, options) => core.forceLeave(node, options),
    log: deps.lines,
    metrics: {
      json: () => metrics.json(),
      prometheus: async () => ({ contentType: metrics.prometheusType, text: await metrics.prometheus() }),
    },
    leaves: guardedLeaves(agent.leaves, requireService),
    roots: agent.roots,
    async authorize(request, options) {
      if (request.Target !== '') await requireService(request.Target, options);
      const answer = await agent.authorizer.authorize(request, options);
      return { ...answer, ageMs: Math.max(answer.ageMs, core.ageMs('intentions.verdicts')) };
    },
    links: () => core.links(),
    events: agent.events,
    proxies: config.acl.enabled
      ? guardedProxies({ proxies: agent.proxies, local: agent.local, callers, require: requireService })
      : agent.proxies,
  };
}
