import { CallerRights } from '../../agent/access/caller-rights.ts';
import { carriedRights, recoveryRights } from '../../agent/access/carried-rights.ts';
import { CachedReads } from '../../agent/cache/cached-reads.ts';
import { ServerList } from '../../agent/session/server-list.ts';
import { ServerSessions } from '../../agent/session/server-sessions.ts';
import { SessionContract } from '../../agent/session/session-contract.ts';
import type { LoadedConfig, RuntimeConfig } from '../../config/types.ts';
import { parseAddress } from '../../lib/address.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { LAN_PROTOCOL, type Member } from '../../model/member.ts';
import type { Rights } from '../../model/rights.ts';
import { COMPATIBLE_VERSION, VERSION } from '../../model/version.ts';
import type { NodeKey } from '../../pki/node-key.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { SESSION_PROTOCOL } from '../../rpc/transport/handlers.ts';
import { type Logger, type Metrics, noMetrics } from '../../telemetry/types.ts';
import { compileRules, withToken } from '../access/access.ts';
import { AgentTokens } from '../access/agent-tokens.ts';
import type { Core } from '../core.ts';
import { DEFAULT_LAN_PORT, probeLan } from '../edges/join-probe.ts';
import { createJoinDiscovery } from '../join-discovery-service.ts';
import { nodeMeta } from '../node/self.ts';
import { createAgentSecurity } from '../security/agent-security.ts';
import type { Certificates } from '../security/certificates.ts';
import { securityOptions } from '../security/options.ts';
import { withSnapshotToken } from '../server/snapshots.ts';

export interface ClientCoreDeps {
  readonly loaded: LoadedConfig;
  readonly nodeId: string;
  readonly nodeKey: NodeKey;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly certificates: Certificates;
}

/** How long the start waits for the first addresses that a program or a name gives, milliseconds. */
const FIRST_SEARCH_MS = 5_000;

/** The core of a node's agent: a session with one server of its datacenter, whichever that is. */
export function createClientCore(deps: ClientCoreDeps): Core {
  const { loaded, nodeId, clock, metrics } = deps;
  const { config } = loaded;
  const log = deps.log.child({ component: 'session' });
  const tokens = new AgentTokens(config, deps.log);
  const servers = new ServerList({
    seeds: [...config.retryJoin, ...config.startJoin].map((text) => parseAddress(text, DEFAULT_LAN_PORT)),
    dataDir: config.dataDir,
    random: Math.random,
    log,
  });
  const { security, service: certificate } = createAgentSecurity({
    options: securityOptions(config),
    certificates: deps.certificates,
    servers: () => servers.candidates(),
    onServers: (addresses) => {
      for (const address of addresses) servers.add(address);
    },
    clock,
    log: deps.log,
  });
  const behind = new Set<() => void>();
  const sessions = new ServerSessions(
    {
      datacenter: config.datacenter,
      servers,
      hello: () => ({
        protocol: SESSION_PROTOCOL,
        datacenter: config.datacenter,
        node: config.nodeName,
        nodeId,
        build: VERSION,
        address: config.advertiseAddr,
        taggedAddresses: config.taggedAddresses,
        meta: nodeMeta(config),
        tags: clientTags(config, nodeId),
        token: tokens.own() ?? '',
      }),
      key: deps.nodeKey,
      security,
      clock,
      monotonicMs: () => performance.now(),
      random: Math.random,
      log,
      metrics,
      onSession: () => {
        for (const listener of behind) listener();
      },
    },
    { retryIntervalMs: config.retryIntervalMs, retryMax: config.retryMax },
  );
  const remote = new SessionContract({ datacenter: config.datacenter, sessions, clock });
  const pool = new WatchPool({ contract: remote, clock, log, metrics: noMetrics });
  const reads = new CachedReads({ contract: remote, pool, clock });
  const own = (contract: ServerContract): ServerContract => withToken(contract, () => tokens.get('default'));
  const callers = new CallerRights({
    pool,
    clock,
    ttlMs: config.acl.tokenTtlMs,
    downPolicy: config.acl.downPolicy,
    own: (secret): Rights | undefined =>
      secret !== '' && secret === tokens.get('agent_master')
        ? recoveryRights(compileRules, config.nodeName, config.acl.defaultPolicy === 'allow')
        : undefined,
    compile: (grants) => carriedRights(compileRules, grants),
  });
  const rights: Service = {
    name: 'what clients of this agent follow',
    start: async () => undefined,
    async stop() {
      callers.close();
      reads.close();
      await pool.stop();
    },
  };
  const join = async (address: string, signal: AbortSignal): Promise<void> => {
    const target = parseAddress(address, DEFAULT_LAN_PORT);
    await probeLan(target, clock); // throws, in Consul's words, what keeps it from being reached
    try {
      await sessions.join(target, signal);
    } catch (cause) {
      throw new IsthmusError('rejected', joinFailure(target, IsthmusError.from(cause).message), { cause });
    }
  };
  const discovery = createJoinDiscovery({
    sources: config.joinSources,
    defaultPort: DEFAULT_LAN_PORT,
    use: async (source, addresses) => servers.find(JSON.stringify(source), addresses),
    needed: () => sessions.current === undefined,
    startMs: FIRST_SEARCH_MS,
    retryIntervalMs: config.retryIntervalMs,
    clock,
    log,
  });
  const starting: Service = {
    name: 'joining the datacenter',
    async start(signal) {
      for (const address of config.startJoin) await join(address, signal);
    },
    stop: async () => undefined,
  };
  return {
    contract: own(config.http.useCache ? reads : remote),
    snapshots: withSnapshotToken(remote, () => tokens.get('default')),
    trusted: withToken(remote, () => tokens.own()),
    tokens,
    callers,
    accessorOf: (token) => (config.acl.enabled ? (callers.peek(token)?.accessor ?? '') : ''),
    addresses: {},
    services: [discovery, certificate, sessions, starting, rights],
    member: () => clientMember(config, nodeId),
    members: async ({ wan, signal, token }) => {
      const options = { signal, ...(token === undefined ? {} : { token }) };
      return (await own(remote).read(wan ? 'members.wan' : 'members.lan', {}, options)).value;
    },
    ageMs: () => 0, // what is followed knows by itself since when no server told of it
    links: () => [],
    async join(address, { wan, signal }) {
      if (wan) throw new IsthmusError('rejected', 'a client agent joins no other datacenter: ask a server to do it');
      await join(address, signal);
    },
    async forceLeave(node, { prune, ...options }) {
      await own(remote).write('nodes.forceLeave', { node, prune }, options);
    },
    onBehind: (listener) => void behind.add(listener),
    leave: () => sessions.leave(),
    stats: () => ({
      consul: {
        acl: config.acl.enabled ? 'enabled' : 'disabled',
        known_servers: String(servers.named.length),
        server: 'false',
      },
      session: {
        server: sessions.current?.welcome.node ?? '',
        server_addr: sessions.current?.address ?? '',
        rtt_ms: sessions.current?.rttMs?.toFixed(3) ?? '',
        problem: sessions.current === undefined ? sessions.problem : '',
      },
    }),
  };
}

/** Consul's text. */
function joinFailure(address: string, reason: string): string {
  const host = address.slice(0, address.lastIndexOf(':'));
  return `1 error occurred:\n\t* Failed to join ${host}: ${reason}\n\n`;
}

function clientTags(config: RuntimeConfig, nodeId: string): Record<string, string> {
  return {
    acls: config.acl.enabled ? '1' : '0',
    build: `${COMPATIBLE_VERSION}:`,
    dc: config.datacenter,
    id: nodeId,
    role: 'node',
    segment: '',
    vsn: '2',
    vsn_max: '3',
    vsn_min: '2',
  };
}

function clientMember(config: RuntimeConfig, nodeId: string): Member {
  return {
    Name: config.nodeName,
    Addr: config.advertiseAddr,
    Port: 0,
    Tags: clientTags(config, nodeId),
    Status: 1,
    ...LAN_PROTOCOL,
  };
}
