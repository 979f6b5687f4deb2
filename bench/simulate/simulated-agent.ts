import { loadConfig } from '../../src/config/load.ts';
import { systemConfigDeps } from '../../src/config/system-deps.ts';
import { createClientCore } from '../../src/daemon/client/client-core.ts';
import type { Core } from '../../src/daemon/core.ts';
import { createNodeAgent, type NodeAgent } from '../../src/daemon/node/node-agent.ts';
import { loadNodeKey } from '../../src/daemon/node/node-key.ts';
import { Certificates } from '../../src/daemon/security/certificates.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { newUuid } from '../../src/lib/ids.ts';
import { createServiceGroup } from '../../src/lib/service.ts';
import type { ServiceInstance } from '../../src/model/catalog.ts';
import { decodeServiceDefinition } from '../../src/model/registration/definitions.ts';
import { OwnCsrs } from '../../src/pki/csr.ts';
import { WatchPool } from '../../src/rpc/subscribe/watch-pool.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';

/**
 * One node's agent without HTTP and DNS: its session, its services and checks, its sync and its watches are the real
 * ones.
 */
export interface SimulatedAgent {
  readonly name: string;
  readonly core: Core;
  readonly agent: NodeAgent;
  /**
   * Registers an instance of each service, with a TTL check that passes. `id` where there are several of one service.
   */
  register(services: readonly { readonly name: string; readonly id?: string }[]): Promise<void>;
  /** Follows the instances of a service, the healthy ones or all. */
  follow(service: string, passing: boolean, onAnswer: (instances: readonly ServiceInstance[]) => void): void;
  /** What the check of one of its instances says. */
  report(id: string, status: 'passing' | 'warning' | 'critical'): void;
  /** The server that it has a session with; '' is none. */
  server(): string;
  stop(): Promise<void>;
}

const TTL = '24h';
const STOP_MS = 10_000;

export async function startSimulated(name: string, servers: readonly string[]): Promise<SimulatedAgent> {
  const flags = { node: [name], server: ['false'], 'retry-join': servers };
  const loaded = loadConfig({ flags, sources: [], dev: true }, systemConfigDeps);
  const clock = systemClock;
  const nodeId = newUuid();
  const parts = { loaded, nodeId, clock, log: noLog, metrics: noMetrics };
  const core = createClientCore({
    ...parts,
    nodeKey: loadNodeKey(''),
    certificates: new Certificates({ ...parts, tls: loaded.config.tls }),
  });
  for (const service of core.services)
    service.onFailure?.((error) => {
      throw error;
    });
  const agent = createNodeAgent({
    ...parts,
    contract: core.contract,
    trusted: core.trusted,
    tokens: core.tokens,
    ownCsrs: new OwnCsrs(),
  });
  core.onBehind(() => agent.local.requestSync());
  const pool = new WatchPool({ contract: core.contract, clock, log: noLog, metrics: noMetrics });
  const group = createServiceGroup([...core.services, ...agent.services, pool], clock);
  await group.start(new AbortController().signal);
  return {
    name,
    core,
    agent,
    async register(services) {
      for (const { name: service, id = service } of services) {
        const check = { Name: `ttl of ${id}`, CheckID: `ttl-${id}`, TTL, Status: 'passing' };
        await agent.local.registerService(
          decodeServiceDefinition({ Name: service, ID: id, Port: 8_080, Check: check }),
        );
      }
    },
    follow(service, passing, onAnswer) {
      pool.follow('health.service', { service, passing }, {}, ({ value, problem }) => {
        if (value !== undefined && problem === undefined) onAnswer(value);
      });
    },
    report: (id, status) => agent.local.updateTtl(`ttl-${id}`, status, status),
    server: () => core.stats().session?.server ?? '',
    stop: () => group.stop(STOP_MS),
  };
}
