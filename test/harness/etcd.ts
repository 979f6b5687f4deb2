import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { httpRequest } from './http.ts';
import { type ManagedProcess, startProcess } from './managed-process.ts';
import { freePorts } from './ports.ts';
import { waitFor } from './wait-for.ts';
import { type WanProxy, type WanState, wanProxy } from './wan-proxy.ts';

/** Why tests with real etcd members are skipped here, or undefined when they can run. In CI they must. */
export function withoutEtcd(): string | undefined {
  const found = spawnSync('etcd', ['--version'], { encoding: 'utf8' });
  if (found.status === 0) return undefined;
  const reason = 'there is no "etcd" program (Debian: apt-get install etcd-server)';
  if (process.env.CI === 'true') throw new Error(`tests with etcd must not be skipped in CI, but ${reason}`);
  console.warn(`skipped: tests with etcd, because ${reason}`);
  return reason;
}

export interface EtcdOptions {
  /** Default 1. */
  readonly members?: number;
  /** True: clients and peers reach each member over a stretch of network that can be cut. */
  readonly cuttable?: boolean;
  /** Further arguments of each member. */
  readonly args?: readonly string[];
  /** Members take clients over TLS with this certificate; with a CA also only those that show one of its. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly clientCaFile?: string };
}

/** Which of a member's ways is cut: clients to it, what it says to its peers (it still hears them), or both. */
export type Way = 'clients' | 'peers' | 'all';

export interface EtcdMember {
  readonly name: string;
  /** Where clients reach it: `http://host:port`. */
  readonly endpoint: string;
  readonly running: boolean;
  kill9(): Promise<void>;
  /** SIGSTOP. */
  pause(): void;
  resume(): void;
  /** Starts it again with the same data and resolves once it answers. */
  restart(): Promise<void>;
  cut(way: Way, how: Exclude<WanState, 'open'>): void;
  heal(): void;
  log(): string;
}

export interface EtcdCluster {
  readonly members: readonly EtcdMember[];
  readonly endpoints: readonly string[];
  /** The member that leads, by what the members say. */
  leader(): Promise<EtcdMember>;
  /** Runs etcdctl against all members and returns what it printed. */
  ctl(...args: string[]): string;
  stop(): Promise<void>;
}

interface Place {
  readonly name: string;
  /** Where it listens for clients and for peers, and where they reach it. */
  readonly own: string;
  readonly peer: string;
  readonly reached: string;
  readonly peerReached: string;
  /** Where it tells how it is, never cut. */
  readonly metrics: string;
  readonly ways: { readonly clients: WanProxy; readonly peers: WanProxy } | undefined;
}

/** Starts real etcd members with data of their own in a temporary folder, and resolves once they have a leader. */
export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdCluster> {
  const { members: count = 1, cuttable = false, tls } = options;
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-etcd-'));
  const scheme = tls === undefined ? 'http' : 'https';
  const proxies: WanProxy[] = [];
  const places: Place[] = [];
  for (let number = 1; number <= count; number += 1) {
    const { first } = await freePorts(3);
    const [own, peer] = [`127.0.0.1:${first}`, `127.0.0.1:${first + 1}`];
    const ways = cuttable ? { clients: await wanProxy(own), peers: await wanProxy(peer) } : undefined;
    if (ways !== undefined) proxies.push(ways.clients, ways.peers);
    places.push({
      name: `etcd${number}`,
      own,
      peer,
      metrics: `127.0.0.1:${first + 2}`,
      reached: ways?.clients.address ?? own,
      peerReached: ways?.peers.address ?? peer,
      ways,
    });
  }
  const cluster = places.map(({ name, peerReached }) => `${name}=http://${peerReached}`).join(',');
  const members = places.map((place): EtcdMember & { start(): Promise<void>; readonly metrics: string } => {
    let child: ManagedProcess<undefined> | undefined;
    const start = async (): Promise<void> => {
      child = await startProcess<undefined>({
        name: place.name,
        command: 'etcd',
        args: [
          ...['--name', place.name, '--data-dir', join(folder, place.name)],
          ...[
            '--listen-client-urls',
            `${scheme}://${place.own}`,
            '--advertise-client-urls',
            `${scheme}://${place.reached}`,
          ],
          ...[
            '--listen-peer-urls',
            `http://${place.peer}`,
            '--initial-advertise-peer-urls',
            `http://${place.peerReached}`,
          ],
          ...['--listen-metrics-urls', `http://${place.metrics}`],
          ...[
            '--initial-cluster',
            cluster,
            '--initial-cluster-token',
            folder,
            '--logger',
            'zap',
            '--log-level',
            'warn',
          ],
          ...(tls === undefined ? [] : ['--cert-file', tls.certFile, '--key-file', tls.keyFile]),
          ...(tls?.clientCaFile === undefined ? [] : ['--client-cert-auth', '--trusted-ca-file', tls.clientCaFile]),
          ...(options.args ?? []),
        ],
        logFile: join(folder, `${place.name}.log`),
      });
    };
    return {
      name: place.name,
      metrics: place.metrics,
      endpoint: `${scheme}://${place.reached}`,
      start,
      get running() {
        return child?.running === true;
      },
      async kill9() {
        await child?.kill9();
      },
      pause: () => child?.signal('SIGSTOP'),
      resume: () => child?.signal('SIGCONT'),
      async restart() {
        await start();
        await waitFor(() => isHealthy(place.metrics), { what: `${place.name} to answer again`, timeout: 30_000 });
      },
      cut(way, how) {
        const { ways } = place;
        if (ways === undefined) throw new Error('start the members with "cuttable"');
        const cut = [...(way === 'peers' ? [] : [ways.clients]), ...(way === 'clients' ? [] : [ways.peers])];
        for (const proxy of cut) how === 'reset' ? proxy.reset() : proxy.blackHole();
      },
      heal() {
        place.ways?.clients.heal();
        place.ways?.peers.heal();
      },
      log: () => child?.log() ?? '',
    };
  });
  const stop = async (): Promise<void> => {
    await Promise.all(members.map((member) => member.kill9())); // their data is of no use to anybody
    await Promise.all(proxies.map((proxy) => proxy.close()));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await Promise.all(members.map((member) => member.start()));
    for (const { name, metrics } of members) {
      await waitFor(() => isHealthy(metrics), { what: `${name} to be healthy`, timeout: 30_000 });
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    members,
    endpoints: members.map(({ endpoint }) => endpoint),
    async leader() {
      return waitFor(
        async () => {
          for (const member of members) if (member.running && (await leads(member.metrics))) return member;
          return undefined;
        },
        { what: 'a leader of the etcd members' },
      );
    },
    ctl(...args) {
      const own = places.map((place) => `${scheme}://${place.own}`).join(',');
      const result = spawnSync('etcdctl', ['--endpoints', own, ...args], {
        encoding: 'utf8',
        env: { ...process.env, ETCDCTL_API: '3' },
      });
      if (result.status !== 0) throw new Error(`etcdctl ${args.join(' ')}: ${result.stderr}`);
      return result.stdout;
    },
    stop,
  };
}

async function isHealthy(address: string): Promise<boolean> {
  const { status, body } = await httpRequest(`http://${address}/health`, { method: 'GET' });
  return status === 200 && body.includes('"true"');
}

async function leads(address: string): Promise<boolean> {
  const { body } = await httpRequest(`http://${address}/metrics`, { method: 'GET' });
  return body.includes('\netcd_server_is_leader 1');
}
