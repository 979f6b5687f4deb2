import type { NodeEntity, ServiceEntity } from '../domain/catalog/tables.ts';
import type { Service } from '../lib/service.ts';
import { serviceAt } from '../model/address.ts';
import type { AppliedCommit } from '../store/store.ts';
import type { Logger } from '../telemetry/types.ts';

export interface WanWarningDeps {
  readonly onCommit: (listener: (commit: AppliedCommit) => void) => () => void;
  readonly node: (name: string) => NodeEntity | undefined;
  /** Whether other datacenters are there to use the service. */
  readonly federated: () => boolean;
  readonly log: Logger;
}

/** Services that were warned about; more are not: whoever has so many knows by then. */
const MAX_WARNED = 1_000;

/**
 * While addresses are translated, tells once for each service that other datacenters are given an address that is only
 * good within this one.
 */
export function createWanWarning({ onCommit, node, federated, log }: WanWarningDeps): Service {
  const warned = new Set<string>();
  let end: () => void = () => undefined;
  const look = ({ changes }: AppliedCommit): void => {
    for (const { table, after } of changes) {
      if (table !== 'services' || after === undefined || warned.size >= MAX_WARNED || !federated()) continue;
      const service = after.value as ServiceEntity;
      const home = node(service.Node);
      if (home === undefined || warned.has(service.Service) || hasWan(service, home)) continue;
      warned.add(service.Service);
      log.warn('a service has no WAN address: other datacenters are given its LAN address', {
        service: service.Service,
        node: service.Node,
        address: service.Address || home.Address,
      });
    }
  };
  return {
    name: 'warning about WAN addresses',
    async start() {
      end = onCommit(look);
    },
    async stop() {
      end();
    },
  };
}

/** A service's own address hides its node's WAN address. */
function hasWan(service: ServiceEntity, home: NodeEntity): boolean {
  if (serviceAt(service, true).wan) return true;
  return service.Address === '' && Boolean(home.TaggedAddresses?.wan);
}
