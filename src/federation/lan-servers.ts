import type { Clock } from '../lib/clock.ts';
import type { Service } from '../lib/service.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import { createChannel, type RpcChannel } from '../rpc/transport/channel.ts';
import type { TransportLimits } from '../rpc/transport/handlers.ts';
import { createRemoteContract } from '../rpc/transport/remote-contract.ts';
import type { TransportSecurity } from '../rpc/transport/security.ts';
import { formatAddress } from './address.ts';

/** Where a server of this datacenter is reached. */
export interface LanServer {
  readonly nodeId: string;
  readonly address: string;
  readonly port: number;
}

export interface LanServersDeps {
  /** The servers that live now. */
  readonly servers: () => readonly LanServer[];
  /** Of which they must be servers, where certificates say so. */
  readonly datacenter?: string;
  readonly clock: Clock;
  readonly security?: TransportSecurity;
  readonly limits?: TransportLimits;
}

/** The other servers of this datacenter, as this one calls them. */
export interface LanServers {
  /** Closes the connections. */
  readonly service: Service;
  /** Undefined while the server is not known to live. */
  contract(nodeId: string): ServerContract | undefined;
}

interface Reached {
  readonly channel: RpcChannel;
  readonly contract: ServerContract;
}

export function createLanServers(deps: LanServersDeps): LanServers {
  const reached = new Map<string, Reached>();
  const closeAll = (): void => {
    for (const [nodeId, { channel }] of reached) {
      channel.close();
      reached.delete(nodeId);
    }
  };
  return {
    service: { name: 'connections to servers', start: async () => undefined, stop: async () => closeAll() },
    contract(nodeId) {
      const server = deps.servers().find((one) => one.nodeId === nodeId);
      if (server === undefined) return undefined;
      const address = formatAddress(server);
      const known = reached.get(nodeId);
      if (known?.channel.address === address) return known.contract;
      closeAll(); // one of them is called at a time, the leader; it has moved
      const { clock, datacenter, security, limits } = deps;
      const channel = createChannel({
        address,
        ...(datacenter === undefined ? {} : { datacenter }),
        ...(security === undefined ? {} : { security }),
        ...(limits === undefined ? {} : { limits }),
      });
      const contract = createRemoteContract({ channel, clock });
      reached.set(nodeId, { channel, contract });
      return contract;
    },
  };
}
