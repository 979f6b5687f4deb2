import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AgentProcess,
  freePorts,
  json,
  type SidecarProcess,
  startAgent,
  startSidecar,
  until,
} from '../test/harness/index.ts';

/** What is measured: a build of Isthmus, or Consul. */
export interface Program {
  /** As the head of its column. */
  readonly name: string;
  start(): Promise<Bed>;
}

/** Two federated datacenters to be measured. */
export interface Bed {
  readonly kind: 'isthmus' | 'consul';
  /** The program that runs. */
  readonly binary: string;
  /** Its code is the one that this process was built from. */
  readonly own: boolean;
  readonly dc1: string;
  readonly dc2: string;
  /** DNS of dc1's server. */
  readonly dns: string;
  /** Process IDs of the servers. */
  readonly pids: readonly number[];
  /** Milliseconds from the first server's start until it answered as ready. */
  readonly readyMs: number;
  /** Milliseconds from the second server's start until its certificate authority was ready. */
  readonly federatedMs: number;
  /** Starts the sidecar of a registered service. */
  sidecar(datacenter: 1 | 2, serviceId: string): Promise<void>;
  /** Process IDs of the sidecars, in the order of their start. */
  sidecarPids(): readonly number[];
  stop(): Promise<void>;
  /** Ends all at once, also what does not answer any more. */
  kill(): Promise<void>;
}

const SIDECAR_PORTS = [
  { sidecar_min_port: 22_100, sidecar_max_port: 22_199 },
  { sidecar_min_port: 22_200, sidecar_max_port: 22_299 },
] as const;

/** How long a server may take to be ready, and another datacenter to be joined. */
const START_MS = 60_000;

/** Bulk registrations and watchers from one client must not meet the limit per client. */
const LIMITS = { http_max_conns_per_client: 10_000 };
/** Consul limits CSRs; all are measured without that limit. */
const CONNECT = { enabled: true, ca_config: { csr_max_per_second: 0, csr_max_concurrent: 0 } };

/** A build of Isthmus. */
export function isthmus(name: string, binary: string, own: boolean): Program {
  return { name, start: () => startIsthmus(binary, own) };
}

/** Consul, from the binary that CONSUL_BIN names. */
export function consul(binary: string): Program {
  return { name: 'Consul', start: () => startConsul(binary) };
}

async function startIsthmus(binary: string, own: boolean): Promise<Bed> {
  const dir = mkdtempSync(join(tmpdir(), 'isthmus-bench-'));
  const agents: AgentProcess[] = [];
  const sidecars: SidecarProcess[] = [];
  const start = async (index: 0 | 1, join_: readonly string[]): Promise<AgentProcess> => {
    const datacenter = `dc${index + 1}`;
    const agent = await startAgent({
      name: `${datacenter}-s1`,
      datacenter,
      binary,
      dataDir: join(dir, datacenter),
      readyWithinMs: START_MS,
      config: {
        primary_datacenter: 'dc1',
        retry_join_wan: join_,
        log_level: 'warn',
        limits: LIMITS,
        connect: CONNECT,
        ports: SIDECAR_PORTS[index],
      },
    });
    agents.push(agent);
    return agent;
  };
  const kill = async (): Promise<void> => {
    for (const each of [...sidecars, ...agents]) if (each.running) await each.kill9();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const begun = Date.now();
    const first = await start(0, []);
    const readyMs = Date.now() - begun;
    const second = Date.now();
    const other = await start(1, [first.ready.serf_wan]);
    await until('federation', START_MS, () => roots(other.ready.http), Boolean);
    return {
      ...{ kind: 'isthmus', binary, own, readyMs },
      dc1: first.ready.http,
      dc2: other.ready.http,
      dns: first.ready.dns ?? '',
      pids: agents.map((agent) => agent.pid),
      federatedMs: Date.now() - second,
      async sidecar(datacenter, sidecarFor) {
        sidecars.push(await startSidecar({ agent: datacenter === 1 ? first : other, sidecarFor, binary }));
      },
      sidecarPids: () => sidecars.map(({ pid }) => pid),
      async stop() {
        for (const sidecar of sidecars) await sidecar.stop();
        for (const agent of agents) await agent.stop();
        rmSync(dir, { recursive: true, force: true });
      },
      kill,
    };
  } catch (error) {
    await kill();
    throw error;
  }
}

async function startConsul(binary: string): Promise<Bed> {
  const dir = mkdtempSync(join(tmpdir(), 'consul-bench-'));
  const children: ReturnType<typeof spawn>[] = [];
  const start = async (index: 0 | 1, joinWan: readonly string[]) => {
    const datacenter = `dc${index + 1}`;
    const { first: http } = await freePorts(5);
    const [server, lan, wan, dns] = [http + 1, http + 2, http + 3, http + 4];
    const file = join(dir, `${datacenter}.json`);
    const config = {
      node_name: `${datacenter}-s1`,
      datacenter,
      primary_datacenter: 'dc1',
      server: true,
      bootstrap: true,
      bind_addr: '127.0.0.1',
      data_dir: join(dir, datacenter),
      retry_join_wan: joinWan,
      retry_interval_wan: '1s',
      log_level: 'warn',
      limits: LIMITS,
      connect: CONNECT,
      ports: { http, server, serf_lan: lan, serf_wan: wan, dns, grpc: -1, ...SIDECAR_PORTS[index] },
    };
    writeFileSync(file, JSON.stringify(config));
    const child = spawn(binary, ['agent', '-config-file', file], { stdio: 'ignore' });
    children.push(child);
    return { http: `127.0.0.1:${http}`, dns: `127.0.0.1:${dns}`, wan: `127.0.0.1:${wan}`, pid: child.pid ?? 0 };
  };
  const kill = async (): Promise<void> => {
    for (const child of children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const begun = Date.now();
    const first = await start(0, []);
    await until('the first server', START_MS, () => roots(first.http), Boolean);
    const readyMs = Date.now() - begun;
    const second = Date.now();
    const other = await start(1, [first.wan]);
    await until('federation', START_MS, () => roots(other.http), Boolean);
    const proxies: number[] = [];
    return {
      ...{ kind: 'consul', binary, own: false, readyMs },
      dc1: first.http,
      dc2: other.http,
      dns: first.dns,
      pids: [first.pid, other.pid],
      federatedMs: Date.now() - second,
      async sidecar(datacenter, serviceId) {
        const http = datacenter === 1 ? first.http : other.http;
        const args = ['connect', 'proxy', '-sidecar-for', serviceId, `-http-addr=${http}`, '-log-level=err'];
        const child = spawn(binary, args, { stdio: 'ignore' });
        children.push(child);
        proxies.push(child.pid ?? 0);
      },
      sidecarPids: () => proxies,
      stop: kill,
      kill,
    };
  } catch (error) {
    await kill();
    throw error;
  }
}

/** True once the datacenter has an active root and signs below it. */
async function roots(http: string): Promise<boolean> {
  const answer = await json<{ ActiveRootID: string }>(http, 'GET', '/v1/connect/ca/roots');
  if (answer.ActiveRootID === '') return false;
  await json(http, 'GET', '/v1/agent/connect/ca/leaf/probe');
  return true;
}
