import { mkdtempSync, rmSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AgentProcess,
  type EchoApplication,
  type EnvoyService,
  type EnvoyServiceOptions,
  freePorts,
  json,
  portOf,
  type SidecarProcess,
  startAgent,
  startEcho,
  startEnvoyService,
  startSidecar,
  type WanProxy,
  wanProxy,
} from '../test/harness/index.ts';
import { startHttpApplication } from './http-application.ts';
import { wanHost } from './loopback.ts';
import { Protection } from './protection.ts';

/** The program of this checkout; the demo is run from its top folder. */
export const BINARY = join(process.cwd(), 'bin', 'isthmus');

/** Sidecars that a datacenter may get. */
const SIDECAR_PORTS = 10;
const PORTS_OF_A_SERVER = 6;

export type Name = 'dc1' | 'dc2' | 'dc3';

/** Where each datacenter is seen from the others, if this machine has that address. */
const WAN_HOSTS: Readonly<Record<Name, string>> = { dc1: '127.0.1.1', dc2: '127.0.2.1', dc3: '127.0.3.1' };

/** A running datacenter: one server, and the sidecars of its services. */
export interface Datacenter {
  readonly datacenter: Name;
  readonly http: string;
  readonly server: string;
  readonly dns: string;
  /** Where other datacenters join. */
  readonly wan: string;
}

interface Running {
  readonly name: Name;
  readonly agent: AgentProcess;
  readonly wan: WanProxy;
  /** By the service that they stand beside. */
  readonly sidecars: Map<string, SidecarProcess>;
  /** The same, of those that have an Envoy. */
  readonly envoys: Map<string, EnvoyService>;
}

/**
 * The demo's machines: agents, sidecars and applications, all real processes or sockets on loopback. Each datacenter
 * announces itself to the others under a loopback address of its own, where a forwarder stands that can be cut, so that
 * "the WAN" is a thing that can fail.
 */
export class Bed {
  readonly #dir = mkdtempSync(join(tmpdir(), 'isthmus-demo-'));
  readonly #datacenters = new Map<Name, Running>();
  readonly #applications: Pick<EchoApplication, 'close'>[] = [];
  /** What is being started now: it has to be there before it can be stopped. */
  #starting: Promise<unknown> = Promise.resolve();
  #stopped = false;
  /** Where web's application reaches db in dc2. */
  upstreamPort = 0;
  /** Where it reaches db wherever a query finds it; 0 as long as there is none. */
  queryPort = 0;
  /** Present when everything is to be protected. */
  readonly protection: Protection | undefined;

  readonly #envoy: boolean;

  /** @param options.envoy agents serve xDS */
  constructor({ secure, envoy }: { readonly secure: boolean; readonly envoy: boolean }) {
    this.protection = secure ? new Protection(this.#dir) : undefined;
    this.#envoy = envoy;
  }

  get dc1(): Datacenter {
    return this.of('dc1');
  }

  get dc2(): Datacenter {
    return this.of('dc2');
  }

  of(name: Name): Datacenter {
    const { ready } = this.#running(name).agent;
    const http = ready.https === undefined ? ready.http : `https://${ready.https}`;
    return { datacenter: name, http, server: ready.server, dns: ready.dns ?? '', wan: ready.serf_wan };
  }

  /** Flags with which the command line reaches a datacenter. */
  cliFlags(name: Name): readonly string[] {
    return [`-http-addr=${this.of(name).http}`, ...(this.protection?.clientFlags() ?? [])];
  }

  /** Starts a datacenter, which joins the first one. @param invitation a file, where datacenters join by one */
  async start(name: Name, invitation?: string): Promise<void> {
    const host = await wanHost(WAN_HOSTS[name]);
    const own = await freePorts(PORTS_OF_A_SERVER);
    const range = await freePorts(SIDECAR_PORTS);
    const first = this.#datacenters.get('dc1');
    const invited =
      first === undefined ? undefined : (invitation ?? (await this.protection?.invite(this.cliFlags('dc1'), name)));
    const given = await this.protection?.config(name, own.first);
    await this.#launch(async () => {
      const agent = await startAgent({
        binary: BINARY,
        name: `${name}-s1`,
        datacenter: name,
        dataDir: join(this.#dir, name),
        args: invited === undefined ? [] : ['-join-invite', invited],
        config: {
          ...given?.config,
          primary_datacenter: 'dc1',
          advertise_addr_wan: host,
          translate_wan_addrs: true,
          retry_join_wan: first === undefined || invited !== undefined ? [] : [first.wan.address],
          ports: {
            http: own.first,
            server: own.first + 1,
            serf_lan: own.first + 2,
            serf_wan: own.first + 3,
            dns: own.first + 4,
            ...(this.#envoy ? { grpc: own.first + 5 } : {}),
            sidecar_min_port: range.first,
            sidecar_max_port: range.last,
            ...given?.ports,
          },
        },
      });
      try {
        const wan = await wanProxy(agent.ready.serf_wan, { host, port: portOf(agent.ready.serf_wan) });
        this.#datacenters.set(name, { name, agent, wan, sidecars: new Map(), envoys: new Map() });
      } catch (error) {
        await agent.stop();
        throw error;
      }
    });
    await this.protection?.afterStart(this.of(name).http, name);
  }

  /** db, which answers with the datacenter that it is in. */
  async startDb(name: Name): Promise<void> {
    const db = await startEcho(`db in ${name}`);
    this.#applications.push(db);
    const wan = await wanHost(WAN_HOSTS[name]);
    await json(this.of(name).http, 'PUT', '/v1/agent/service/register', {
      Name: 'db',
      Port: db.port,
      // Reached from the others under the WAN address of its datacenter.
      Connect: { SidecarService: isIPv6(wan) ? { Proxy: { Config: { bind_address: '::' } } } : {} },
    });
    await this.#startSidecar(name, 'db');
  }

  /** web, which reaches db in dc2. */
  async startWeb(): Promise<void> {
    this.upstreamPort = (await freePorts(1)).first;
    await this.#registerWeb();
    await this.#startSidecar('dc1', 'web');
  }

  /** Gives web a second way to db: wherever this query finds it. */
  async reachByQuery(query: string): Promise<void> {
    this.queryPort = (await freePorts(1)).first;
    await this.#registerWeb(query);
  }

  /** A service with an Envoy, whose application answers requests, or echoes, with its name. */
  async startBehindEnvoy(name: Name, service: string, protocol: 'http' | 'tcp'): Promise<void> {
    const application = await (protocol === 'http' ? startHttpApplication(service) : startEcho(service));
    this.#applications.push(application);
    await this.#startEnvoy(name, service, { port: application.port });
  }

  /** One that only calls. Returns the ports at which it reaches services of dc2, by their names. */
  async startCaller(service: string, upstreams: readonly string[]): Promise<Readonly<Record<string, number>>> {
    const inDc2 = upstreams.map((DestinationName) => ({ DestinationName, Datacenter: 'dc2' }));
    await this.#startEnvoy('dc1', service, { upstreams: inDc2 });
    return this.envoyOf('dc1', service).upstreamPorts;
  }

  envoyOf(name: Name, service: string): EnvoyService {
    const found = this.#running(name).envoys.get(service);
    if (found === undefined) throw new Error(`${service} has no Envoy in ${name}`);
    return found;
  }

  async cutWan(): Promise<void> {
    for (const { wan } of this.#datacenters.values()) wan.blackHole();
  }

  healWan(): void {
    for (const { wan } of this.#datacenters.values()) wan.heal();
  }

  /** All processes of a datacenter die at once. */
  async kill(name: Name): Promise<void> {
    const { agent, sidecars } = this.#running(name);
    await Promise.all([agent, ...sidecars.values()].map((process) => process.kill9()));
  }

  /** What was killed is started again, with the data that it left. */
  async revive(name: Name): Promise<void> {
    const { agent, sidecars } = this.#running(name);
    await this.#launch(() => agent.restart());
    for (const service of [...sidecars.keys()]) await this.#startSidecar(name, service);
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
    const { http, dns } = this.dc1;
    const all = [...this.#datacenters.values()];
    const others = all.slice(1).map(({ name }) => `${name} is ${this.of(name).http}`);
    const [host, port] = dns.split(':');
    return [
      '# In another terminal, in this folder:',
      `export CONSUL_HTTP_ADDR=${http}   # dc1; ${others.join(', ')}`,
      ...(this.protection?.exports() ?? []),
      'bin/isthmus members -wan',
      'bin/isthmus catalog services -datacenter dc2',
      'bin/isthmus intention explain web db',
      'bin/isthmus connect ca status',
      'bin/isthmus connect ca rotate -watch',
      'bin/isthmus replication status -datacenter dc2',
      ...(this.queryPort === 0
        ? []
        : ['bin/isthmus query forecast geo-db', `dig @${host} -p ${port} geo-db.query.consul SRV`]),
      `curl ${this.protection?.curlFlags() ?? ''}$CONSUL_HTTP_ADDR/v1/agent/metrics?format=prometheus`,
      ...all
        .flatMap(({ sidecars }) => [...sidecars.values()])
        .map(({ ready }) => `curl http://${ready.metrics}/metrics   # ${ready.proxy}`),
      ...(this.#envoy ? this.#envoyHints(all) : []),
      ...(this.upstreamPort === 0
        ? []
        : [
            '# web reaches db through both sidecars:',
            `(echo hello; sleep 1) | nc 127.0.0.1 ${this.queryPort || this.upstreamPort}`,
          ]),
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
    await this.#starting.catch(() => undefined); // reported where it was started
    for (const { agent, wan, sidecars, envoys } of [...this.#datacenters.values()].reverse()) {
      for (const { envoy } of envoys.values()) await envoy.stop().catch(() => undefined); // killed then
      for (const process of [...sidecars.values(), agent]) await process.stop().catch(() => undefined); // killed then
      await wan.close();
    }
    for (const application of this.#applications) await application.close();
    if (!keepLogs) rmSync(this.#dir, { recursive: true, force: true, maxRetries: 5 });
  }

  #envoyHints(all: readonly Running[]): string[] {
    const envoys = all.flatMap(({ envoys }) => [...envoys.values()]);
    return [
      'bin/isthmus connect envoy -status',
      ...envoys.map(({ id, envoy }) => `curl http://${envoy.admin}/clusters   # the Envoy of ${id}`),
      ...envoys.flatMap(({ id, upstreamPorts }) =>
        Object.entries(upstreamPorts).map(([name, port]) => `curl http://127.0.0.1:${port}/   # ${id} asks ${name}`),
      ),
    ];
  }

  #running(name: Name): Running {
    const running = this.#datacenters.get(name);
    if (running === undefined) throw new Error(`${name} is not running`);
    return running;
  }

  /** Remembers what is being started, so that it is stopped, also when that happens meanwhile. */
  async #launch(start: () => Promise<void>): Promise<void> {
    if (this.#stopped) throw new Error('stopped');
    this.#starting = start();
    await this.#starting;
  }

  async #startSidecar(name: Name, sidecarFor: string): Promise<void> {
    const { agent, sidecars } = this.#running(name);
    const { http } = this.of(name);
    const args = (await this.protection?.sidecarArgs(http, sidecarFor)) ?? [];
    await this.#launch(
      async () => void sidecars.set(sidecarFor, await startSidecar({ agent, sidecarFor, args, binary: BINARY })),
    );
  }

  async #startEnvoy(name: Name, service: string, options: EnvoyServiceOptions): Promise<void> {
    const { agent, envoys } = this.#running(name);
    const config = isIPv6(await wanHost(WAN_HOSTS[name])) ? { bind_address: '::' } : {};
    await this.#launch(
      async () =>
        void envoys.set(service, await startEnvoyService(agent, service, { ...options, config, binary: BINARY })),
    );
  }

  async #registerWeb(query?: string): Promise<void> {
    const service = { DestinationName: 'db', Datacenter: 'dc2', LocalBindPort: this.upstreamPort };
    const found = { DestinationType: 'prepared_query', DestinationName: query, LocalBindPort: this.queryPort };
    await json(this.dc1.http, 'PUT', '/v1/agent/service/register', {
      Name: 'web',
      Connect: { SidecarService: { Proxy: { Upstreams: query === undefined ? [service] : [service, found] } } },
    });
  }
}
