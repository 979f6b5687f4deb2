import type { QueryEntity } from '../../domain/queries/definition.ts';
import { planOf } from '../../domain/queries/plan.ts';
import type { ExecuteArgs, QueryForecast, QueryOutcome } from '../../model/prepared-query.ts';
import { type ExecuteDeps, type ExecuteOptions, executeQuery } from './execute-query.ts';

/** Who serves a query now, and who would if each of the datacenters that it may lead to were lost. */
export async function forecastQuery(
  deps: ExecuteDeps,
  query: QueryEntity,
  args: ExecuteArgs,
  options: ExecuteOptions,
): Promise<QueryForecast> {
  const outcome = async (lost?: string): Promise<QueryOutcome | null> => {
    const mesh = lost === undefined ? deps.mesh : without(deps.mesh, lost);
    const { Service, Datacenter, Nodes, Failovers } = await executeQuery({ ...deps, mesh }, query, args, options);
    return Nodes.length === 0 ? null : { Service, Datacenter, Instances: Nodes.length, Failovers };
  };
  const datacenters = new Set(planOf(query, deps.mesh, args.connect === true).map(({ datacenter }) => datacenter));
  const lost = [...datacenters].map(async (Datacenter) => ({ Datacenter, Outcome: await outcome(Datacenter) }));
  return { Name: query.Name, Service: query.Service.Service, Now: await outcome(), Lost: await Promise.all(lost) };
}

/** The datacenters as they would be if one of them could not be reached. */
function without(mesh: ExecuteDeps['mesh'], lost: string): ExecuteDeps['mesh'] {
  return {
    datacenter: mesh.datacenter,
    datacenters: () => mesh.datacenters(),
    reaches: (datacenter) => datacenter !== lost && mesh.reaches(datacenter),
    contract: mesh.contract,
  };
}
