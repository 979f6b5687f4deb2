import type { LoadedConfig } from '../../config/types.ts';
import { TransportAuthority } from '../../domain/enrolment/authority.ts';
import { formatAddress } from '../../federation/address.ts';
import type { Clock } from '../../lib/clock.ts';
import { newUuid } from '../../lib/ids.ts';
import type { BoundAddress } from '../../rpc/transport/listener.ts';
import type { Engine } from '../../store/engine.ts';
import { createLeadership, type Leadership } from '../../store/leadership.ts';
import { Store } from '../../store/store.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { AgentTokens } from '../access/agent-tokens.ts';
import { type Identity, serverIdentity } from '../node/self.ts';
import type { Certificates } from '../security/certificates.ts';
import { readKeyFile } from '../security/key-file.ts';
import { fromFiles } from '../security/policy.ts';
import { createServerTls, type ServerTls } from '../security/server-tls.ts';
import { openEngine } from '../store/storage.ts';

export interface FoundationDeps {
  readonly loaded: LoadedConfig;
  readonly nodeId: string;
  readonly certificates: Certificates;
  /** Datacenters that are known now: no other may join under their names. */
  readonly knownDatacenters: () => readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What a server stands on: who it is, where its data is, who leads, and how its connections are protected. */
export interface Foundation {
  readonly identity: Identity;
  /** Where the server ports are bound, by listener: filled as they open. */
  readonly bound: Record<string, BoundAddress>;
  readonly engine: Engine;
  readonly store: Store;
  readonly leadership: Leadership;
  /** The agent's own tokens. */
  readonly tokens: AgentTokens;
  /** Behind the certificates of the server ports, where they do not come from files. */
  readonly authority: TransportAuthority;
  readonly tls: ServerTls;
}

/** Opens the store's files; nothing runs yet. */
export async function createFoundation(deps: FoundationDeps): Promise<Foundation> {
  const { loaded, nodeId, certificates, clock, log, metrics } = deps;
  const { config } = loaded;
  const bound: Record<string, BoundAddress> = {};
  const identity = serverIdentity(config, nodeId, bound);
  const engine = await openEngine(deps);
  const store = new Store({
    engine,
    clock,
    onError: (what, error) => log.error('the view lost its store', { what, error: error.message }),
  });
  // A leader that is not heard of for as long as a lost node has ceased to lead.
  const leadership = createLeadership(
    {
      ...{ store, clock, log: log.child({ component: 'leadership' }), metrics },
      ...{ id: nodeId, node: config.nodeName, instance: newUuid() },
    },
    { ttlMs: config.nodeTimeoutMs },
  );
  const encryptionKey = readKeyFile(config.connect.caKeyEncryptionFile);
  const authority = new TransportAuthority({
    store,
    clock,
    datacenter: config.datacenter,
    primaryDatacenter: config.primaryDatacenter,
    domain: config.dns.domain,
    certMs: config.tls.rpc.managedCertMs,
    managed: !fromFiles(config.tls.rpc),
    addresses: (kind) => [
      kind === 'agent'
        ? formatAddress({ address: config.advertiseAddr, port: identity.lanPort })
        : formatAddress({ address: config.advertiseAddrWan, port: identity.wanPort }),
    ],
    known: deps.knownDatacenters,
    ...(encryptionKey === undefined ? {} : { encryptionKey }),
  });
  const tls = createServerTls(
    {
      ...{ rpc: config.tls.rpc, datacenter: config.datacenter, domain: config.dns.domain },
      handshakeMs: config.limits.rpcHandshakeTimeoutMs,
    },
    {
      certificates,
      hasJoined: () => config.datacenter !== config.primaryDatacenter && authority.row !== undefined,
      clock,
    },
  );
  const tokens = new AgentTokens(config, log);
  tokens.useInvited(() => authority.replicationToken());
  return { identity, bound, engine, store, leadership, tokens, authority, tls };
}
