import type { QuerySelection } from '../../model/prepared-query.ts';
import type { QueryEntity } from './definition.ts';
import type { Mesh } from './mesh.ts';
import { selectionOf } from './select.ts';

/** One place to look for instances. */
export interface Step {
  readonly datacenter: string;
  readonly selection: QuerySelection;
}

/** Where to look, in order: here first, then what the query fails over to. Datacenters that nobody knows are left out. */
export function planOf(query: QueryEntity, mesh: Mesh, connect: boolean): readonly Step[] {
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
