import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EnvoyStatus } from '../src/model/envoy.ts';
import {
  type AgentProcess,
  type EnvoyService,
  envoyProgram,
  json,
  startAgent,
  startEnvoyService,
  until,
} from '../test/harness/index.ts';
import { quantile } from './http-load.ts';
import { type Figure, numbers, parallel, type Row } from './rows.ts';
import { cpuMs, memoryBytes } from './simulate/process-figures.ts';
import { XdsClients } from './xds-clients.ts';

/** What followers by xDS cost an agent: stand-ins by the hundred, and real Envoys. */

const STREAMS = 500;
const ENVOYS = 20;
const CHANGES = 20;
/** Longer than the time between two keepalives of a connection. */
const IDLE_MS = 35_000;
/** After many registrations or connections the process collects what it left behind. */
const SETTLE_MS = 3_000;
const FIRST_PORT = 30_000;

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** db, with one instance behind a sidecar elsewhere: at this port from now on. */
const moveDb = (http: string, port: number): Promise<unknown> =>
  json(http, 'PUT', '/v1/catalog/register', {
    Node: 'far',
    Address: '127.0.0.1',
    Service: {
      Kind: 'connect-proxy',
      ID: 'db-sidecar-proxy',
      Service: 'db-sidecar-proxy',
      Port: port,
      Proxy: { DestinationServiceName: 'db' },
    },
  });

/** CPU of an idle process, milliseconds a second. */
async function idleCpu(pid: number): Promise<number> {
  const before = cpuMs(pid);
  await pause(IDLE_MS);
  return ((cpuMs(pid) - before) * 1_000) / IDLE_MS;
}

interface Followers {
  /** The agent's program. */
  readonly binary: string;
  readonly count: number;
  /** For titles. */
  readonly kind: string;
  /** What the agent knows before they come. */
  prepare(agent: AgentProcess): Promise<void>;
  /** Resolves when all have their endpoint. */
  connect(agent: AgentProcess): Promise<void>;
  /** Makes the change, and resolves with how long it took to the last follower, milliseconds. */
  delay(agent: AgentProcess, port: number): Promise<number>;
  stop(): Promise<void>;
}

async function measure({ binary, count, kind, ...followers }: Followers): Promise<Figure[]> {
  const dir = mkdtempSync(join(tmpdir(), 'isthmus-bench-xds-'));
  const agent = await startAgent({
    name: 'xds',
    datacenter: 'dc1',
    binary,
    dataDir: join(dir, 'xds'),
    config: { log_level: 'warn', ports: { grpc: 0 }, limits: { http_max_conns_per_client: 10_000 } },
  });
  try {
    await moveDb(agent.ready.http, FIRST_PORT);
    await followers.prepare(agent);
    await pause(SETTLE_MS);
    const memoryBefore = memoryBytes(agent.pid);
    const cpuBefore = await idleCpu(agent.pid);
    await followers.connect(agent);
    await pause(SETTLE_MS);
    const memory = (memoryBytes(agent.pid) - memoryBefore) / 1_024 / count;
    const cpu = (await idleCpu(agent.pid)) - cpuBefore;
    const delays: number[] = [];
    for (const number of numbers(CHANGES)) delays.push(await followers.delay(agent, FIRST_PORT + 1 + number));
    const figure = (what: string, unit: string, value: number, samples: number, goal: string): Figure => ({
      what,
      unit,
      value,
      samples,
      goal,
    });
    return [
      figure(`an endpoint change to the last of ${count} ${kind} (p50)`, 'ms', quantile(delays, 0.5), CHANGES, '≤ 60'),
      figure(`… to the last of ${count} ${kind}, the slowest`, 'ms', Math.max(...delays), CHANGES, ''),
      figure(`${count} idle ${kind}: memory of the agent for each`, 'KB', memory, count, '≤ 50'),
      figure(`… ${count} idle ${kind}: CPU of the agent for all`, 'ms/s', cpu, 1, '0'),
    ];
  } finally {
    await followers.stop();
    await agent.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Proxies of as many services, each with db as its upstream. */
export const xds: Row = async (bed) => {
  if (bed.kind !== 'isthmus') return [];
  const clients = new XdsClients();
  const proxies = numbers(STREAMS).map((number) => `web-${number}-sidecar-proxy`);
  return await measure({
    binary: bed.binary,
    count: STREAMS,
    kind: 'xDS streams',
    prepare: ({ ready }) =>
      parallel(numbers(STREAMS), 8, (number) =>
        json(ready.http, 'PUT', '/v1/agent/service/register', {
          Kind: 'connect-proxy',
          Name: proxies[number],
          Port: 10_000 + number,
          Proxy: {
            DestinationServiceName: `web-${number}`,
            Upstreams: [{ DestinationName: 'db', LocalBindPort: 11_000 + number }],
          },
        }),
      ),
    connect: ({ ready }) => clients.follow({ address: ready.grpc ?? '', proxies }),
    async delay({ ready }, port) {
      const begun = performance.now();
      const seen = clients.seen(port);
      await moveDb(ready.http, port);
      await seen;
      return performance.now() - begun;
    },
    stop: () => clients.stop(),
  });
};

/** The same with real Envoys: until the last one has confirmed the endpoint, by the agent's clock. */
export const envoys: Row = async (bed) => {
  if (bed.kind !== 'isthmus') return [];
  const what = `${ENVOYS} real Envoys`;
  if (envoyProgram().missing) {
    const missing = 'no Envoy here: set ENVOY_BIN, or node scripts/envoy.mjs brings one';
    return [{ what, unit: missing, value: Number.NaN, samples: 0, goal: '' }];
  }
  const running: EnvoyService[] = [];
  const status = ({ ready }: AgentProcess): Promise<readonly EnvoyStatus[]> =>
    json(ready.http, 'GET', '/v1/agent/connect/envoys');
  const sent = (all: readonly EnvoyStatus[]): ReadonlyMap<string, number> =>
    new Map(all.map(({ ProxyID, Types }) => [ProxyID, Types.EDS?.Sent ?? 0]));
  return await measure({
    binary: bed.binary,
    count: ENVOYS,
    kind: 'real Envoys',
    prepare: async () => undefined,
    async connect(agent) {
      await parallel(numbers(ENVOYS), 2, async (number) => {
        const upstreams = [{ DestinationName: 'db' }];
        running.push(await startEnvoyService(agent, `web-${number}`, { port: 8_080, upstreams, binary: bed.binary }));
      });
      await until(
        'all Envoys having an endpoint',
        60_000,
        () => status(agent),
        (all) => all.length === ENVOYS && all.every(({ Types }) => Types.EDS?.AcknowledgedAt !== undefined),
      );
    },
    async delay(agent, port) {
      const before = sent(await status(agent));
      const begun = Date.now();
      await moveDb(agent.ready.http, port);
      const after = await until(
        'all Envoys confirming the endpoint',
        30_000,
        () => status(agent),
        (all) =>
          all.every(
            ({ ProxyID, Types: { EDS } }) =>
              (EDS?.Sent ?? 0) > (before.get(ProxyID) ?? 0) && Date.parse(EDS?.AcknowledgedAt ?? '') >= begun,
          ),
      );
      return Math.max(...after.map(({ Types }) => Date.parse(Types.EDS?.AcknowledgedAt ?? ''))) - begun;
    },
    async stop() {
      for (const { envoy } of running) await envoy.stop();
    },
  });
};
