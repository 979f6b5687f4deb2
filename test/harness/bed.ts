import type { CaRoots } from '../../src/model/ca.ts';
import { type AgentProcess, type SidecarProcess, startAgent, startSidecar } from './agent.ts';
import { callAgent } from './call.ts';
import { freePorts } from './ports.ts';
import { ask, type EchoApplication, startEcho } from './traffic.ts';
import { waitFor } from './wait-for.ts';
import { type WanProxy, type WanProxyOptions, wanProxy } from './wan-proxy.ts';

export interface BedOptions {
  /** Laid over the configuration of each agent. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly dc1?: Readonly<Record<string, unknown>>;
  readonly dc2?: Readonly<Record<string, unknown>>;
  /** Further arguments of dc2's agent, once dc1 is there. */
  readonly dc2Args?: (dc1: AgentProcess) => Promise<readonly string[]>;
  /** Programs that they run instead of this version's. */
  readonly binaries?: { readonly dc1?: string; readonly dc2?: string; readonly sidecars?: string };
  /** Sees every byte between the datacenters. */
  readonly onWanBytes?: WanProxyOptions['onBytes'];
}

/** How the network between the datacenters is broken. */
export type Cut = 'black hole' | 'reset';

/** A service with its sidecar. */
export interface MeshService {
  readonly id: string;
  readonly sidecar: SidecarProcess;
  /** Port of the sidecar for other sidecars. */
  readonly port: number;
  /** Port at which the application reaches its upstream. */
  readonly upstreamPort: number;
}

/**
 * Two datacenters, each one server, as real processes. Each announces itself to the other under a loopback address of
 * its own, where a forwarder stands that can be cut: all that servers say to each other goes through it; what sidecars
 * say to each other does not.
 */
export interface Bed {
  readonly dc1: AgentProcess;
  readonly dc2: AgentProcess;
  readonly agents: readonly AgentProcess[];
  /** The ways to dc1 and to dc2. */
  readonly wans: readonly WanProxy[];
  cut(how: Cut): void;
  /** Cuts once this many more bytes came from dc1 to dc2's server or back over one of the ways. */
  cutAfter(bytes: number, how: Cut): void;
  heal(): void;
  /** Registers a service and starts its sidecar. */
  mesh(agent: AgentProcess, name: string, options?: MeshOptions): Promise<MeshService>;
  /** web in dc1 with db in dc2 as its upstream; db's application answers. */
  webToDb(): Promise<{ readonly web: MeshService; readonly db: MeshService }>;
  stop(): Promise<void>;
}

export interface MeshOptions {
  /** Of the application behind the sidecar. */
  readonly port?: number;
  readonly upstream?: { readonly name: string; readonly datacenter: string };
}

const PORTS_OF_A_SERVER = 4;
const SIDECAR_PORTS = 20;

/** Resolves once both datacenters know each other and sign certificates. */
export async function startBed(options: BedOptions = {}): Promise<Bed> {
  const wans: WanProxy[] = [];
  const agents: AgentProcess[] = [];
  const sidecars: SidecarProcess[] = [];
  const applications: EchoApplication[] = [];

  const start = async (
    datacenter: 'dc1' | 'dc2',
    host: string,
    args: readonly string[] = [],
  ): Promise<AgentProcess> => {
    const own = await freePorts(PORTS_OF_A_SERVER);
    const range = await freePorts(SIDECAR_PORTS);
    const { ports, ...given } = { ...options.config, ...options[datacenter] } as Record<string, unknown>;
    // The way to it is open before it is there: as with a real network, nothing has to be started in an order.
    wans.push(
      await wanProxy(`127.0.0.1:${own.first + 3}`, {
        host,
        port: own.first + 3,
        ...(options.onWanBytes === undefined ? {} : { onBytes: options.onWanBytes }),
      }),
    );
    const binary = options.binaries?.[datacenter];
    const agent = await startAgent({
      name: `${datacenter}-s1`,
      datacenter,
      ...(binary === undefined ? {} : { binary }),
      args,
      config: {
        primary_datacenter: 'dc1',
        advertise_addr_wan: host,
        retry_join_wan: wans.slice(0, -1).map((wan) => wan.address),
        ...given,
        ports: {
          http: own.first,
          server: own.first + 1,
          serf_lan: own.first + 2,
          serf_wan: own.first + 3,
          sidecar_min_port: range.first,
          sidecar_max_port: range.last,
          ...(ports as object | undefined),
        },
      },
    });
    agents.push(agent);
    return agent;
  };

  const mesh: Bed['mesh'] = async (agent, name, given = {}) => {
    const service = await startMeshService(agent, name, given, options.binaries?.sidecars);
    sidecars.push(service.sidecar);
    return service;
  };

  const stop = async (): Promise<void> => {
    await Promise.all(sidecars.map((sidecar) => sidecar.stop()));
    await Promise.all(agents.map((agent) => agent.stop()));
    await Promise.all(wans.map((wan) => wan.close()));
    await Promise.all(applications.map((application) => application.close()));
  };

  try {
    // Two addresses of loopback, so that both have the same port as the server behind them.
    const dc1 = await start('dc1', '127.0.1.1');
    const dc2 = await start('dc2', '127.0.2.1', await options.dc2Args?.(dc1));
    await waitFor(() => federated(dc1, dc2), { what: 'the federation of both datacenters' });
    return {
      dc1,
      dc2,
      agents,
      wans,
      cut(how) {
        for (const wan of wans) {
          if (how === 'reset') wan.reset();
          else wan.blackHole();
        }
      },
      cutAfter(bytes, how) {
        for (const wan of wans) wan.cutAfter(bytes, how);
      },
      heal() {
        for (const wan of wans) wan.heal();
      },
      mesh,
      async webToDb() {
        const [dbApplication, webApplication] = [await startEcho('db'), await startEcho('web')];
        applications.push(dbApplication, webApplication);
        const db = await mesh(dc2, 'db', { port: dbApplication.port });
        const upstream = { name: 'db', datacenter: 'dc2' };
        const web = await mesh(dc1, 'web', { port: webApplication.port, upstream });
        await waitFor(() => ask(web.upstreamPort, 'hello'), { what: 'the way from web to db' });
        return { web, db };
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Registers a service with an agent and starts its sidecar. */
export async function startMeshService(
  agent: AgentProcess,
  name: string,
  { port, upstream }: MeshOptions = {},
  binary?: string,
): Promise<MeshService> {
  const upstreams =
    upstream === undefined
      ? []
      : [
          {
            DestinationName: upstream.name,
            Datacenter: upstream.datacenter,
            LocalBindPort: (await freePorts(1)).first,
          },
        ];
  await callAgent(agent, 'PUT', '/v1/agent/service/register', {
    Name: name,
    ...(port === undefined ? {} : { Port: port }),
    Connect: { SidecarService: { Proxy: { Upstreams: upstreams } } },
  });
  const sidecar = await startSidecar({ agent, sidecarFor: name, ...(binary === undefined ? {} : { binary }) });
  return {
    id: name,
    sidecar,
    port: portOf(sidecar.ready.listen ?? ''),
    upstreamPort: upstream === undefined ? 0 : portOf(Object.values(sidecar.ready.upstreams)[0] ?? ''),
  };
}

async function federated(dc1: AgentProcess, dc2: AgentProcess): Promise<boolean> {
  for (const agent of [dc1, dc2]) {
    const known = await callAgent<readonly string[]>(agent, 'GET', '/v1/catalog/datacenters');
    if (known.length !== 2) return false;
  }
  const roots = await callAgent<CaRoots>(dc2, 'GET', '/v1/connect/ca/roots');
  return (roots.Roots.find((root) => root.Active)?.IntermediateCerts ?? []).length > 0;
}

export function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}
