import type { QueryEntity } from '../../domain/queries/definition.ts';
import { planOf, type Step } from '../../domain/queries/plan.ts';
import type { Clock } from '../../lib/clock.ts';
import { abortable, throwIfAborted, withDeadline } from '../../lib/signals.ts';
import type { ExecuteArgs, QueryExecution, QueryInstance } from '../../model/prepared-query.ts';
import type { Logger } from '../../telemetry/types.ts';
import { candidatesOf, type Mesh, PATIENCE_MS } from './mesh.ts';
import type { RepeatedQuestions } from './repeated-questions.ts';

export interface ExecuteDeps {
  readonly mesh: Pick<Mesh, 'datacenter' | 'datacenters' | 'reaches' | 'contract'>;
  readonly repeated: Pick<RepeatedQuestions, 'instances'>;
  readonly clock: Clock;
  /** Between two nodes of this datacenter, in any unit; Infinity when it is not known. */
  readonly distance: (nodeA: string, nodeB: string) => number;
  /** The node of this datacenter that has the address. */
  readonly nodeAt: (address: string) => string | undefined;
  /** Chance in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
}

export interface ExecuteOptions {
  readonly signal: AbortSignal;
  readonly token?: string;
}

/** Asks one datacenter after the other until one has healthy instances. */
export async function executeQuery(
  deps: ExecuteDeps,
  query: QueryEntity,
  args: ExecuteArgs,
  options: ExecuteOptions,
): Promise<QueryExecution> {
  const { mesh } = deps;
  let answered: Step | undefined;
  let nodes: readonly QueryInstance[] = [];
  let tried = 0;
  for (const step of planOf(query, mesh, args.connect === true)) {
    tried += 1;
    const found = await ask(deps, query, step, options);
    if (found === undefined) continue;
    answered = step;
    nodes = found;
    if (nodes.length > 0) break;
  }
  const node = answered?.datacenter === mesh.datacenter ? nearNode(query, args, deps.nodeAt) : '';
  return executionOf(mesh, query, { step: answered, failovers: tried - 1 }, limited(arrange(nodes, node, deps), args));
}

/** Undefined when it could not be asked. */
async function ask(
  { mesh, repeated, clock, log }: ExecuteDeps,
  query: QueryEntity,
  step: Step,
  options: ExecuteOptions,
): Promise<readonly QueryInstance[] | undefined> {
  const { datacenter } = step;
  if (!mesh.reaches(datacenter)) return undefined;
  const question = candidatesOf(step, query.Token || options.token);
  const read = async (signal: AbortSignal): Promise<readonly QueryInstance[]> => {
    const { name, args, ...where } = question;
    return (await mesh.contract.read(name, args, { ...where, signal })).value;
  };
  if (datacenter === mesh.datacenter) return read(options.signal);
  const followed = repeated.instances(question);
  if (followed !== undefined) return followed;
  const limit = withDeadline(clock, PATIENCE_MS, `asking ${datacenter}`, options.signal);
  try {
    return await abortable(read(limit.signal), limit.signal);
  } catch (error) {
    throwIfAborted(options.signal);
    log.warn('a datacenter could not be asked for a prepared query', {
      datacenter,
      query: query.Name || query.ID,
      error: String(error),
    });
    return undefined;
  } finally {
    limit.release();
  }
}

export function executionOf(
  mesh: Pick<Mesh, 'datacenter'>,
  query: QueryEntity,
  { step, failovers }: { readonly step: Step | undefined; readonly failovers: number },
  nodes: readonly QueryInstance[],
): QueryExecution {
  return {
    Service: step?.selection.service ?? query.Service.Service,
    Nodes: nodes,
    DNS: query.DNS,
    Datacenter: step?.datacenter ?? mesh.datacenter,
    Failovers: failovers,
    Index: 0,
    LastContact: 0,
    KnownLeader: true,
    ConsistencyLevel: 'leader',
    NotModified: false,
  };
}

export function limited(nodes: readonly QueryInstance[], { limit }: ExecuteArgs): readonly QueryInstance[] {
  return limit === undefined || limit <= 0 ? nodes : nodes.slice(0, limit);
}

/** As `Near`: the node at the caller's address. */
export const BY_ADDRESS = '_ip';

/** The node whose neighbours come first; '' when the caller and the query want none. */
export function nearNode(query: QueryEntity, args: ExecuteArgs, nodeAt: ExecuteDeps['nodeAt']): string {
  const near = args.near || query.Service.Near;
  if (near === '_agent') return args.agent?.node ?? '';
  return near === BY_ADDRESS ? ((args.source && nodeAt(args.source)) ?? '') : near;
}

/** Shuffled, so that those who take the first one spread; what is near the node asked for comes first. */
function arrange(
  nodes: readonly QueryInstance[],
  node: string,
  { random, distance }: Pick<ExecuteDeps, 'random' | 'distance'>,
): readonly QueryInstance[] {
  const shuffled = [...nodes];
  for (let at = shuffled.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    [shuffled[at], shuffled[other]] = [shuffled[other] as QueryInstance, shuffled[at] as QueryInstance];
  }
  return node === '' ? shuffled : nearFirst(shuffled, node, distance);
}

/** What runs on the node itself, then by distance from it, then what is not measured. */
export function nearFirst(
  nodes: readonly QueryInstance[],
  node: string,
  distance: ExecuteDeps['distance'],
): readonly QueryInstance[] {
  const far = nodes.map((instance) => {
    const { Node } = instance.Node;
    return { instance, distance: Node === node ? -1 : distance(node, Node) };
  });
  return far
    .sort((a, b) => (a.distance === b.distance ? 0 : a.distance < b.distance ? -1 : 1))
    .map(({ instance }) => instance);
}
