import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { linkSignals, throwIfAborted } from '../../lib/signals.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { SidecarConfig, SidecarUpdate } from '../../model/sidecar.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { LeafManager } from '../cache/leaf-manager.ts';
import type { RootsSource } from '../cache/roots-cache.ts';
import type { WatchPool } from '../cache/watch-pool.ts';
import type { LocalServices } from './local-services.ts';
import { ProxySession } from './proxy-session.ts';
import { gatewayModes, type ProxyRequest, proxyIdOf, registeredConfig, standaloneConfig } from './request.ts';
import { createUpstreamResolver } from './upstream-resolver.ts';
import { Verifiers } from './verifiers.ts';

export interface ProxyConfigsDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly local: LocalServices;
  readonly leaves: Pick<LeafManager, 'watch'>;
  readonly roots: RootsSource;
  readonly datacenter: string;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Told when a sidecar began to serve, or went: a check that looks at it needn't wait for its turn. */
  readonly onSidecar?: (proxyId: string) => void;
}

export interface ProxySessionHandle {
  readonly updates: AsyncIterable<SidecarUpdate>;
  acknowledge(version: number): void;
}

/** What each sidecar of this agent must know, derived from watches that the sidecars share. */
export interface ProxyConfigs extends Service {
  /** Sidecars that verify with the roots of this agent, for reports during a rotation. */
  readonly verifiers: Verifiers;
  /** Rejects with `not_found` when there is no such proxy. The session ends when `signal` aborts. */
  open(request: ProxyRequest, signal: AbortSignal): Promise<ProxySessionHandle>;
}

/** Sidecars that can be connected at the same time. */
const MAX_SESSIONS = 4_096;

export function createProxyConfigs(deps: ProxyConfigsDeps): ProxyConfigs {
  const { pool, local, leaves, roots, datacenter, node, clock, log } = deps;
  const verifiers = new Verifiers(clock);
  const resolver = createUpstreamResolver({ pool, datacenter, node, clock });
  const tasks = createTaskGroup({
    clock,
    onError: (task, error) => log.warn('sidecar task failed', { task, error: error.message }),
  });
  let sessions = 0;
  deps.metrics.gauge({ name: 'isthmus_agent_sidecars', help: 'Sidecars that follow this agent' }, (set) =>
    set(sessions),
  );

  return {
    name: 'proxy configuration',
    verifiers,
    async start() {},
    async stop() {
      await tasks.stop();
      verifiers.close();
    },
    async open(request, signal) {
      throwIfAborted(signal);
      throwIfAborted(tasks.signal);
      if (sessions >= MAX_SESSIONS)
        throw new IsthmusError('unavailable', `this agent serves ${MAX_SESSIONS} sidecars, its limit`);
      const where = { datacenter, node };
      const configOf = configSource(request, local, where, (upstream, mode) =>
        log.warn('mesh gateways are not offered: the upstream is dialled directly', { upstream, mesh_gateway: mode }),
      );
      const name = configOf({}).proxyId; // throws before anything is begun
      const life = linkSignals(signal, tasks.signal);
      const verifier = verifiers.join(name);
      const session = new ProxySession(
        {
          pool,
          roots,
          leaves,
          resolver,
          verifier,
          tasks,
          configOf,
          onLocalChange: (listener) => local.onChange(listener),
          ...(request.token === undefined ? {} : { token: request.token }),
        },
        life,
      );
      sessions += 1;
      life.signal.addEventListener(
        'abort',
        () => {
          sessions -= 1;
          log.info('sidecar disconnected', { proxy: name });
          deps.onSidecar?.(name);
        },
        { once: true },
      );
      log.info('sidecar connected', { proxy: name, service: session.config.service });
      let serves = false;
      return {
        updates: session.updates(),
        acknowledge: (version) => {
          session.acknowledge(version);
          if (!serves) deps.onSidecar?.(name);
          serves = true;
        },
      };
    },
  };
}

/** @param onGateway called once for each upstream that asks for a mesh gateway. */
function configSource(
  request: ProxyRequest,
  local: LocalServices,
  where: { readonly datacenter: string; readonly node: string },
  onGateway: (upstream: string, mode: string) => void,
): (defaults: Readonly<Record<string, unknown>>) => SidecarConfig {
  if (request.kind === 'standalone') return (defaults) => standaloneConfig(request, where, defaults);
  const proxyId = proxyIdOf(request, local);
  const told = new Set<string>();
  return (defaults) => {
    for (const [upstream, mode] of gatewayModes(proxyId, local)) {
      if (!told.has(upstream)) onGateway(upstream, mode);
      told.add(upstream);
    }
    return registeredConfig(proxyId, local, where, defaults);
  };
}
