import { httpRequest, startAgent, startEtcd } from '../../test/harness/index.ts';
import { startServers } from '../../test/harness/servers.ts';
import { cpuMs } from './process-figures.ts';

export interface Server {
  readonly name: string;
  readonly pid: number;
  /** Where agents connect. */
  readonly join: string;
  get<T>(path: string): Promise<T>;
  /** Bytes of watched answers that it has sent. */
  watchBytes(): Promise<number>;
  kill(): Promise<void>;
}

export interface Servers {
  readonly all: readonly Server[];
  stop(): Promise<void>;
}

type Agent = Awaited<ReturnType<typeof startAgent>>;

/** All agents come from one address here. */
const CONFIG = { log_level: 'error', limits: { rpc_max_conns_per_client: 0 } };

/** One server with its embedded store, or several on one etcd member. */
export async function startAll(count: number): Promise<Servers> {
  if (count === 1) {
    const agent = await startAgent({ name: 's1', datacenter: 'dc1', config: CONFIG });
    return { all: [described(agent)], stop: async () => void (await agent.stop()) };
  }
  const etcd = await startEtcd({ members: 1 });
  const cluster = await startServers({ etcd, count, config: CONFIG });
  return {
    all: cluster.servers.map(({ agent }) => described(agent)),
    async stop() {
      await cluster.stop();
      await etcd.stop();
    },
  };
}

export function cpuOf(servers: readonly Server[]): number {
  return servers.reduce((sum, { pid }) => sum + cpuMs(pid), 0);
}

export async function watchBytesOf(servers: readonly Server[]): Promise<number> {
  const each = await Promise.all(servers.map((server) => server.watchBytes()));
  return each.reduce((sum, bytes) => sum + bytes, 0);
}

function described(agent: Agent): Server {
  return {
    name: agent.name,
    pid: agent.pid,
    join: agent.ready.serf_lan,
    async get<T>(path: string) {
      const answer = await agent.http('GET', path);
      if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.body}`);
      return answer.json<T>();
    },
    async watchBytes() {
      const { body } = await httpRequest(`http://${agent.ready.http}/v1/agent/metrics?format=prometheus`);
      return body
        .split('\n')
        .filter((line) => line.startsWith('isthmus_rpc_watch_bytes_total{'))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
    },
    kill: async () => void (await agent.kill9()),
  };
}
