import type { LoadedConfig } from '../config/types.ts';
import { denied } from '../edge/http/agent-access.ts';
import type { AgentParts, SidecarRequest } from '../edge/http/agent-parts.ts';
import type { Clock } from '../lib/clock.ts';
import { hasCode, IsthmusError } from '../lib/errors.ts';
import { linkSignals } from '../lib/signals.ts';
import type { MetricsRegistry } from '../telemetry/metrics.ts';
import { agentRights } from './access.ts';
import { agentSelf } from './agent-self.ts';
import type { Authority } from './authority.ts';
import type { Certificates } from './certificates.ts';
import { knock } from './knock.ts';
import type { NodeAgent } from './node-agent.ts';
import { lanMember } from './self.ts';

export interface EdgePartsDeps {
  /** The configuration in force; a reload changes it. */
  readonly loaded: () => LoadedConfig;
  readonly authority: Authority;
  readonly agent: NodeAgent;
  readonly metrics: MetricsRegistry;
  readonly certificates: Certificates;
  readonly reload: () => Promise<readonly string[]>;
  /** Asks the process to stop after having left. */
  readonly stop: (reason: string) => void;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** What the HTTP edge asks of this agent. */
export function createEdgeParts(deps: EdgePartsDeps): AgentParts {
  const { authority, agent, metrics } = deps;
  const { federation, store, tokens } = authority;
  const { config } = deps.loaded();
  const rights = agentRights(authority.domains.acl.resolver, tokens, config.acl.enabled);
  const requireService = async (service: string, options: { token?: string; signal: AbortSignal }): Promise<void> => {
    if (!config.acl.enabled) return;
    if (!(await rights(options.token, options.signal)).may('service', service, 'write')) throw denied();
  };
  /** The service that a sidecar acts for; undefined when there is none yet. */
  const behind = (request: SidecarRequest): string | undefined => {
    if (request.kind === 'standalone') return request.service;
    if (request.kind === 'sidecar-for') return agent.local.serviceForm(request.serviceId)?.Service;
    return agent.local.serviceForm(request.proxyId)?.Proxy.DestinationServiceName;
  };
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
        loaded: deps.loaded(),
        identity: authority.identity(),
        counts: agent.local.counts(),
        datacenters: federation.datacenters().length,
        wanMembers: federation.members().length,
        revision: store.revision,
        certificates: deps.certificates.expiries(),
      }),
    members: async ({ wan }) => (wan ? federation.members() : [lanMember(authority.identity())]),
    reload: deps.reload,
    async leave() {
      federation.leave();
      deps.stop('asked to leave');
    },
    async join(address, { wan }) {
      if (wan) await federation.join([address], deps.signal);
      else await knock(address, deps.clock); // the only server there is: nothing more to join within the datacenter
    },
    async forceLeave(node) {
      if (federation.forceLeave(node) === 0)
        throw new IsthmusError('rejected', `agent: No node found with name '${node}'`);
    },
    metrics: {
      json: () => metrics.json(),
      prometheus: async () => ({ contentType: metrics.prometheusType, text: await metrics.prometheus() }),
    },
    leaves: {
      async get(service, options) {
        await requireService(service, options);
        const answer = await agent.leaves.get(service, options);
        if (options.index !== undefined) await requireService(service, options); // it may have waited long
        return answer;
      },
    },
    roots: agent.roots,
    async authorize(request, options) {
      if (request.Target !== '') await requireService(request.Target, options);
      const answer = await agent.authorizer.authorize(request, options);
      return { ...answer, ageMs: Math.max(answer.ageMs, authority.ageMs('intentions.verdicts')) };
    },
    links: () => federation.links(),
    sidecars: {
      async open(request, signal) {
        const service = behind(request);
        if (service === undefined || !config.acl.enabled) return agent.sidecars.open(request, signal);
        await requireService(service, { ...request, signal });
        // The stream ends with the right to it.
        const life = linkSignals(signal);
        const unhook = authority.domains.acl.resolver.onChange(() => {
          requireService(service, { ...request, signal: life.signal }).catch((error: unknown) => {
            if (hasCode(error, 'permission_denied')) life.abort(error);
          });
        });
        life.signal.addEventListener('abort', () => {
          unhook();
          life.release();
        });
        return agent.sidecars.open(request, life.signal);
      },
    },
  };
}
