import { expect, it } from 'vitest';
import { coordinateAt, ORIGIN_COORDINATE } from '../../model/coordinate.ts';
import type { Member } from '../../model/member.ts';
import { createOperatorReads } from './operator-reads.ts';

it('tells coordinates of the datacenters that were measured, and of no others', () => {
  const server = (datacenter: string) => ({ Name: `s1.${datacenter}`, Tags: { dc: datacenter } }) as unknown as Member;
  const measured: Readonly<Record<string, number>> = { dc1: 0, dc3: 40 };
  const reads = createOperatorReads({
    servers: () => [],
    leader: () => undefined,
    revision: () => 1,
    wanMembers: () => ['dc1', 'dc2', 'dc3'].map(server),
    datacenters: () => ['dc1', 'dc3', 'dc2'],
    rtt: (datacenter) => measured[datacenter],
  });
  const at = (Datacenter: string, Coord: object) => ({
    Datacenter,
    AreaID: 'wan',
    Coordinates: [{ Node: 's1', Segment: '', Coord }],
  });
  expect(reads['coordinate.datacenters'].produce({})).toEqual([
    at('dc1', ORIGIN_COORDINATE),
    at('dc3', coordinateAt(40, 2)),
  ]);
});
