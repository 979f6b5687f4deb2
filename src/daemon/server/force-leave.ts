import type { Nodes } from '../../domain/nodes/nodes.ts';
import { formatAddress } from '../../federation/address.ts';
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

/**
 * Takes a server that has failed off the list, by its node ID or its address. Throws `rejected` with Consul's text for
 * one that is not there, and for one that lives: it holds no vote, and would be back at once.
 */
export async function removeServer(
  nodes: Pick<Nodes, 'members' | 'forget'>,
  { id, address }: { readonly id?: string; readonly address?: string },
): Promise<void> {
  const server = nodes.members().find(({ Addr, Tags }) => {
    if (Tags.role !== 'consul') return false;
    return id === undefined ? formatAddress({ address: Addr, port: Number(Tags.port) }) === address : Tags.id === id;
  });
  if (server === undefined) {
    const named = id === undefined ? `address ${JSON.stringify(address)}` : `id ${JSON.stringify(id)}`;
    throw new IsthmusError('rejected', `${named} was not found in the Raft configuration`);
  }
  if (server.Status === ALIVE)
    throw new IsthmusError('rejected', `server ${server.Name} lives: stop it first, or let it leave`);
  await nodes.forget(server.Name);
}

/** By a member's status. */
const ALIVE = 1;
