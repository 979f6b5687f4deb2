import { expect, it } from 'vitest';
import type { MemberStatus } from '../domain/nodes/tables.ts';
import { forceLeave } from './force-leave.ts';

function parts(status: MemberStatus | undefined, farAway = 0) {
  const done: string[] = [];
  const row = { Node: 'n1', ID: 'id', Role: 'client', Addr: '', Port: 0, Tags: {}, Since: 0 } as const;
  return {
    done,
    nodes: {
      member: () => (status === undefined ? undefined : { ...row, Status: status }),
      left: async (node: string) => void done.push(`left ${node}`),
      forget: async (node: string) => void done.push(`forget ${node}`),
    },
    federation: { forceLeave: () => farAway },
  };
}

it.each([
  ['alive', false, []],
  ['alive', true, []],
  ['failed', false, ['left n1']],
  ['failed', true, ['forget n1']],
  ['left', false, []],
  ['left', true, ['forget n1']],
] as const)('of a node that is %s, pruned %s, does %j', async (status, prune, expected) => {
  const { nodes, federation, done } = parts(status);
  await forceLeave(nodes, federation, { node: 'n1', prune });
  expect(done).toEqual(expected);
});

it('is for servers of other datacenters too, and says what nobody knows in the peer’s words', async () => {
  const known = parts(undefined, 1);
  await forceLeave(known.nodes, known.federation, { node: 's1.dc2', prune: false });
  const unknown = parts(undefined);
  await expect(forceLeave(unknown.nodes, unknown.federation, { node: 'x', prune: false })).rejects.toMatchObject({
    code: 'rejected',
    message: "agent: No node found with name 'x'",
  });
});
