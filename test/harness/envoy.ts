import { readdirSync, readFileSync } from 'node:fs';
import { kill } from 'node:process';
import { findEnvoy } from '../../scripts/envoy.mjs';
import { type AgentProcess, BINARY } from './agent.ts';
import { callAgent } from './call.ts';
import { httpRequest } from './http.ts';
import { type ManagedProcess, startProcess } from './managed-process.ts';
import { freePorts } from './ports.ts';
import type { Program } from './programs.ts';
import { waitFor } from './wait-for.ts';

/** The real Envoy; ENVOY_BIN names another one. CI brings one (`scripts/envoy.mjs`). */
export function envoyProgram(): Program {
  const path = findEnvoy();
  const missing = path === undefined && process.env.CI !== 'true';
  return {
    path: path ?? 'envoy',
    missing,
    title: (text) => (missing ? `${text} (skipped: no Envoy here; node scripts/envoy.mjs brings one)` : text),
  };
}

export interface EnvoyOptions {
  readonly agent: Pick<AgentProcess, 'ready' | 'dataDir'>;
  /** ID of the service that it stands beside. */
  readonly sidecarFor: string;
  readonly token?: string;
  /** The program, when it is not that of this checkout's tests. */
  readonly binary?: string;
  /** Further arguments of `isthmus connect envoy`; what stands behind `--` goes to Envoy. */
  readonly args?: readonly string[];
}

/** One that runs, by `isthmus connect envoy`. */
export interface EnvoyProcess {
  readonly process: ManagedProcess<unknown>;
  /** Address of its administration. */
  readonly admin: string;
  /** Asks its administration. */
  ask(path: string, method?: string): Promise<string>;
  /** Reaches the Envoy itself, whether the command became it or stays its parent. */
  signal(signal: NodeJS.Signals): void;
  /** Stops the Envoy itself by SIGSTOP; resolves once none of its threads runs any more. */
  pause(): Promise<void>;
  /** A counter or gauge; 0 when there is none of this name. */
  stat(name: string): Promise<number>;
  stop(): Promise<void>;
}

/** Starts an Envoy for a service registered with an agent and resolves once all its listeners are open. */
export async function startEnvoy({
  agent,
  sidecarFor,
  token,
  args = [],
  binary = BINARY,
}: EnvoyOptions): Promise<EnvoyProcess> {
  const { grpc, http } = agent.ready;
  if (grpc === undefined) throw new Error('the agent serves no xDS: set ports.grpc');
  const admin = `127.0.0.1:${(await freePorts(1)).first}`;
  const process = await startProcess<unknown>({
    name: `Envoy of ${sidecarFor}`,
    command: binary,
    args: [
      ...['connect', 'envoy', '-sidecar-for', sidecarFor, '-http-addr', http, '-grpc-addr', grpc],
      ...['-admin-bind', admin, '-envoy-binary', envoyProgram().path],
      ...args,
      ...(args.includes('--') ? [] : ['--']),
      ...['--concurrency', '1', '--log-level', 'warn'],
    ],
    ...(token === undefined ? {} : { env: { CONSUL_HTTP_TOKEN: token } }),
    logFile: `${agent.dataDir}.envoy-${sidecarFor}.log`,
  });
  const ask = async (path: string, method = 'GET'): Promise<string> =>
    (await httpRequest(`http://${admin}${path}`, { method })).body;
  try {
    await waitFor(
      async () => {
        if (!process.running) throw new Error(`Envoy ended: ${process.log().slice(-2_000)}`);
        return (await ask('/ready')).startsWith('LIVE');
      },
      { what: `the Envoy of ${sidecarFor}` },
    );
  } catch (error) {
    await process.stop();
    throw error;
  }
  return {
    process,
    admin,
    ask,
    signal: (signal) => void kill(envoyPid(process.pid), signal),
    async pause() {
      const pid = envoyPid(process.pid);
      kill(pid, 'SIGSTOP');
      await waitFor(async () => threadStates(pid).every((state) => state === 'T'), { what: 'a stopped Envoy' });
    },
    async stat(name) {
      const found = (await ask(`/stats?filter=^${name.replaceAll('.', '\\.')}$`))
        .split('\n')
        .find((line) => line !== '');
      return Number(found?.slice(found.indexOf(':') + 1) ?? 0);
    },
    async stop() {
      await process.stop();
    },
  };
}

/** Before Node 22.15 the command can't become the Envoy: it is its only child. */
function envoyPid(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children === '' ? pid : Number(children.split(' ')[0]);
}

/** One letter for each thread, as proc(5) says: 'T' is stopped. */
function threadStates(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).charAt(0);
  });
}

export interface EnvoyServiceOptions {
  /** Of the application behind it. */
  readonly port?: number;
  /** As in a registration; each gets a free port when it names none. */
  readonly upstreams?: readonly Readonly<Record<string, unknown>>[];
  /** Opaque options of the proxy. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly args?: readonly string[];
  readonly token?: string;
  /** The program, when it is not that of this checkout's tests. */
  readonly binary?: string;
}

/** A service with an Envoy as its sidecar. */
export interface EnvoyService {
  readonly id: string;
  readonly envoy: EnvoyProcess;
  /** Ports at which the application reaches its upstreams, by their names. */
  readonly upstreamPorts: Readonly<Record<string, number>>;
}

/** Registers a service with an agent and starts its Envoy. */
export async function startEnvoyService(
  agent: AgentProcess,
  name: string,
  { port, upstreams = [], config = {}, args, token, binary }: EnvoyServiceOptions = {},
): Promise<EnvoyService> {
  const bound = await Promise.all(
    upstreams.map(async (upstream) => ({ LocalBindPort: (await freePorts(1)).first, ...upstream })),
  );
  await callAgent(agent, 'PUT', '/v1/agent/service/register', {
    Name: name,
    ...(port === undefined ? {} : { Port: port }),
    Connect: { SidecarService: { Proxy: { Upstreams: bound, Config: config } } },
  });
  const envoy = await startEnvoy({
    agent,
    sidecarFor: name,
    ...(args === undefined ? {} : { args }),
    ...(token === undefined ? {} : { token }),
    ...(binary === undefined ? {} : { binary }),
  });
  return {
    id: name,
    envoy,
    upstreamPorts: Object.fromEntries(
      bound.map((upstream) => [
        String((upstream as { DestinationName?: unknown }).DestinationName),
        upstream.LocalBindPort,
      ]),
    ),
  };
}
