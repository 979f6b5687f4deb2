import type { QueryEntity } from '../../domain/queries/definition.ts';
import { planOf, type Step } from '../../domain/queries/plan.ts';
import type { ExecuteArgs, QueryExecution, QueryInstance } from '../../model/prepared-query.ts';
import {
  BY_ADDRESS,
  type ExecuteDeps,
  type ExecuteOptions,
  executionOf,
  limited,
  nearFirst,
  nearNode,
} from './execute-query.ts';
import type { Mesh } from './mesh.ts';
import { PlanFollower, type PlanFollowerDeps } from './plan-follower.ts';

interface Found {
  readonly step: Step | undefined;
  readonly failovers: number;
  readonly nodes: readonly QueryInstance[];
}

export interface FollowDeps extends PlanFollowerDeps {
  readonly mesh: Mesh;
  readonly distance: ExecuteDeps['distance'];
  readonly nodeAt: ExecuteDeps['nodeAt'];
  /** The query as it is now, filled in for what was asked; throws `not_found`. */
  readonly query: () => QueryEntity;
  /** Touched by every change of any query. */
  readonly topics: readonly string[];
}

/**
 * What the query leads to now, and after every change: of the query, of instances, of datacenters that come and go.
 * Only the datacenters up to the first healthy one are followed.
 */
export async function* followQuery(
  deps: FollowDeps,
  args: ExecuteArgs,
  options: ExecuteOptions,
): AsyncGenerator<QueryExecution, never, void> {
  const follower = new PlanFollower(deps);
  let sent = '';
  let sentNodes: unknown;
  try {
    for (;;) {
      follower.begin();
      const query = deps.query();
      const token = query.Token || options.token || '';
      const found = searchIn(deps.mesh, follower, planOf(query, deps.mesh, args.connect === true), token);
      follower.end(deps.topics);
      if (found !== undefined) {
        const state = JSON.stringify([found.step, found.failovers, query.DNS, query.Service.Near]);
        if (state !== sent || found.nodes !== sentNodes) {
          sent = state;
          sentNodes = found.nodes;
          const here = found.step?.datacenter === deps.mesh.datacenter;
          const node = here ? nearNode(query, args, deps.nodeAt) : '';
          const nodes = node === '' ? found.nodes : nearFirst(found.nodes, node, deps.distance);
          const execution = executionOf(deps.mesh, query, found, limited(nodes, args));
          const unplaced = here && args.source === undefined && (args.near || query.Service.Near) === BY_ADDRESS;
          const near = unplaced ? BY_ADDRESS : node;
          yield near === '' ? execution : { ...execution, Near: near };
        }
      }
      await follower.changed(options.signal);
    }
  } finally {
    follower.close();
  }
}

/** The first step with healthy instances; undefined as long as a datacenter that comes before it may still answer. */
function searchIn(mesh: Mesh, follower: PlanFollower, steps: readonly Step[], token: string): Found | undefined {
  let answered: Step | undefined;
  let nodes: readonly QueryInstance[] = [];
  let tried = 0;
  for (const step of steps) {
    tried += 1;
    const state = follower.step(step, token);
    if (!mesh.reaches(step.datacenter)) continue;
    if (!state.current) {
      if (state.late) continue;
      return undefined;
    }
    answered = step;
    nodes = state.instances ?? [];
    if (nodes.length > 0) break;
  }
  return { step: answered, failovers: tried - 1, nodes };
}
