import { IsthmusError } from '../../lib/errors.ts';
import type { Tx } from '../../store/store.ts';
import { type MemberRow, memberKey, type NodeSessionRow, type NodeTables } from './tables.ts';

/** Who wants to be a node, and what it has proved. */
export interface NodeClaimant extends Pick<MemberRow, 'Node' | 'ID' | 'Role'> {
  /** As {@link MemberRow.Key}; absent: it has proved nothing. */
  readonly key?: string;
  /** An operator lets it take the node of another key once that one is not alive (`node:write`). */
  readonly mayReplace?: boolean;
}

/** Throws `rejected`, with what to do, unless the claimant may have the node of this name and ID. */
export function checkClaim({ members, nodeSessions }: NodeTables, claimant: NodeClaimant, tx: Tx): void {
  const known = tx.get(members, memberKey(claimant.Node));
  checkName(known, tx.get(nodeSessions, memberKey(claimant.Node)), claimant);
  for (const { value } of members.by('id', claimant.ID.toLowerCase())) {
    if (memberKey(value.Node) === memberKey(claimant.Node)) continue;
    const other = tx.get(members, memberKey(value.Node));
    if (other === undefined || other.ID.toLowerCase() !== claimant.ID.toLowerCase()) continue;
    checkId(other, tx.get(nodeSessions, memberKey(value.Node)) !== undefined, claimant);
  }
}

/** The node of this name. */
function checkName(known: MemberRow | undefined, held: NodeSessionRow | undefined, claimant: NodeClaimant): void {
  const { Node, ID, Role } = claimant;
  if (Role === 'client' && known?.Role === 'server' && known.Status !== 'left')
    throw rejected(`${Node} is a server of this datacenter: give this agent a name of its own with -node`);
  if (held !== undefined && !sameNode(known, held, claimant))
    throw rejected(
      `the name ${Node} belongs to another living node (ID ${held.ID}): give this one a name of its own with -node`,
    );
  if (known === undefined || known.Status === 'left' || isHolder(known, claimant)) return;
  throw rejected(
    `the name ${Node} belongs to a node with another key (ID ${known.ID}, now ${known.Status}); if this is the same ` +
      `node and ` +
      `its data directory was lost, run "isthmus force-leave ` +
      `${Node}"${ID === known.ID ? '' : ', else give it another name with -node'}`,
  );
}

/** The node of this ID under another name: the claimant would replace it. */
function checkId(other: MemberRow, alive: boolean, claimant: NodeClaimant): void {
  if (other.Status === 'left') return;
  if (alive || (other.Role === 'server' && claimant.Role === 'client'))
    throw rejected(
      `the node ID ${claimant.ID} belongs to ${other.Node}: was a data directory copied? Delete node-id and ` +
        `node-key.pem in this one`,
    );
  if (!isHolder(other, claimant))
    throw rejected(
      `the node ID ${claimant.ID} belongs to ${other.Node}, which has another key: delete node-id in the data ` +
        `directory`,
    );
}

/** True when a living node's place may be taken: by itself, as it does when it moves or was restarted at once. */
function sameNode(known: MemberRow | undefined, held: NodeSessionRow, { ID, Role, key }: NodeClaimant): boolean {
  if (held.ID !== ID) return false;
  return Role === 'server' || known?.Key === undefined || known.Key === key;
}

/** True when a node that is not alive may be taken up again. Without a key, as earlier versions left it, by anyone. */
function isHolder(known: MemberRow, { Role, key, mayReplace = false }: NodeClaimant): boolean {
  if (Role === 'server' || known.Key === undefined || known.Key === key) return true;
  return mayReplace && known.Status !== 'alive';
}

function rejected(text: string): IsthmusError {
  return new IsthmusError('rejected', text);
}
