import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type HttpAnswer, type HttpBody, httpRequest } from './http.ts';
import { type Exit, type ManagedProcess, startProcess } from './managed-process.ts';

/** The program that the processes run, built. ISTHMUS_TEST_BINARY names another build of it. */
export const BINARY = process.env.ISTHMUS_TEST_BINARY ?? join(import.meta.dirname, '..', '..', 'bin', 'isthmus');

export interface AgentReady {
  readonly node: string;
  readonly datacenter: string;
  readonly http: string;
  readonly https?: string;
  readonly dns?: string;
  readonly grpc?: string;
  readonly grpc_tls?: string;
  readonly server: string;
  readonly serf_lan: string;
  readonly serf_wan: string;
  readonly pid: number;
}

export interface AgentOptions {
  /** The node's name. */
  readonly name: string;
  readonly datacenter: string;
  /** Configuration as in a file; wins over the harness's own (a server on 127.0.0.1, every port free). */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Further arguments after `agent`. */
  readonly args?: readonly string[];
  /** Default a new folder that is removed when this process ends. */
  readonly dataDir?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly binary?: string;
  readonly readyWithinMs?: number;
}

export interface AgentProcess {
  readonly name: string;
  readonly ready: AgentReady;
  readonly pid: number;
  readonly dataDir: string;
  readonly logFile: string;
  readonly running: boolean;
  readonly exited: Promise<Exit>;
  stop(withinMs?: number): Promise<Exit>;
  kill9(): Promise<Exit>;
  signal(signal: NodeJS.Signals): void;
  /**
   * Stops it when it runs, then starts it with the same ports and data; `config` is laid over what it had, and `binary`
   * takes the place of the program.
   */
  restart(config?: Readonly<Record<string, unknown>>, binary?: string): Promise<void>;
  log(): string;
  /** Sends a request to its HTTP address. An object as body goes as JSON. */
  http(method: string, path: string, body?: HttpBody, headers?: Readonly<Record<string, string>>): Promise<HttpAnswer>;
}

/** Starts `isthmus agent` and resolves once it is ready. */
export async function startAgent(options: AgentOptions): Promise<AgentProcess> {
  const dataDir = options.dataDir ?? join(temporaryFolder(), 'data');
  const { ports, ...given } = options.config ?? {};
  let config: Record<string, unknown> = {
    node_name: options.name,
    datacenter: options.datacenter,
    server: true,
    bind_addr: '127.0.0.1',
    data_dir: dataDir,
    ...given,
    ports: { http: 0, dns: 0, server: 0, serf_lan: 0, serf_wan: 0, ...(ports as object | undefined) },
  };
  const configFile = `${dataDir}.json`;
  let program = options.binary ?? BINARY;
  const start = (): Promise<ManagedProcess<AgentReady>> => {
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(configFile, JSON.stringify(config, undefined, 2));
    return startProcess<AgentReady>({
      name: options.name,
      command: program,
      args: ['agent', '-config-file', configFile, ...(options.args ?? [])],
      logFile: `${dataDir}.log`,
      readyPrefix: '==> Isthmus agent ready: ',
      ...(options.env !== undefined && { env: options.env }),
      ...(options.readyWithinMs !== undefined && { readyWithinMs: options.readyWithinMs }),
    });
  };
  let current = await start();
  return {
    name: options.name,
    dataDir,
    get ready() {
      return current.ready;
    },
    get pid() {
      return current.pid;
    },
    get logFile() {
      return current.logFile;
    },
    get running() {
      return current.running;
    },
    get exited() {
      return current.exited;
    },
    stop: (withinMs) => current.stop(withinMs),
    kill9: () => current.kill9(),
    signal: (signal) => current.signal(signal),
    async restart(overlay, binary) {
      await current.stop();
      program = binary ?? program;
      config = {
        ...config,
        ...overlay,
        ports: { ...portsOf(config), ...boundPorts(current.ready), ...portsOf(overlay) },
      };
      current = await start();
    },
    log: () => current.log(),
    http: (method, path, body, headers) =>
      httpRequest(`http://${current.ready.http}${path}`, { method, body, headers }),
  };
}

export interface SidecarReady {
  readonly proxy: string;
  /** Absent when nothing is behind it. */
  readonly listen?: string;
  /** Name of the upstream to the address that applications dial. */
  readonly upstreams: Readonly<Record<string, string>>;
  readonly metrics: string;
}

export interface SidecarOptions {
  readonly agent: Pick<AgentProcess, 'ready' | 'dataDir'>;
  /** ID of the service that it stands beside. */
  readonly sidecarFor: string;
  /** Further arguments. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly binary?: string;
  readonly readyWithinMs?: number;
}

export type SidecarProcess = ManagedProcess<SidecarReady>;

/** Starts `isthmus connect proxy` for a service registered with an agent and resolves once it is ready. */
export function startSidecar(options: SidecarOptions): Promise<SidecarProcess> {
  const { agent, sidecarFor } = options;
  const { http } = agent.ready as Partial<AgentReady>; // absent where only HTTPS is on: the arguments say where then
  return startProcess<SidecarReady>({
    name: `sidecar of ${sidecarFor}`,
    command: options.binary ?? BINARY,
    args: [
      'connect',
      'proxy',
      '-sidecar-for',
      sidecarFor,
      ...(http === undefined ? [] : ['-http-addr', http]),
      ...(options.args ?? []),
    ],
    logFile: `${agent.dataDir}.sidecar-${sidecarFor}.log`,
    readyPrefix: '==> Isthmus sidecar ready: ',
    ...(options.env !== undefined && { env: options.env }),
    ...(options.readyWithinMs !== undefined && { readyWithinMs: options.readyWithinMs }),
  });
}

function portsOf(config: Readonly<Record<string, unknown>> | undefined): Record<string, unknown> {
  return { ...(config?.ports as object | undefined) };
}

/** The ports that the agent got, for the next start. */
function boundPorts(ready: AgentReady): Record<string, number> {
  const ports: Record<string, number> = {};
  for (const name of ['http', 'https', 'dns', 'grpc', 'grpc_tls', 'server', 'serf_lan', 'serf_wan'] as const) {
    const address = ready[name];
    if (address !== undefined) ports[name] = Number(address.slice(address.lastIndexOf(':') + 1));
  }
  return ports;
}

const folders = new Set<string>();

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-agent-'));
  if (folders.size === 0)
    process.once('exit', () => {
      for (const each of folders) rmSync(each, { recursive: true, force: true });
    });
  folders.add(folder);
  return folder;
}
