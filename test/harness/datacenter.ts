import { createFederation, type Federation, type FederationDeps } from '../../src/federation/federation.ts';
import { type Clock, systemClock } from '../../src/lib/clock.ts';
import type { ChangeSource } from '../../src/rpc/contract/changes.ts';
import type { ServerContract } from '../../src/rpc/contract/contract.ts';
import { createRpcListener, type RpcListener } from '../../src/rpc/transport/listener.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';

export interface DatacenterOptions {
  readonly datacenter: string;
  readonly local?: ServerContract;
  readonly changes?: ChangeSource;
  readonly clock?: Clock;
  /** WAN port that is told to others; default the listener's own. */
  readonly advertise?: () => number;
  readonly join?: readonly number[];
  readonly overrides?: Partial<FederationDeps>;
}

/**
 * One server of a datacenter as far as federation goes: a listener on a free port and a federation, in this process.
 */
export interface TestDatacenter {
  readonly federation: Federation;
  readonly listener: RpcListener;
  readonly wanPort: number;
  stop(): Promise<void>;
}

const unused = async (): Promise<never> => {
  throw new Error('this datacenter answers nothing');
};
const NOTHING = { read: unused, write: unused, watch: unused } as unknown as ServerContract;
const never = new AbortController().signal;

export async function startDatacenter(options: DatacenterOptions): Promise<TestDatacenter> {
  const { datacenter, local = NOTHING, clock = systemClock } = options;
  const wanPort = (): number => listener.addresses.serf_wan?.port as number;
  const federation = createFederation({
    datacenter,
    node: `${datacenter}-s1`,
    nodeId: `id-of-${datacenter}-s1`,
    primaryDatacenter: 'dc1',
    build: '1.0.0',
    advertiseWan: () => ({ address: '127.0.0.1', port: options.advertise?.() ?? wanPort() }),
    serverPort: () => listener.addresses.server?.port as number,
    retryJoinWan: (options.join ?? []).map((port) => `127.0.0.1:${port}`),
    local,
    identity: () => ({ epoch: `epoch-of-${datacenter}`, isPrimary: datacenter === 'dc1' }),
    clock,
    monotonicMs: () => performance.now(),
    log: noLog,
    metrics: noMetrics,
    ...options.overrides,
  });
  const listener = createRpcListener({
    listeners: [
      { name: 'server', address: '127.0.0.1', port: 0 },
      { name: 'serf_wan', address: '127.0.0.1', port: 0 },
    ],
    handlers: {
      datacenter: options.datacenter ?? 'dc1',
      contract: local,
      ...federation.handlers,
      ...(options.changes === undefined ? {} : { changes: options.changes }),
    },
    clock,
    log: noLog,
    metrics: noMetrics,
  });
  await listener.start(never);
  await federation.service.start(never);
  return {
    federation,
    listener,
    wanPort: wanPort(),
    stop: async () => {
      await federation.service.stop();
      await listener.stop();
    },
  };
}

/** Resolves once `condition` holds, looked at after each change of the federation. */
export async function until(federation: Federation, condition: () => boolean): Promise<void> {
  if (condition()) return;
  await new Promise<void>((resolve) => {
    const end = federation.onChange(() => {
      if (!condition()) return;
      end();
      resolve();
    });
  });
}
