import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AgentProcess,
  type SidecarProcess,
  startAgent,
  startSidecar,
  type WanProxy,
  wanProxy,
} from '../test/harness/index.ts';
import { json } from './api.ts';
import { startDb } from './traffic.ts';

/** The program of this checkout; the demo is run from its top folder. */
const binary = join(process.cwd(), 'bin', 'isthmus');

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
  #db: Awaited<ReturnType<typeof startDb>> | undefined;
  upstreamPort = 0;

  get dc1(): Datacenter {
    return this.#datacenter(0);
  }

  get dc2(): Datacenter {
    return this.#datacenter(1);
  }

  async startPrimary(): Promise<void> {
    await this.#startAgent('dc1', '127.0.1.1', { sidecar_min_port: 21_300, sidecar_max_port: 21_399 }, []);
  }

  async startSecondary(): Promise<void> {
    await this.#startAgent('dc2', '127.0.2.1', { sidecar_min_port: 21_400, sidecar_max_port: 21_499 }, [
      this.#wan[0]?.address ?? '',
    ]);
  }

  async startServices(): Promise<void> {
    this.#db = await startDb();
    await json(this.dc2.http, 'PUT', '/v1/agent/service/register', {
      Name: 'db',
      Port: this.#db.port,
      Connect: { SidecarService: {} },
    });
    await json(this.dc1.http, 'PUT', '/v1/agent/service/register', {
      Name: 'web',
      Connect: {
        SidecarService: {
          Proxy: { Upstreams: [{ DestinationName: 'db', Datacenter: 'dc2', LocalBindPort: 0 }] },
        },
      },
    });
    const [first, second] = this.#agents;
    if (first === undefined || second === undefined) throw new Error('the agents are not running');
    this.#sidecars.push(await startSidecar({ agent: second, sidecarFor: 'db', binary }));
    const web = await startSidecar({ agent: first, sidecarFor: 'web', binary });
    this.#sidecars.push(web);
    const upstream = Object.values(web.ready.upstreams)[0] ?? '';
    this.upstreamPort = Number(upstream.slice(upstream.lastIndexOf(':') + 1));
  }

  async cutWan(): Promise<void> {
    for (const wan of this.#wan) wan.blackHole();
  }

  healWan(): void {
    for (const wan of this.#wan) wan.heal();
  }

  /** What to type to look around, for `--keep`. */
  hints(): string[] {
    const lines: string[] = [];
    for (const dc of [this.dc1, this.dc2]) lines.push(`${dc.datacenter}: CONSUL_HTTP_ADDR=${dc.http}`);
    lines.push(`web reaches db at 127.0.0.1:${this.upstreamPort}, for example: nc 127.0.0.1 ${this.upstreamPort}`);
    for (const sidecar of this.#sidecars) {
      lines.push(`metrics of ${sidecar.ready.proxy}: curl http://${sidecar.ready.metrics}/metrics`);
    }
    const first = this.dc1.http;
    lines.push(
      `bin/isthmus members -wan -http-addr=${first}`,
      `bin/isthmus intention explain -http-addr=${first} web db`,
      `bin/isthmus connect ca status -http-addr=${first}`,
      `bin/isthmus connect ca rotate -watch -http-addr=${first}`,
      `bin/isthmus replication status -http-addr=${this.dc2.http}`,
    );
    return lines;
  }

  /** Stops everything, last started first. */
  async stop(): Promise<void> {
    for (const sidecar of this.#sidecars.splice(0).reverse()) await sidecar.stop();
    for (const agent of this.#agents.splice(0).reverse()) await agent.stop();
    for (const wan of this.#wan.splice(0)) await wan.close();
    this.#db?.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #datacenter(index: number): Datacenter {
    const agent = this.#agents[index];
    if (agent === undefined) throw new Error('the datacenter is not running');
    return { datacenter: agent.ready.datacenter, http: agent.ready.http, server: agent.ready.server };
  }

  async #startAgent(
    datacenter: string,
    wanAddress: string,
    sidecarPorts: Readonly<Record<string, number>>,
    join_: readonly string[],
  ): Promise<void> {
    const agent = await startAgent({
      binary,
      name: `${datacenter}-s1`,
      datacenter,
      dataDir: join(this.#dir, datacenter),
      config: {
        primary_datacenter: 'dc1',
        advertise_addr_wan: wanAddress,
        retry_join_wan: join_,
        ports: sidecarPorts,
      },
    });
    this.#agents.push(agent);
    const port = Number(agent.ready.serf_wan.slice(agent.ready.serf_wan.lastIndexOf(':') + 1));
    this.#wan.push(await wanProxy(agent.ready.serf_wan, { host: wanAddress, port }));
  }
}
