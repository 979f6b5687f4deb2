import { mkdtempSync, rmSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SidecarProcess } from '../test/harness/index.ts';
import { type AgentProcess, startAgent, startSidecar, type WanProxy, wanProxy } from '../test/harness/index.ts';
import { freePorts } from '../test/harness/ports.ts';
import { type EchoApplication, startEcho } from '../test/harness/traffic.ts';
import { json } from './api.ts';
import { wanHost } from './loopback.ts';

/** The program of this checkout; the demo is run from its top folder. */
const binary = join(process.cwd(), 'bin', 'isthmus');

const WAN_DC1 = '127.0.1.1';
const WAN_DC2 = '127.0.2.1';
/** Sidecars that a datacenter may get. */
const SIDECAR_PORTS = 10;

/** What the steps need to know of a running datacenter. */
export interface Datacenter {
  readonly datacenter: string;
  readonly http: string;
  readonly server: string;
}

/**
 * The demo's machines: two agents, two sidecars and an application, all real processes or sockets on loopback. Each
 * datacenter announces itself to the other under a loopback address of its own, where a forwarder stands that can be
 * cut, so that "the WAN" is a thing that can fail.
 */
export class Bed {
  readonly #dir = mkdtempSync(join(tmpdir(), 'isthmus-demo-'));
  readonly #agents: AgentProcess[] = [];
  readonly #sidecars: SidecarProcess[] = [];
  readonly #wan: WanProxy[] = [];
  #db: EchoApplication | undefined;
  /** What is being started now: it has to be there before it can be stopped. */
  #starting: Promise<unknown> = Promise.resolve();
  #stopped = false;
  upstreamPort = 0;

  get dc1(): Datacenter {
    return this.#datacenter(0);
  }

  get dc2(): Datacenter {
    return this.#datacenter(1);
  }

  async startPrimary(): Promise<void> {
    await this.#startAgent('dc1', await wanHost(WAN_DC1), []);
  }

  async startSecondary(): Promise<void> {
    await this.#startAgent('dc2', await wanHost(WAN_DC2), [this.#wan[0]?.address ?? '']);
  }

  async startServices(): Promise<void> {
    this.#db = await startEcho('db');
    this.upstreamPort = (await freePorts(1)).first;
    await json(this.dc2.http, 'PUT', '/v1/agent/service/register', {
      Name: 'db',
      Port: this.#db.port,
      // Reached from dc1 under the WAN address of dc2.
      Connect: { SidecarService: isIPv6(await wanHost(WAN_DC2)) ? { Proxy: { Config: { bind_address: '::' } } } : {} },
    });
    await json(this.dc1.http, 'PUT', '/v1/agent/service/register', {
      Name: 'web',
      Connect: {
        SidecarService: {
          Proxy: { Upstreams: [{ DestinationName: 'db', Datacenter: 'dc2', LocalBindPort: this.upstreamPort }] },
        },
      },
    });
    const [first, second] = this.#agents;
    if (first === undefined || second === undefined) throw new Error('the agents are not running');
    await this.#startSidecar(second, 'db');
    await this.#startSidecar(first, 'web');
  }

  async cutWan(): Promise<void> {
    for (const wan of this.#wan) wan.blackHole();
  }

  healWan(): void {
    for (const wan of this.#wan) wan.heal();
  }

  /** Services of which only the identity matters: each gets its certificate from its datacenter's agent. */
  async issueCertificates(count: number): Promise<void> {
    for (const { http } of [this.dc1, this.dc2]) {
      const names = Array.from({ length: count }, (_, index) => `app-${index + 1}`);
      await Promise.all(names.map((name) => json(http, 'GET', `/v1/agent/connect/ca/leaf/${name}`)));
    }
  }

  /** What to type to look around, for `--keep`. */
  hints(): string[] {
    const { http } = this.dc1;
    const metrics = this.#sidecars.map(({ ready }) => `curl http://${ready.metrics}/metrics   # ${ready.proxy}`);
    return [
      '# In another terminal, in this folder:',
      `export CONSUL_HTTP_ADDR=${http}   # dc1; dc2 is ${this.dc2.http}`,
      'bin/isthmus members -wan',
      'bin/isthmus catalog services -datacenter dc2',
      'bin/isthmus intention explain web db',
      'bin/isthmus connect ca status',
      'bin/isthmus connect ca rotate -watch',
      'bin/isthmus replication status -datacenter dc2',
      'curl $CONSUL_HTTP_ADDR/v1/agent/metrics?format=prometheus',
      ...metrics,
      '# web reaches db through both sidecars:',
      `(echo hello; sleep 1) | nc 127.0.0.1 ${this.upstreamPort}`,
      `# Logs and data: ${this.#dir}`,
    ];
  }

  /** Where the logs are, and all data. */
  get folder(): string {
    return this.#dir;
  }

  /** Stops everything, last started first; what is just being started is awaited. Starts nothing from then on. */
  async stop({ keepLogs = false } = {}): Promise<void> {
    this.#stopped = true;
    await this.#starting.catch(() => undefined); // told where it was started
    for (const process of [...this.#agents.splice(0), ...this.#sidecars.splice(0)].reverse())
      await process.stop().catch(() => undefined); // killed then
    for (const wan of this.#wan.splice(0)) await wan.close();
    await this.#db?.close();
    if (!keepLogs) rmSync(this.#dir, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Keeps what `start` resolves with, so that it is stopped, also when that happens while it starts. */
  async #launch<T>(list: T[], start: () => Promise<T>): Promise<T> {
    if (this.#stopped) throw new Error('stopped');
    const launched = start().then((process) => {
      list.push(process);
      return process;
    });
    this.#starting = launched;
    return launched;
  }

  #startSidecar(agent: AgentProcess, sidecarFor: string): Promise<SidecarProcess> {
    return this.#launch(this.#sidecars, () => startSidecar({ agent, sidecarFor, binary }));
  }

  #datacenter(index: number): Datacenter {
    const agent = this.#agents[index];
    if (agent === undefined) throw new Error('the datacenter is not running');
    return { datacenter: agent.ready.datacenter, http: agent.ready.http, server: agent.ready.server };
  }

  async #startAgent(datacenter: string, host: string, join_: readonly string[]): Promise<void> {
    const range = await freePorts(SIDECAR_PORTS);
    const agent = await this.#launch(this.#agents, () =>
      startAgent({
        binary,
        name: `${datacenter}-s1`,
        datacenter,
        dataDir: join(this.#dir, datacenter),
        config: {
          primary_datacenter: 'dc1',
          advertise_addr_wan: host,
          retry_join_wan: join_,
          ports: { sidecar_min_port: range.first, sidecar_max_port: range.last },
        },
      }),
    );
    const port = Number(agent.ready.serf_wan.slice(agent.ready.serf_wan.lastIndexOf(':') + 1));
    await this.#launch(this.#wan, () => wanProxy(agent.ready.serf_wan, { host, port }));
  }
}
