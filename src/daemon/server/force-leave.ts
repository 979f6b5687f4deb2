import type { Nodes } from '../../domain/nodes/nodes.ts';
import type { Federation } from '../../federation/federation.ts';
import { IsthmusError } from '../../lib/errors.ts';

/**
 * Takes a member that has failed for one that left; a living one is left alone. Throws `rejected` with Consul's text.
 */
export async function forceLeave(
  nodes: Pick<Nodes, 'member' | 'left' | 'forget'>,
  federation: Pick<Federation, 'forceLeave'>,
  { node, prune }: { readonly node: string; readonly prune: boolean },
): Promise<void> {
  const member = nodes.member(node);
  if (member === undefined) {
    if (federation.forceLeave(node) > 0) return;
    throw new IsthmusError('rejected', `agent: No node found with name '${node}'`);
  }
  if (member.Status === 'alive') return;
  if (prune) await nodes.forget(node);
  else if (member.Status === 'failed') await nodes.left(node);
}
