import { nodeKey } from '../../domain/catalog/tables.ts';
import { createFederation, type Federation } from '../../federation/federation.ts';
import type { WaitApplied } from '../../federation/replication/applied-here.ts';
import { parseAddress } from '../../lib/address.ts';
import { Later } from '../../lib/later.ts';
import type { Service } from '../../lib/service.ts';
import { VERSION } from '../../model/version.ts';
import type { OwnCsrs } from '../../pki/csr.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { READS, type ReadName } from '../../rpc/contract/reads.ts';
import type { SnapshotContract } from '../../rpc/contract/snapshots.ts';
import { queryMesh } from '../../server/resolve/query-mesh.ts';
import { createResolver, type Resolver } from '../../server/resolve/resolver.ts';
import type { Audit } from '../../telemetry/types.ts';
import { primaryTokens, replicationTokenOf, withToken } from '../access/access.ts';
import { bootstrapEntries } from '../domains/bootstrap-entries.ts';
import { canonicalNames } from '../domains/canonical-names.ts';
import { createDomains, type Domains } from '../domains/domains.ts';
import { nodeKeeper } from '../domains/node-keeper.ts';
import { remotePrimaryCa } from '../domains/primary-ca.ts';
import { sessionKeeper } from '../domains/session-keeper.ts';
import { DEFAULT_LAN_PORT } from '../edges/join-probe.ts';
import { securityOptions } from '../security/options.ts';
import { createServerEnrolment } from '../security/server-enrolment.ts';
import { type Contracts, createContracts } from './contract.ts';
import { createFoundation, type Foundation, type FoundationDeps } from './foundation.ts';
import { createListeners } from './listeners.ts';
import { createOtherServers, siblings } from './other-servers.ts';
import { createRegistration } from './registration.ts';
import { createReplication } from './replication.ts';
import { createSnapshots, withSnapshotToken } from './snapshots.ts';
import { wanDiscovery } from './wan-discovery.ts';
import { createWanWarning } from './wan-warning.ts';

/** The part of an agent that makes it a server of its datacenter. */
export interface ServerNode extends Pick<Foundation, 'identity' | 'bound' | 'store' | 'leadership' | 'tokens'> {
  /** Answers whatever it is asked: for the process itself. */
  readonly server: ServerContract;
  /** As tokens see it; calls without one get the agent's default. */
  readonly contract: ServerContract;
  /** Snapshots as tokens see them, likewise. */
  readonly snapshots: SnapshotContract;
  readonly domains: Domains;
  readonly federation: Federation;
  /** In the order of starting. */
  readonly services: readonly Service[];
  /** How old what a read is made from may be, milliseconds. */
  ageMs(name: ReadName): number;
  /** AccessorID of a token, as far as it is known here; '' otherwise. */
  accessorOf(token: string | undefined): string;
}

export interface ServerNodeDeps extends Omit<FoundationDeps, 'knownDatacenters'> {
  readonly audit: Audit;
  readonly ownCsrs: OwnCsrs;
}

/** What those take that are made before it: the links and the domains need each other. */
interface Here extends Contracts {
  readonly federation: Federation;
  readonly domains: Domains;
  readonly applied: WaitApplied;
}

/** Puts a server together; nothing runs yet but the store's files are open. */
export async function createServerNode(deps: ServerNodeDeps): Promise<ServerNode> {
  const { certificates, clock, log, metrics } = deps;
  const { config } = deps.loaded;
  const primary = config.primaryDatacenter === config.datacenter;
  const here = new Later<Here>('this server');
  const foundation = await createFoundation({
    ...deps,
    knownDatacenters: () => here.value.federation.datacenters(),
  });
  const { engine, store, leadership, tokens, authority, tls } = foundation;
  const shared = { config, clock, log, metrics };

  const federation = createLinks(deps, foundation, here);
  const domains = createDomains({
    ...shared,
    store,
    leadership,
    ownCsrs: deps.ownCsrs,
    agentTokens: tokens,
    knownDatacenters: () => [config.datacenter, ...federation.connected()],
    ...(primary ? {} : ofPrimary(federation.contract(config.primaryDatacenter), foundation, here)),
  });
  const { leader, service: lan } = createOtherServers({
    ...{ nodeId: deps.nodeId, datacenter: config.datacenter, store, leadership, nodes: domains.nodes },
    ...{ security: tls.dialling, clock },
  });
  const replication = createReplication({ ...shared, ...foundation, domains, federation, leader });
  const resolver = createNodeResolver(deps, foundation, domains, federation, here);
  const contracts = createContracts({ ...shared, ...foundation, domains, federation, replication, resolver, leader });
  const { server, guarded } = contracts;
  here.provide({ ...contracts, federation, domains, applied: replication.applied });

  const enrolment = createServerEnrolment({
    ...shared,
    options: securityOptions(config),
    authority,
    certificates,
    primaryServers: () =>
      federation.links().flatMap((link) => (link.datacenter === config.primaryDatacenter ? [link.address] : [])),
    replicationToken: async (accessor, datacenter) =>
      config.acl.enabled ? replicationTokenOf(domains.acl.tokens, accessor, datacenter) : '',
  });
  const snapshots = createSnapshots({
    ...shared,
    ...{ store, domains, federation },
    transportSecrets: authority.secretRows,
  });
  const accessorOf = (token = ''): string =>
    config.acl.enabled ? (domains.acl.tokenResolver.accessorOf(token) ?? '') : '';
  const { listener, sessions } = createListeners({
    ...shared,
    ...foundation,
    ...{ domains, federation, replication, snapshots, accessorOf },
    enrolment: enrolment.protocol,
    contract: guarded,
    audit: deps.audit,
  });
  const wanWarning = createWanWarning({
    onCommit: (hear) => store.onCommit(hear),
    node: (name) => domains.catalog.tables.nodes.get(nodeKey(name))?.value,
    services: () => domains.catalog.tables.services.list().map(({ value }) => value),
    federated: () => federation.datacenters().length > 1,
    onFederation: (hear) => federation.onChange(hear),
    log: log.child({ component: 'catalog' }),
  });

  return {
    ...foundation,
    ...{ server, domains, federation, accessorOf },
    ageMs(name) {
      const kind = READS[name].madeFrom;
      return kind === undefined ? 0 : replication.ageMs(kind);
    },
    contract: config.acl.enabled ? withToken(guarded, () => tokens.get('default')) : server,
    snapshots: withSnapshotToken(snapshots, () => tokens.get('default')),
    services: [
      { name: 'store engine', start: async () => undefined, stop: () => engine.close() },
      store,
      ...enrolment.services,
      lan,
      leadership.service,
      domains.acl.service,
      domains.ca.service,
      listener,
      ...(config.translateWanAddrs ? [wanWarning] : []),
      createRegistration({ ...foundation, server, clock, log }),
      sessions.service,
      nodeKeeper({ ...shared, store, leadership, domains }),
      sessionKeeper({ leadership, kv: domains.kv, log }),
      ...(primary
        ? [canonicalNames(domains.entries, log), bootstrapEntries(domains.entries, config.bootstrapEntries)]
        : []),
      federation.service,
      wanDiscovery(config, federation, clock, log),
      resolver.service,
      ...replication.services,
    ],
  };
}

/** Links to other datacenters. */
function createLinks(
  { loaded, nodeId, clock, log, metrics }: ServerNodeDeps,
  { identity, store, authority, tls }: Foundation,
  here: Later<Here>,
): Federation {
  const { config } = loaded;
  const { datacenter, primaryDatacenter } = config;
  return createFederation({
    datacenter,
    node: config.nodeName,
    nodeId,
    primaryDatacenter,
    build: VERSION,
    advertiseWan: () => ({ address: config.advertiseAddrWan, port: identity.wanPort }),
    serverPort: () => identity.serverPort,
    get retryJoinWan() {
      // Servers of this datacenter find each other in their store; these are dialled so that those which have another
      // store are refused, as another datacenter of the same name is.
      const own = [...config.retryJoin, ...config.startJoin].flatMap(lanAddress);
      const invited = authority.row?.addresses ?? []; // known once the store is read
      return [...new Set([...own, ...config.retryJoinWan, ...invited])];
    },
    get local() {
      return here.value.server;
    },
    identity() {
      const trustDomain = here.value.domains.ca.trustDomain();
      return {
        epoch: store.epoch,
        isPrimary: datacenter === primaryDatacenter,
        ...(trustDomain === undefined ? {} : { trustDomain }),
      };
    },
    siblings: () => siblings(here.value.domains, nodeId),
    clock,
    monotonicMs: () => performance.now(),
    log: log.child({ component: 'federation' }),
    metrics,
    security: tls.dialling,
  });
}

/** What the domains of a secondary ask of the primary. */
function ofPrimary(primary: ServerContract, { tokens }: Foundation, here: Later<Here>) {
  return {
    primaryCa: remotePrimaryCa(withToken(primary, () => tokens.get('replication'))),
    primaryTokens: primaryTokens(primary, (...wanted) => here.value.applied(...wanted)),
  };
}

function createNodeResolver(
  { loaded, clock, log }: ServerNodeDeps,
  { store }: Foundation,
  domains: Domains,
  federation: Federation,
  here: Later<Here>,
): Resolver {
  return createResolver({
    queries: domains.queries,
    mesh: queryMesh(loaded.config.datacenter, () => here.value.guarded, federation),
    subscribe: (topics, listener) => store.topics.subscribe(topics, listener),
    serviceTargets: (service, from) => domains.entries.serviceTargets(service, from),
    distance: domains.catalog.distance,
    nodeAt: (address) => domains.catalog.tables.nodes.by('address', address)[0]?.value.Node,
    clock,
    random: Math.random,
    log: log.child({ component: 'queries' }),
  });
}

/** None for what is no address. */
function lanAddress(text: string): readonly string[] {
  try {
    return [parseAddress(text, DEFAULT_LAN_PORT)];
  } catch {
    return [];
  }
}
