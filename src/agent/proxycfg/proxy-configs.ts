import type { Clock } from '../../lib/clock.ts';
import { IsthmusError, invariant } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { linkSignals, throwIfAborted } from '../../lib/signals.ts';
import { createTaskGroup } from '../../lib/task.ts';
import { defaultAddresses } from '../../model/address.ts';
import type { WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { LeafManager } from '../cache/leaf-manager.ts';
import type { RootsSource } from '../cache/roots-cache.ts';
import { FollowedProxy } from './followed-proxy.ts';
import { kindOf } from './kinds/all.ts';
import { ListedCallers } from './kinds/callers.ts';
import type { LocalServices } from './local-services.ts';
import { type ProxyRequest, registrationOf } from './request.ts';
import type { ProxySnapshot } from './snapshot.ts';
import { createUpstreamResolver } from './upstream-resolver.ts';
import { Verifiers } from './verifiers.ts';

export interface ProxyConfigsDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly local: LocalServices;
  readonly leaves: Pick<LeafManager, 'watch'>;
  readonly roots: RootsSource;
  readonly datacenter: string;
  readonly node: string;
  /** That the node advertises. */
  readonly address: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Called when a proxy began to serve, or went: a check that looks at it needn't wait for its turn. */
  readonly onSidecar?: (proxyId: string) => void;
  /** Whether a registered proxy takes connections, as its checks say. */
  readonly isListening?: (proxyId: string) => boolean;
}

/** One proxy, followed for one consumer: the wire of the built-in sidecar, or a stream of Envoy's. */
export interface ProxyFeed {
  readonly proxyId: string;
  /** Ends with an error when the proxy can't be followed any longer. To be read once. */
  readonly snapshots: AsyncIterable<ProxySnapshot>;
  /** The proxy serves by what it was given: a check that looks at it needn't wait for its turn. */
  serves(): void;
  /** The proxy has confirmed that it verifies with these roots. */
  holds(rootIds: readonly string[]): void;
}

/** What the consumers of proxies' snapshots need. */
export interface ProxyFeeds {
  /** Rejects with `not_found` when there is no such proxy. The feed ends when `signal` aborts. */
  open(request: ProxyRequest, signal: AbortSignal): Promise<ProxyFeed>;
}

/** What each proxy of this agent must know, derived from watches that the proxies share. */
export interface ProxyConfigs extends Service, ProxyFeeds {
  /** Proxies that verify with the roots of this agent, for reports during a rotation. */
  readonly verifiers: Verifiers;
}

/** Proxies that can be connected at the same time. */
const MAX_SESSIONS = 4_096;

export function createProxyConfigs(deps: ProxyConfigsDeps): ProxyConfigs {
  const { pool, local, leaves, roots, datacenter, node, clock, log } = deps;
  const addresses = defaultAddresses(deps.address);
  const verifiers = new Verifiers(clock, deps.isListening);
  const resolver = createUpstreamResolver({ pool, datacenter, node, clock });
  const tasks = createTaskGroup({
    clock,
    onError: (task, error) => log.warn('sidecar task failed', { task, error: error.message }),
  });
  const callers = new ListedCallers();
  let sessions = 0;
  deps.metrics.gauge(
    { name: 'isthmus_agent_sidecars', help: 'Sidecars and native applications that follow this agent' },
    (set) => set(sessions),
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
      const registration = registrationOf(request, local);
      const { ID: proxyId, Kind } = registration(); // throws before anything is begun
      const kind = kindOf(Kind);
      invariant(kind !== undefined, `${proxyId} is a proxy`);
      const life = linkSignals(signal, tasks.signal);
      const proxy = new FollowedProxy(
        {
          kind,
          context: {
            proxyId,
            datacenter,
            node,
            addresses,
            registered: request.kind !== 'standalone',
            registration,
            exposedChecks: () => local.exposedPaths(proxyId),
            pool,
            resolver,
            onGateway: (upstream, mode) =>
              log.warn('mesh gateways are not offered: the upstream is dialled directly', {
                upstream,
                mesh_gateway: mode,
              }),
            ...(request.token === undefined ? {} : { token: request.token }),
            ...(request.kind === 'registered' && request.separatesCallers === true ? { callers } : {}),
          },
          roots,
          leaves,
          tasks,
          onLocalChange: (listener) => local.onChange(listener),
        },
        life,
      );
      const verifier = verifiers.join(proxyId);
      const exposes = request.kind === 'registered' && request.exposes === true;
      let served: (() => void) | undefined;
      sessions += 1;
      life.signal.addEventListener(
        'abort',
        () => {
          sessions -= 1;
          verifier.leave();
          served?.();
          log.info('sidecar disconnected', { proxy: proxyId });
          deps.onSidecar?.(proxyId);
        },
        { once: true },
      );
      log.info('sidecar connected', { proxy: proxyId, service: proxy.service });
      return {
        proxyId,
        snapshots: proxy.snapshots(),
        serves() {
          if (life.signal.aborted) return;
          if (exposes) served ??= local.servesExposed(proxyId);
          deps.onSidecar?.(proxyId);
        },
        holds(rootIds) {
          if (!life.signal.aborted) verifier.holds(rootIds);
        },
      };
    },
  };
}
