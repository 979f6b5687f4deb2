import type { Autonomy } from '../model/autonomy.ts';
import type { ReplicationStatus } from '../model/replication.ts';
import type { InviteArgs, ListedInvitation, MadeInvitation } from '../model/transport.ts';
import type { CallOptions } from './options.ts';
import type { Transport } from './transport.ts';

/** One server as /v1/operator/raft/configuration lists it. */
export interface RaftServer {
  readonly ID: string;
  readonly Node: string;
  readonly Address: string;
  readonly Leader: boolean;
  readonly ProtocolVersion: string;
  readonly Voter: boolean;
}

/** One link of the asked server to a server of another datacenter. */
export interface LinkInfo {
  readonly address: string;
  /** Who answered there last; '' before. */
  readonly nodeId: string;
  readonly node: string;
  readonly datacenter: string;
  readonly rttMs?: number;
  readonly state: {
    readonly kind: string;
    /** Milliseconds since the Unix epoch. */
    readonly since: number;
    readonly reason?: string;
    readonly retryAt?: number;
  };
}

export interface OperatorApi {
  /** Address of the leader; '' when there is none. */
  leader(call?: CallOptions): Promise<string>;
  peers(call?: CallOptions): Promise<readonly string[]>;
  raftConfiguration(call?: CallOptions): Promise<readonly RaftServer[]>;
  replication(call?: CallOptions): Promise<ReplicationStatus>;
  /** How long the datacenter asked could run alone. */
  autonomy(call?: CallOptions): Promise<Autonomy>;
  acceptReplicationSource(kind: string, call?: CallOptions): Promise<void>;
  /** Links to other datacenters. */
  links(call?: CallOptions): Promise<readonly LinkInfo[]>;
  invite(invitation: InviteArgs, call?: CallOptions): Promise<MadeInvitation>;
  invitations(call?: CallOptions): Promise<readonly ListedInvitation[]>;
  revokeInvitation(id: string, call?: CallOptions): Promise<void>;
  metrics(call?: CallOptions): Promise<unknown>;
  metricsText(call?: CallOptions): Promise<string>;
}

export function createOperatorApi(transport: Transport): OperatorApi {
  const get = async <T>(path: string, call: CallOptions = {}): Promise<T> =>
    (await transport.json<T>({ method: 'GET', path, call })).value;
  return {
    leader: (call) => get('/v1/status/leader', call),
    peers: (call) => get('/v1/status/peers', call),
    async raftConfiguration(call) {
      const answer = await get<{ Servers: readonly RaftServer[] }>('/v1/operator/raft/configuration', call);
      return answer.Servers;
    },
    replication: (call) => get('/v1/internal/replication', call),
    autonomy: (call) => get('/v1/internal/autonomy', call),
    async acceptReplicationSource(kind, call = {}) {
      await transport.text({ method: 'PUT', path: '/v1/internal/replication/accept-source', query: { kind }, call });
    },
    async invite({ TTL, ...invitation }, call = {}) {
      const body = { ...invitation, ...(TTL === undefined ? {} : { TTL: `${TTL}ms` }) };
      const path = '/v1/operator/federation/invitation';
      return (await transport.json<MadeInvitation>({ method: 'PUT', path, body, call })).value;
    },
    invitations: (call) => get('/v1/operator/federation/invitations', call),
    async revokeInvitation(id, call = {}) {
      const path = `/v1/operator/federation/invitation/${encodeURIComponent(id)}`;
      await transport.text({ method: 'DELETE', path, call });
    },
    links: (call) => get('/v1/internal/links', call),
    metrics: (call) => get('/v1/agent/metrics', call),
    metricsText: (call = {}) =>
      transport.text({ method: 'GET', path: '/v1/agent/metrics', query: { format: 'prometheus' }, call }),
  };
}
