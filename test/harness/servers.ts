import { type AgentProcess, startAgent } from './agent.ts';
import type { EtcdCluster } from './etcd.ts';
import { freePorts } from './ports.ts';
import { type WanProxy, wanProxy } from './wan-proxy.ts';

export interface ServersOptions {
  readonly etcd: EtcdCluster;
  readonly datacenter?: string;
  /** Default 3. */
  readonly count?: number;
  /** Program that they run instead of this version's. */
  readonly binary?: string;
  /** Laid over the configuration of each. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** One of several servers of a datacenter. */
export interface ClusterServer {
  readonly agent: AgentProcess;
  /** Takes the network between it and etcd away, and gives it back. */
  cutOff(how?: 'black hole' | 'reset'): void;
  heal(): void;
  pause(): void;
  resume(): void;
}

export interface ServerCluster {
  readonly servers: readonly ClusterServer[];
  stop(): Promise<void>;
}

const SIDECAR_PORTS = 20;

/** Starts several servers of one datacenter on one etcd, each reaching that over a stretch of network of its own. */
export async function startServers(options: ServersOptions): Promise<ServerCluster> {
  const { etcd, datacenter = 'dc1', count = 3 } = options;
  const proxies: WanProxy[] = [];
  const servers: ClusterServer[] = [];
  const start = async (number: number): Promise<ClusterServer> => {
    const ways = await Promise.all(etcd.endpoints.map((endpoint) => wanProxy(endpoint.replace(/^https?:\/\//, ''))));
    proxies.push(...ways);
    const range = await freePorts(SIDECAR_PORTS);
    const { ports, ...given } = (options.config ?? {}) as { ports?: object };
    const agent = await startAgent({
      name: `${datacenter}-s${number}`,
      datacenter,
      ...(options.binary === undefined ? {} : { binary: options.binary }),
      config: {
        primary_datacenter: 'dc1',
        storage: { engine: 'etcd', etcd: { endpoints: ways.map(({ address }) => address) } },
        ...given,
        ports: { sidecar_min_port: range.first, sidecar_max_port: range.last, ...ports },
      },
    });
    return {
      agent,
      cutOff(how = 'black hole') {
        for (const way of ways) how === 'reset' ? way.reset() : way.blackHole();
      },
      heal() {
        for (const way of ways) way.heal();
      },
      pause: () => agent.signal('SIGSTOP'),
      resume: () => agent.signal('SIGCONT'),
    };
  };
  const stop = async (): Promise<void> => {
    for (const server of servers) {
      server.heal();
      if (server.agent.running) server.resume();
    }
    await Promise.all(servers.map(({ agent }) => agent.stop()));
    await Promise.all(proxies.map((proxy) => proxy.close()));
  };
  try {
    // All at once: nothing has to be started in an order.
    const started = await Promise.allSettled(Array.from({ length: count }, (_, index) => start(index + 1)));
    for (const one of started) if (one.status === 'fulfilled') servers.push(one.value);
    for (const one of started) if (one.status === 'rejected') throw one.reason;
  } catch (error) {
    await stop();
    throw error;
  }
  return { servers, stop };
}
