import { type AgentProcess, type SidecarProcess, startAgent, startSidecar } from './agent.ts';
import { callAgent } from './call.ts';
import { startEnvoy } from './envoy.ts';
import { startNative } from './native.ts';
import { freePorts } from './ports.ts';
import { startEcho } from './traffic.ts';
import { waitFor } from './wait-for.ts';
import { type WanProxy, wanProxy } from './wan-proxy.ts';

export const DATACENTERS = ['dc1', 'dc2', 'dc3'] as const;
export type DatacenterName = (typeof DATACENTERS)[number];

/** What an application is in the mesh by: a sidecar of one kind, or itself. */
export type MemberKind = 'built-in' | 'Envoy' | 'native';

export interface FarUpstream {
  readonly name: string;
  readonly type?: 'service' | 'prepared_query';
  readonly datacenter?: string;
  readonly config?: Readonly<Record<string, unknown>>;
}

/**
 * A datacenter of one server with its services, reached by the others at a loopback address of its own, where
 * forwarders stand that can be cut: one for its server, one for each sidecar.
 */
export interface FarDatacenter {
  readonly name: DatacenterName;
  /** Its address for the others. */
  readonly host: string;
  readonly agent: AgentProcess;
  /** The ways of other servers to its server. */
  readonly control: WanProxy;
  /** The ways of other sidecars to its sidecars. */
  readonly data: readonly WanProxy[];
  /** A service whose application answers `<datacenter>: <question>`. */
  service(name: string, tags?: readonly string[], kind?: MemberKind): Promise<void>;
  /** A client of upstreams; resolves with a port for each of them. It goes on when the datacenter dies. */
  client(name: string, upstreams: readonly FarUpstream[], kind?: MemberKind): Promise<readonly number[]>;
  /** The server and the sidecars of its services end without a word. */
  kill(): Promise<void>;
  /** Starts again what was killed; resolves once its services are healthy and all datacenters linked. */
  revive(): Promise<void>;
  /** Nothing gets in any more, and no one is notified. */
  blackHole(): void;
  /** Resolves once all datacenters are linked. */
  heal(): Promise<void>;
}

export interface ThreeDatacenters {
  readonly of: Readonly<Record<DatacenterName, FarDatacenter>>;
  stop(): Promise<void>;
}

const PORTS_OF_A_SERVER = 4;

/** dc1 is the primary. Resolves once each knows the others. */
export async function startThreeDatacenters(options: {
  /** One way into each datacenter, milliseconds. */
  readonly delays?: Readonly<Partial<Record<DatacenterName, number>>>;
  /** Serve xDS for Envoys. */
  readonly envoys?: boolean;
}): Promise<ThreeDatacenters> {
  const stops: (() => Promise<unknown>)[] = [];
  const join: string[] = [];

  const agents: AgentProcess[] = [];
  const linked = (): Promise<unknown> =>
    waitFor(
      async () => {
        for (const agent of agents) {
          const links = await callAgent<readonly { datacenter: string; state: { kind: string } }[]>(
            agent,
            'GET',
            '/v1/internal/links',
          );
          const up = links.filter(({ state }) => state.kind === 'up');
          if (new Set(up.map(({ datacenter }) => datacenter)).size < agents.length - 1) return false;
        }
        return true;
      },
      { what: 'links between all datacenters', timeout: 30_000 },
    );

  const way = async (host: string, port: number): Promise<WanProxy> => {
    const proxy = await wanProxy(`127.0.0.1:${port}`, { host, port });
    stops.push(() => proxy.close());
    return proxy;
  };

  const start = async (name: DatacenterName, host: string): Promise<FarDatacenter> => {
    const own = await freePorts(PORTS_OF_A_SERVER);
    const control = await way(host, own.first + 3);
    control.delay(options.delays?.[name] ?? 0);
    const agent = await startAgent({
      name: `${name}-s1`,
      datacenter: name,
      config: {
        primary_datacenter: 'dc1',
        advertise_addr_wan: host,
        retry_join_wan: [...join],
        translate_wan_addrs: true,
        ports: {
          http: own.first,
          server: own.first + 1,
          serf_lan: own.first + 2,
          serf_wan: own.first + 3,
          ...(options.envoys === true ? { grpc: 0 } : {}),
        },
      },
    });
    stops.push(() => agent.stop());
    agents.push(agent);
    join.push(control.address);
    const data: WanProxy[] = [];
    const sidecars = new Map<string, SidecarProcess>();
    const run = async (service: string, kind: MemberKind = 'built-in'): Promise<void> => {
      if (kind === 'Envoy') {
        const envoy = await startEnvoy({ agent, sidecarFor: service });
        stops.push(() => envoy.stop());
        return;
      }
      const sidecar = await startSidecar({ agent, sidecarFor: service });
      sidecars.set(service, sidecar);
      stops.push(() => sidecar.stop());
    };
    return {
      name,
      host,
      agent,
      control,
      data,
      async service(service, tags = [], kind = 'built-in') {
        if (kind === 'native') {
          const wan = { host, way: async (port: number) => data.push(await way(host, port)) };
          const application = await startNative(agent, service, { echo: name, wan });
          stops.push(() => application.stop());
          return;
        }
        const application = await startEcho(name);
        stops.push(() => application.close());
        const { first: port } = await freePorts(1);
        data.push(await way(host, port));
        await callAgent(agent, 'PUT', '/v1/agent/service/register', {
          Name: service,
          Port: application.port,
          Tags: tags,
          Connect: {
            SidecarService: {
              Address: '127.0.0.1',
              Port: port,
              TaggedAddresses: { wan: { Address: host, Port: port } },
            },
          },
        });
        await run(service, kind);
      },
      async client(client, upstreams, kind = 'built-in') {
        if (kind === 'native') {
          const application = await startNative(agent, client, {
            upstreams: upstreams.map(({ name: called, type, datacenter }) => ({
              ...(type === 'prepared_query' ? { query: called } : { service: called }),
              ...(datacenter === undefined ? {} : { datacenter }),
            })),
          });
          stops.push(() => application.stop());
          return application.upstreamPorts;
        }
        const { first } = await freePorts(upstreams.length + 1);
        const ports = upstreams.map((_, n) => first + 1 + n);
        await callAgent(agent, 'PUT', '/v1/agent/service/register', {
          Name: client,
          Port: 1,
          Connect: {
            SidecarService: {
              Port: first,
              Proxy: {
                Upstreams: upstreams.map(({ name: destination, type = 'service', datacenter, config = {} }, n) => ({
                  DestinationType: type,
                  DestinationName: destination,
                  LocalBindPort: ports[n],
                  Config: config,
                  ...(datacenter === undefined ? {} : { Datacenter: datacenter }),
                })),
              },
            },
          },
        });
        const sidecar = await (kind === 'Envoy' ? startEnvoy : startSidecar)({ agent, sidecarFor: client });
        stops.push(() => sidecar.stop());
        return ports;
      },
      async kill() {
        await Promise.all([agent.kill9(), ...[...sidecars.values()].map((sidecar) => sidecar.kill9())]);
      },
      async revive() {
        await agent.restart();
        await Promise.all([...sidecars.keys()].map((service) => run(service)));
        for (const service of sidecars.keys())
          await waitFor(
            async () =>
              (await callAgent<readonly unknown[]>(agent, 'GET', `/v1/health/connect/${service}?passing`)).length > 0,
            { what: `${service} in ${name} to be healthy again` },
          );
        await linked();
      },
      blackHole() {
        for (const each of [control, ...data]) each.blackHole();
      },
      async heal() {
        for (const each of [control, ...data]) each.heal();
        await linked();
      },
    };
  };

  const stop = async (): Promise<void> => {
    for (const each of stops.reverse()) await each();
  };
  try {
    const dc1 = await start('dc1', '127.0.1.1');
    const [dc2, dc3] = await Promise.all([start('dc2', '127.0.2.1'), start('dc3', '127.0.3.1')]);
    await linked();
    return { of: { dc1, dc2, dc3 }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
