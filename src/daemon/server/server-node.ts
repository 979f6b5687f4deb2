import type { LoadedConfig } from '../../config/types.ts';
import { nodeKey } from '../../domain/catalog/tables.ts';
import { formatAddress } from '../../federation/address.ts';
import { createFederation, type Federation } from '../../federation/federation.ts';
import { createReplicationAges } from '../../federation/replication/ages.ts';
import { appliedHere } from '../../federation/replication/applied-here.ts';
import { createChangeSource } from '../../federation/replication/change-source.ts';
import { createPreflight, type Preflight } from '../../federation/replication/preflight.ts';
import { createReplicator } from '../../federation/replication/replicator.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup } from '../../lib/task.ts';
import { VERSION } from '../../model/version.ts';
import type { OwnCsrs } from '../../pki/csr.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { READS, type ReadName } from '../../rpc/contract/reads.ts';
import { type Routing, readTarget, writeTarget } from '../../rpc/contract/routing.ts';
import type { SnapshotContract } from '../../rpc/contract/snapshots.ts';
import { createRpcListener, type ListenerSpec, type RpcListener } from '../../rpc/transport/listener.ts';
import { createAgentSessions } from '../../server/agent-sessions.ts';
import { audited } from '../../server/audited.ts';
import { GuardedContract } from '../../server/guard.ts';
import { CERTIFICATES } from '../../server/replication-rights.ts';
import { queryMesh } from '../../server/resolve/query-mesh.ts';
import { createResolver } from '../../server/resolve/resolver.ts';
import { Server } from '../../server/server.ts';
import { StalenessGuard } from '../../server/staleness-guard.ts';
import type { Leadership } from '../../store/leadership.ts';
import { Store } from '../../store/store.ts';
import type { Audit, Logger, Metrics } from '../../telemetry/types.ts';
import { grantsOf, guardChanges, primaryTokens, replicationTokenOf, storedFacts, withToken } from '../access/access.ts';
import { AgentTokens } from '../access/agent-tokens.ts';
import { bootstrapEntries } from '../domains/bootstrap-entries.ts';
import { canonicalNames } from '../domains/canonical-names.ts';
import { askedReads, readDefinitions, writeDefinitions } from '../domains/definitions.ts';
import { createDomains, type Domains } from '../domains/domains.ts';
import { nodeKeeper } from '../domains/node-keeper.ts';
import { createOperatorReads } from '../domains/operator-reads.ts';
import { remotePrimaryCa } from '../domains/primary-ca.ts';
import { aclKinds, replicatedKinds } from '../domains/replicated-kinds.ts';
import { type Identity, serverNode, serverRegistration } from '../node/self.ts';
import type { Certificates } from '../security/certificates.ts';
import { warnOfOpenPorts } from '../security/port-protection.ts';
import { createServerSecurity, type ServerSecurity } from '../security/server-security.ts';
import { openEngine } from '../store/storage.ts';
import { createServers, serverMembers, siblings } from './servers.ts';
import { createSnapshots, withSnapshotToken } from './snapshots.ts';
import { createWanWarning } from './wan-warning.ts';

/** The part of an agent that makes it a server of its datacenter. */
export interface ServerNode {
  /** Answers whatever it is asked: for the process itself. */
  readonly server: Server;
  /** As tokens see it; calls without one get the agent's default. */
  readonly contract: ServerContract;
  /** Snapshots as tokens see them, likewise. */
  readonly snapshots: SnapshotContract;
  readonly tokens: AgentTokens;
  readonly store: Store;
  readonly domains: Domains;
  readonly federation: Federation;
  readonly listener: RpcListener;
  readonly transport: ServerSecurity;
  /** In the order of starting. */
  readonly services: readonly Service[];
  /** Who leads the datacenter, as this server knows it. */
  readonly leadership: Pick<Leadership, 'leading' | 'leader'>;
  identity(): Identity;
  /** How old what a read is made from may be, milliseconds. */
  ageMs(name: ReadName): number;
  /** AccessorID of a token, as far as it is known here; '' otherwise. */
  accessorOf(token: string | undefined): string;
}

export interface ServerNodeDeps {
  readonly loaded: LoadedConfig;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly audit: Audit;
  readonly ownCsrs: OwnCsrs;
  readonly certificates: Certificates;
}

/** Puts a server together; nothing runs yet but the store's files are open. */
export async function createServerNode(deps: ServerNodeDeps): Promise<ServerNode> {
  const { loaded, nodeId, clock, log, metrics } = deps;
  const { config } = loaded;
  const primary = config.primaryDatacenter === config.datacenter;
  const acls = config.acl.enabled;
  const tokens = new AgentTokens(config, log);
  const ofPrimary = (): ServerContract => federation.contract(config.primaryDatacenter);
  const engine = await openEngine(deps);
  const store = new Store({
    engine,
    clock,
    onError: (what, error) => log.error('the view lost its store', { what, error: error.message }),
  });
  const transport = createServerSecurity({
    config,
    store,
    certificates: deps.certificates,
    address: (network) =>
      network === 'wan'
        ? formatAddress({ address: config.advertiseAddrWan, port: identity().wanPort })
        : formatAddress({ address: config.advertiseAddr, port: identity().lanPort }),
    primaryServers: () =>
      federation.links().flatMap((link) => (link.datacenter === config.primaryDatacenter ? [link.address] : [])),
    replicationToken: async (accessor, datacenter) =>
      acls ? replicationTokenOf(domains.acl.tokens, accessor, datacenter) : '',
    knownDatacenters: () => federation.datacenters(),
    clock,
    log,
    metrics,
  });
  const { security } = transport;
  tokens.useInvited(() => transport.authority.replicationToken());
  const {
    leadership,
    leader,
    services: together,
  } = createServers({
    nodeId,
    datacenter: config.datacenter,
    node: config.nodeName,
    store,
    nodes: () => domains.nodes,
    nodeTimeoutMs: config.nodeTimeoutMs,
    security,
    clock,
    log,
    metrics,
  });

  const identity = (): Identity => ({
    config,
    nodeId,
    serverPort: listener.addresses.server?.port ?? 0,
    lanPort: listener.addresses.serf_lan?.port ?? 0,
    wanPort: listener.addresses.serf_wan?.port ?? 0,
  });

  const domains = createDomains({
    config,
    store,
    leadership,
    clock,
    log,
    metrics,
    ownCsrs: deps.ownCsrs,
    agentTokens: tokens,
    knownDatacenters: () => [config.datacenter, ...federation.connected()],
    ...(primary
      ? {}
      : {
          primaryCa: remotePrimaryCa(() => withToken(ofPrimary(), () => tokens.get('replication'))),
          primaryTokens: primaryTokens(ofPrimary, (...wanted) => applied(...wanted)),
        }),
  });

  let preflight: Preflight | undefined;
  const kinds = [
    ...replicatedKinds(domains.entries),
    ...(acls ? aclKinds(domains.acl, { tokens: primary || config.acl.enableTokenReplication }) : []),
  ];
  const allChanges = createChangeSource({ datacenter: config.datacenter, store, history: engine, kinds, clock });
  const changes = acls ? guardChanges(allChanges, domains.acl.resolver) : allChanges;
  const replicator = createReplicator({
    datacenter: config.datacenter,
    primaryDatacenter: config.primaryDatacenter,
    kinds,
    source: {
      changes(request, signal) {
        const token = tokens.get('replication');
        const source = federation.changes(config.primaryDatacenter);
        return source.changes(token === '' ? request : { ...request, token }, signal);
      },
    },
    store,
    leadership,
    clock,
    log: log.child({ component: 'replication' }),
    metrics,
    tokenProblem: () => preflight?.problem ?? '',
  });
  if (acls && !primary)
    preflight = createPreflight({
      primaryDatacenter: config.primaryDatacenter,
      primary: ofPrimary,
      tokens,
      kinds: [...kinds.map(({ name }) => name), CERTIFICATES],
      clock,
      log: log.child({ component: 'replication' }),
    });

  const applied = appliedHere({ leader, replicator, store });
  const ages = createReplicationAges({ leadership, leader, replicator, clock });
  const operator = createOperatorReads({
    servers: () => serverMembers(domains.nodes),
    leader: () => leadership.leader(),
    revision: () => store.revision,
    wanMembers: () => federation.members(),
    datacenters: () => federation.datacenters(),
    rtt: (datacenter) => federation.rtt(datacenter),
  });

  const routing: Routing = {
    datacenter: config.datacenter,
    primaryDatacenter: config.primaryDatacenter,
    isLocalToken: (accessor) => domains.acl.isLocal(accessor),
  };
  const ageMs = (name: ReadName): number => {
    const kind = READS[name].madeFrom;
    return kind === undefined ? 0 : ages.ageMs(kind);
  };
  const resolver = createResolver({
    queries: domains.queries,
    mesh: queryMesh(
      config.datacenter,
      () => guarded,
      () => federation,
    ),
    subscribe: (topics, listener) => store.topics.subscribe(topics, listener),
    serviceTargets: (service, from) => domains.entries.serviceTargets(service, from),
    distance: domains.catalog.distance,
    nodeAt: (address) => domains.catalog.tables.nodes.by('address', address)[0]?.value.Node,
    clock,
    random: Math.random,
    log: log.child({ component: 'queries' }),
  });
  const reads = readDefinitions(domains, transport.authority, operator, replicator, config, () => clock.now());
  const server = new Server({
    ...routing,
    store,
    reads,
    writes: writeDefinitions(
      domains,
      transport.authority,
      replicator,
      { forceLeave: (node) => federation.forceLeave(node) },
      config,
    ),
    asked: askedReads(resolver, replicator, store),
    leader,
    remote: (datacenter) => federation.contract(datacenter),
    ageMs: (kind) => ages.ageMs(kind),
    async replicated(kind, revision, signal) {
      if (kinds.some((one) => one.name === kind)) await applied(kind, revision, signal);
    },
    clock,
    metrics,
    random: Math.random,
  });
  const guarded: ServerContract = acls
    ? new GuardedContract({
        inner: server,
        callers: domains.acl.resolver,
        grants: grantsOf,
        facts: storedFacts(reads),
        revision: () => store.revision,
        readElsewhere: (name, { datacenter }) => readTarget(routing, name, datacenter) !== undefined,
        writeElsewhere: (name, args, { datacenter }) => writeTarget(routing, name, args, datacenter) !== undefined,
      })
    : server;

  const snapshots = createSnapshots({
    config,
    store,
    domains,
    transportSecrets: transport.authority.secretRows,
    federation: () => federation,
    clock,
    log,
    metrics,
  });

  const federation = createFederation({
    datacenter: config.datacenter,
    node: config.nodeName,
    nodeId,
    primaryDatacenter: config.primaryDatacenter,
    build: VERSION,
    advertiseWan: () => ({ address: config.advertiseAddrWan, port: identity().wanPort }),
    serverPort: () => identity().serverPort,
    get retryJoinWan() {
      return [...new Set([...config.retryJoinWan, ...transport.joinedAddresses()])]; // known once the store is read
    },
    local: server,
    identity: () => {
      const trustDomain = domains.ca.trustDomain();
      return { epoch: store.epoch, isPrimary: primary, ...(trustDomain === undefined ? {} : { trustDomain }) };
    },
    siblings: () => siblings(domains, nodeId),
    clock,
    monotonicMs: () => performance.now(),
    log: log.child({ component: 'federation' }),
    metrics,
    security,
  });

  const sessions = createAgentSessions(
    {
      datacenter: config.datacenter,
      self: () => serverNode(identity()),
      build: VERSION,
      nodes: domains.nodes,
      measured: (node, rttMs) => domains.catalog.measured(node, rttMs),
      ...(acls ? { callers: domains.acl.resolver } : {}),
      store,
      clock,
      log: log.child({ component: 'nodes' }),
      metrics,
    },
    { nodeTimeoutMs: config.nodeTimeoutMs },
  );

  const { datacenter, nodeName } = config;
  const recording = config.auditSinks.length > 0;
  const accessorOf = (token = ''): string => (acls ? (domains.acl.resolver.accessorOf(token) ?? '') : '');

  const listener = createRpcListener({
    listeners: rpcListeners(loaded),
    limits: {
      maxConnectionsPerClient: config.limits.rpcMaxConnsPerClient,
      handshakeMs: config.limits.rpcHandshakeTimeoutMs,
    },
    handlers: {
      datacenter,
      tokensDecide: acls,
      contract: new StalenessGuard({
        inner: recording ? audited(guarded, { audit: deps.audit, accessorOf, datacenter, node: nodeName }) : guarded,
        contact: () => store.contact(),
        clock,
      }),
      changes,
      snapshots,
      session: (stream, signal) => sessions.hold(stream, signal),
      ...federation.handlers,
    },
    security,
    clock,
    log: log.child({ component: 'rpc' }),
    metrics,
  });

  const wanWarning = createWanWarning({
    onCommit: (listener) => store.onCommit(listener),
    node: (name) => domains.catalog.tables.nodes.get(nodeKey(name))?.value,
    services: () => domains.catalog.tables.services.list().map(({ value }) => value),
    federated: () => federation.datacenters().length > 1,
    onFederation: (listener) => federation.onChange(listener),
    log: log.child({ component: 'catalog' }),
  });

  const tasks = createTaskGroup({
    clock,
    onError: (task, error) => log.error('task failed', { task, error: error.message }),
  });
  const register = async (signal: AbortSignal): Promise<void> => {
    await server.write('catalog.register', serverRegistration(identity()), { signal });
  };
  let unhookRestore = (): void => undefined;
  const registration: Service = {
    name: 'registration of this server',
    start: async (signal) => {
      warnOfOpenPorts({ addresses: listener.addresses, ...transport.protection() }, log);
      await register(signal);
      // What a snapshot says of this server may be old, or nothing.
      unhookRestore = store.onRestore(() => tasks.run('registration after a restore', register));
    },
    stop: async () => {
      unhookRestore();
      await tasks.stop();
    },
  };

  return {
    server,
    contract: acls ? withToken(guarded, () => tokens.get('default')) : server,
    snapshots: withSnapshotToken(snapshots, () => tokens.get('default')),
    tokens,
    store,
    domains,
    federation,
    listener,
    transport,
    leadership,
    identity,
    ageMs,
    accessorOf,
    services: [
      { name: 'store engine', start: async () => undefined, stop: () => engine.close() },
      store,
      ...transport.services,
      ...together,
      domains.acl.service,
      domains.ca.service,
      listener,
      ...(config.translateWanAddrs ? [wanWarning] : []),
      registration,
      sessions.service,
      nodeKeeper({ config, store, leadership, domains, clock, log }),
      ...(primary
        ? [canonicalNames(domains.entries, log), bootstrapEntries(domains.entries, config.bootstrapEntries)]
        : []),
      federation.service,
      resolver.service,
      replicator.service,
      ...(primary ? [] : [ages.service]),
      ...(preflight === undefined ? [] : [preflight.service]),
    ],
  };
}

function rpcListeners({ config }: LoadedConfig): ListenerSpec[] {
  const { server, serfLan, serfWan } = config.listeners;
  const named = { server, serf_lan: serfLan, serf_wan: serfWan };
  return Object.entries(named).flatMap(([name, addresses]) =>
    addresses.flatMap((address) =>
      address.kind === 'tcp' ? [{ name, address: address.host, port: address.port }] : [],
    ),
  );
}
