import type { Member } from '../../../model/member.ts';
import { type NoArgs, OWN_DATA, read, write } from './method.ts';
import { list, OPEN, seesNode, writeNeeds } from './rights.ts';
import { EVERYONE, THIS_DATACENTER } from './roles.ts';

const members = list<Member>((rights, { Name }) => seesNode(rights, Name));

export const nodeReads = {
  'status.leader': read<NoArgs, string>({ ...OWN_DATA, needs: {}, callers: EVERYONE, rights: OPEN }),
  'status.peers': read<NoArgs, readonly string[]>({ ...OWN_DATA, needs: {}, callers: EVERYONE, rights: OPEN }),
  /** The agents of the datacenter, servers and clients. */
  'members.lan': read<NoArgs, readonly Member[]>({ ...OWN_DATA, needs: {}, callers: EVERYONE, rights: members }),
  'members.wan': read<NoArgs, readonly Member[]>({ ...OWN_DATA, needs: {}, callers: EVERYONE, rights: members }),
};

export const nodeWrites = {
  /**
   * A failed node counts as having left, and is deregistered; pruned, it is forgotten. Also a server of another
   * datacenter.
   */
  'nodes.forceLeave': write<{ readonly node: string; readonly prune: boolean }, null>({
    decided: 'here',
    leader: false,
    repeatable: false,
    arrivesIn: undefined,
    needs: { node: 'text' },
    audit: ['node'],
    callers: THIS_DATACENTER,
    rights: writeNeeds('operator', 'write'),
  }),
};
