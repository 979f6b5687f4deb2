import type { NodeEntity, ServiceEntity } from '../../domain/catalog/tables.ts';
import type { Service } from '../../lib/service.ts';
import { serviceAt } from '../../model/address.ts';
import type { AppliedCommit } from '../../store/store.ts';
import type { Logger } from '../../telemetry/types.ts';

export interface WanWarningDeps {
  readonly onCommit: (listener: (commit: AppliedCommit) => void) => () => void;
  readonly node: (name: string) => NodeEntity | undefined;
  /** Those registered before anyone else was there to use them. */
  readonly services: () => Iterable<ServiceEntity>;
  /** Whether other datacenters are there to use the service. */
  readonly federated: () => boolean;
  /** Called back when other datacenters come and go. */
  readonly onFederation: (listener: () => void) => () => void;
  readonly log: Logger;
}

/** Services that were warned about; more are not: whoever has so many knows by then. */
const MAX_WARNED = 1_000;

/**
 * While addresses are translated, tells once for each service that other datacenters are given an address that is only
 * good within this one.
 */
export function createWanWarning(deps: WanWarningDeps): Service {
  const { node, federated, log } = deps;
  const warned = new Set<string>();
  const ends: (() => void)[] = [];
  let alone = true;
  const look = (service: ServiceEntity): void => {
    const home = node(service.Node);
    if (home === undefined || warned.has(service.Service) || hasWan(service, home)) return;
    if (warned.size >= MAX_WARNED) return;
    warned.add(service.Service);
    log.warn('a service has no WAN address: other datacenters are given its LAN address', {
      service: service.Service,
      home: service.Node,
      address: service.Address || home.Address,
    });
  };
  const lookAtAll = (): void => {
    if (!alone || !federated()) return;
    alone = false;
    for (const service of deps.services()) look(service);
  };
  const lookAtChanges = ({ changes }: AppliedCommit): void => {
    if (alone) return;
    for (const { table, after } of changes)
      if (table === 'services' && after !== undefined) look(after.value as ServiceEntity);
  };
  return {
    name: 'warning about WAN addresses',
    async start() {
      ends.push(deps.onCommit(lookAtChanges), deps.onFederation(lookAtAll));
      lookAtAll();
    },
    async stop() {
      for (const end of ends.splice(0)) end();
    },
  };
}

/** A service's own address hides its node's WAN address. */
function hasWan(service: ServiceEntity, home: NodeEntity): boolean {
  if (serviceAt(service, true).wan) return true;
  return service.Address === '' && Boolean(home.TaggedAddresses?.wan);
}
