import type { ServiceTarget } from '../../model/discovery-chain.ts';
import type { QuerySelection } from '../../model/prepared-query.ts';
import type { QueryEntity } from './definition.ts';
import { selectionOf } from './select.ts';

/** The datacenters that a plan may name. */
export interface KnownDatacenters {
  /** This datacenter. */
  readonly datacenter: string;
  /** All that are known, nearest first; this one is among them. */
  datacenters(): readonly string[];
}

/** A datacenter to look in, and for which instances. */
export interface Step {
  readonly datacenter: string;
  readonly selection: QuerySelection;
}

/** Where to look, in order: here first, then what the query fails over to. Unknown datacenters are left out. */
export function planOf(query: QueryEntity, mesh: KnownDatacenters, connect: boolean): readonly Step[] {
  const selection = selectionOf(query.Service, connect);
  const { NearestN, Datacenters, Targets } = query.Service.Failover;
  const first: Step = { datacenter: mesh.datacenter, selection };
  const known = mesh.datacenters();
  if (Targets !== undefined) {
    const steps = Targets.map((target): Step => {
      const service = {
        ...query.Service,
        ...(target.Service === undefined ? {} : { Service: target.Service }),
        ...(target.Tags === undefined ? {} : { Tags: target.Tags }),
      };
      return { datacenter: target.Datacenter || mesh.datacenter, selection: selectionOf(service, connect) };
    });
    return [first, ...steps.filter(({ datacenter }) => known.includes(datacenter))];
  }
  const nearest = known.filter((datacenter) => datacenter !== mesh.datacenter).slice(0, NearestN);
  const listed = (Datacenters ?? []).filter((datacenter) => known.includes(datacenter));
  const others = new Set([...nearest, ...listed].filter((datacenter) => datacenter !== mesh.datacenter));
  return [first, ...[...others].map((datacenter): Step => ({ datacenter, selection }))];
}

/** A step of an upstream, named. */
export interface UpstreamStep extends Step {
  /** Unique within the upstream; stays the same as long as it means the same. */
  readonly id: string;
}

/** The steps of a query as an upstream's: what a sidecar can dial. */
export function queryPlan(query: QueryEntity, mesh: KnownDatacenters): readonly UpstreamStep[] {
  const steps = planOf(query, mesh, true);
  return steps.map((step) => {
    const { service, tags = [] } = step.selection;
    return { ...step, id: [...tags, service, step.datacenter].join('.') };
  });
}

/** What a service's resolver leads to. */
export function servicePlan(targets: readonly ServiceTarget[]): readonly UpstreamStep[] {
  return targets.map(({ id, service, datacenter, filter, onlyPassing }) => ({
    id,
    datacenter,
    selection: {
      service,
      connect: true,
      ...(onlyPassing ? { onlyPassing } : {}),
      ...(filter === '' ? {} : { filter }),
    },
  }));
}
