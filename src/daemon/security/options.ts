import type { RpcTls, RuntimeConfig } from '../../config/types.ts';
import { isManagedByDefault } from './policy.ts';

/** What the certificates of an agent's connections depend on. */
export interface SecurityOptions {
  readonly server: boolean;
  readonly node: string;
  readonly datacenter: string;
  readonly primaryDatacenter: string;
  /** Of the names in certificates. */
  readonly domain: string;
  readonly rpc: RpcTls;
  /** Whether the certificates are managed although nothing says so. */
  readonly managedByDefault: boolean;
  readonly handshakeMs: number;
  /** Path of an invitation; '' for none. */
  readonly joinInvite: string;
  /** Where an agent keeps its certificate; '' keeps it in memory. */
  readonly dataDir: string;
  /** Servers of other datacenters that the configuration names. */
  readonly retryJoinWan: readonly string[];
}

export function securityOptions(config: RuntimeConfig): SecurityOptions {
  const { server, nodeName, datacenter, primaryDatacenter, dns, tls, limits, joinInvite, dataDir, retryJoinWan } =
    config;
  return {
    ...{ server, node: nodeName, datacenter, primaryDatacenter, domain: dns.domain },
    ...{
      rpc: tls.rpc,
      managedByDefault: isManagedByDefault(config),
      handshakeMs: limits.rpcHandshakeTimeoutMs,
      joinInvite,
      dataDir,
      retryJoinWan,
    },
  };
}
