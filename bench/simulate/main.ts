import { parseArgs } from 'node:util';
import { waitFor, withoutEtcd } from '../../test/harness/index.ts';
import { Followers } from './followers.ts';
import { memoryBytes, quantile } from './process-figures.ts';
import { cpuOf, type Server, startAll, watchBytesOf } from './servers.ts';
import { type SimulatedAgent, startSimulated } from './simulated-agent.ts';

/**
 * Many agents in this process, against real servers. Every agent registers services, and follows services of others;
 * then instances change, one server is killed, and all is measured. docs/capacity.md reckons with the figures.
 */

const { values } = parseArgs({
  options: {
    agents: { type: 'string', default: '500' },
    services: { type: 'string', default: '10' },
    servers: { type: 'string', default: withoutEtcd() === undefined ? '3' : '1' },
    changes: { type: 'string', default: '100' },
    json: { type: 'boolean', default: false },
  },
  args: process.argv.slice(2).map((text) => text.replace(/^-(?=[a-z])/, '--')),
});
const AGENTS = Number(values.agents);
const SERVICES = Number(values.services);
const CHANGES = Number(values.changes);

/** Agents that start at the same time. */
const STARTS_AT_ONCE = 50;
/** Services that each agent follows, and instances of each service. */
const FOLLOWED = 3;
const INSTANCES = 10;
/** Agents of the small population that the cost of a change is measured with first. */
const FEW = 10;
/** Instances of the big service on each agent, and how often one of them changes, there and back. */
const BIG_A_NODE = 2;
const BIG_CHANGES = 10;
const LONG_MS = 300_000;

const MIB = 1_048_576;
const figures: Record<string, number> = {};
const followers = new Followers();

function tell(name: string, value: number): void {
  figures[name] = Math.round(value * 100) / 100;
  if (!values.json) console.log(`${name.padEnd(58)} ${figures[name]}`);
}

const serviceName = (number: number): string => `svc-${Math.floor(number / INSTANCES)}`;
const ownServices = (agent: number): string[] =>
  Array.from({ length: SERVICES }, (_, n) => serviceName(agent + n * AGENTS));

async function startAgents(from: number, to: number, servers: readonly Server[]): Promise<SimulatedAgent[]> {
  const join = servers.map((server) => server.join);
  const agents: SimulatedAgent[] = [];
  for (let at = from; at < to; at += STARTS_AT_ONCE) {
    const numbers = Array.from({ length: Math.min(STARTS_AT_ONCE, to - at) }, (_, n) => at + n);
    agents.push(
      ...(await Promise.all(
        numbers.map(async (number) => {
          const agent = await startSimulated(`sim-${number}`, join);
          await agent.register(ownServices(number).map((name) => ({ name })));
          return agent;
        }),
      )),
    );
  }
  await registered(agents);
  return agents;
}

async function registered(agents: readonly SimulatedAgent[]): Promise<void> {
  await waitFor(async () => agents.every(({ agent }) => agent.local.synced), {
    what: 'the registration of all services',
    timeout: LONG_MS,
  });
}

/** Changes one instance after the other, each time until all who follow its service know. */
async function measureChanges(label: string, agents: readonly SimulatedAgent[], servers: readonly Server[]) {
  const wakes: number[] = [];
  const [cpu, bytes] = [cpuOf(servers), await watchBytesOf(servers)];
  let told = 0;
  for (let change = 0; change < CHANGES; change += 1) {
    const at = (change * 7) % agents.length;
    const service = ownServices(at)[change % SERVICES] as string;
    for (const status of ['critical', 'passing'] as const) {
      const woken = await followers.wake(service, () => agents[at]?.report(service, status));
      wakes.push(...woken);
      told += woken.length;
    }
  }
  wakes.sort((a, b) => a - b);
  tell(`${label}: rows of services`, agents.length * SERVICES);
  tell(`${label}: watchers of a change`, told / (2 * CHANGES));
  tell(`${label}: all servers' CPU a change, ms`, (cpuOf(servers) - cpu) / (2 * CHANGES));
  tell(`${label}: bytes a change and watcher`, ((await watchBytesOf(servers)) - bytes) / Math.max(1, told));
  tell(`${label}: wake-up p50, ms`, quantile(wakes, 0.5));
  tell(`${label}: wake-up p99, ms`, quantile(wakes, 0.99));
}

/** Each agent follows services that the first few agents have instances of, or others of its own kind. */
function followAll(agents: readonly SimulatedAgent[], from: number): void {
  for (const [n, agent] of agents.entries())
    for (let k = 0; k < FOLLOWED; k += 1)
      followers.add(agent, ownServices((from + n + k * 13) % (from + agents.length))[k % SERVICES] as string);
}

/** One service with instances on every agent, followed by every agent: one of its instances changes. */
async function measureBig(agents: readonly SimulatedAgent[], servers: readonly Server[]): Promise<void> {
  const ids = Array.from({ length: BIG_A_NODE }, (_, n) => `big-${n}`);
  await Promise.all(agents.map((agent) => agent.register(ids.map((id) => ({ name: 'big', id })))));
  await registered(agents);
  for (const agent of agents) followers.add(agent, 'big', false);
  await settled();
  const wakes: number[] = [];
  const [cpu, bytes] = [cpuOf(servers), await watchBytesOf(servers)];
  for (let change = 0; change < BIG_CHANGES; change += 1)
    for (const status of ['warning', 'passing'] as const) {
      const agent = agents[(change * 7) % agents.length];
      wakes.push(...(await followers.wake('big', () => agent?.report('big-0', status))));
    }
  wakes.sort((a, b) => a - b);
  tell('one big service: instances', agents.length * BIG_A_NODE);
  tell('one big service: watchers', agents.length);
  tell(
    'one big service: bytes a change and watcher',
    ((await watchBytesOf(servers)) - bytes) / Math.max(1, wakes.length),
  );
  tell(
    "one big service: all servers' CPU a change and watcher, ms",
    (cpuOf(servers) - cpu) / Math.max(1, wakes.length),
  );
  tell('one big service: wake-up p50, ms', quantile(wakes, 0.5));
  tell('one big service: wake-up p99, ms', quantile(wakes, 0.99));
}

const settled = () => waitFor(async () => followers.settled, { what: 'the first answers', timeout: LONG_MS });

async function loseOneServer(agents: readonly SimulatedAgent[], servers: readonly Server[]): Promise<void> {
  const [victim, ...others] = servers;
  if (victim === undefined || others[0] === undefined) return;
  const survivor = others[0];
  const moved = agents.filter((agent) => agent.server() === victim.name);
  const before = await criticalNodes(survivor);
  const [cpu, started] = [cpuOf(others), performance.now()];
  await victim.kill();
  const elsewhere = (agent: SimulatedAgent): boolean => agent.server() !== '' && agent.server() !== victim.name;
  await waitFor(async () => moved.every(elsewhere), {
    what: 'all agents on other servers',
    timeout: LONG_MS,
    interval: 5,
  });
  tell('server lost: agents that moved', moved.length);
  tell('server lost: all have a session again, ms', performance.now() - started);
  tell("server lost: the others' CPU an agent that moved, ms", (cpuOf(others) - cpu) / Math.max(1, moved.length));
  await new Promise((resolve) => setTimeout(resolve, 20_000)); // past the lease of the lost server and the node timeout
  tell('server lost: nodes turned critical', (await criticalNodes(survivor)) - before);
}

/** Nodes of simulated agents that count as lost. */
async function criticalNodes(server: Server): Promise<number> {
  const checks = await server.get<readonly { Node: string; CheckID: string }[]>('/v1/health/state/critical');
  return checks.filter(({ Node, CheckID }) => CheckID === 'serfHealth' && Node.startsWith('sim-')).length;
}

const servers = await startAll(Number(values.servers));
let agents: SimulatedAgent[] = [];
try {
  tell('servers', servers.all.length);
  const idle = servers.all.map(({ pid }) => memoryBytes(pid));
  agents = await startAgents(0, Math.min(FEW, AGENTS), servers.all);
  followAll(agents, 0);
  await settled();
  await measureChanges('few', agents, servers.all);

  const [ownMemory, cpu, started] = [process.memoryUsage().rss, cpuOf(servers.all), performance.now()];
  const few = agents.length;
  agents = [...agents, ...(await startAgents(few, AGENTS, servers.all))];
  tell('storm: agents', agents.length);
  tell('storm: services', agents.length * SERVICES);
  tell('storm: until all are in the catalog, s', (performance.now() - started) / 1_000);
  tell("storm: all servers' CPU a service, ms", (cpuOf(servers.all) - cpu) / ((AGENTS - few) * SERVICES || 1));
  followAll(agents.slice(few), few);
  await settled();
  tell('memory of a simulated agent, KiB', (process.memoryUsage().rss - ownMemory) / 1_024 / Math.max(1, AGENTS - few));
  tell('memory of a server before, MiB', Math.max(...idle) / MIB);
  tell('memory of a server with all, MiB', Math.max(...servers.all.map(({ pid }) => memoryBytes(pid))) / MIB);

  const [quiet, quietFrom] = [cpuOf(servers.all), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  tell("quiet: all servers' CPU, % of a core", ((cpuOf(servers.all) - quiet) * 100) / (performance.now() - quietFrom));

  await measureChanges('all', agents, servers.all);
  await measureBig(agents, servers.all);
  await loseOneServer(agents, servers.all);
  if (values.json) console.log(JSON.stringify(figures, undefined, 2));
} finally {
  await Promise.allSettled(agents.map((agent) => agent.stop()));
  await servers.stop();
}
