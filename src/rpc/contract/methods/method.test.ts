import { describe, expect, it } from 'vitest';
import { READS } from '../reads.ts';
import { WRITES } from '../writes.ts';
import { type NoArgs, OWN_DATA, read, write } from './method.ts';
import { OPEN, writeNeeds } from './rights.ts';
import { EVERYONE } from './roles.ts';

const READ = { ...OWN_DATA, needs: {}, callers: EVERYONE, rights: OPEN } as const;
const WRITE = {
  needs: {},
  decided: 'here',
  leader: false,
  repeatable: false,
  audit: [],
  arrivesIn: undefined,
  callers: EVERYONE,
  rights: writeNeeds('operator', 'write'),
} as const;

describe('a method', () => {
  it('that lacks a part of its declaration does not compile', () => {
    read<NoArgs, null>(READ);
    write<NoArgs, null>(WRITE);
    const { needs: _n, ...noNeeds } = READ;
    const { answered: _a, ...notAnswered } = READ;
    const { leader: _l, ...noLeader } = READ;
    const { madeFrom: _m, ...madeFromNothing } = READ;
    const { callers: _c, ...noCallers } = READ;
    const { rights: _r, ...noRights } = READ;
    // @ts-expect-error
    read<NoArgs, null>(noNeeds);
    // @ts-expect-error
    read<NoArgs, null>(notAnswered);
    // @ts-expect-error
    read<NoArgs, null>(noLeader);
    // @ts-expect-error
    read<NoArgs, null>(madeFromNothing);
    // @ts-expect-error
    read<NoArgs, null>(noCallers);
    // @ts-expect-error
    read<NoArgs, null>(noRights);
    const { decided: _d, ...undecided } = WRITE;
    const { repeatable: _p, ...notSaid } = WRITE;
    const { audit: _u, ...unaudited } = WRITE;
    const { arrivesIn: _i, ...arrivesNowhere } = WRITE;
    const { callers: _w, ...forNobody } = WRITE;
    const { rights: _x, ...unguarded } = WRITE;
    // @ts-expect-error
    write<NoArgs, null>(undecided);
    // @ts-expect-error
    write<NoArgs, null>(notSaid);
    // @ts-expect-error
    write<NoArgs, null>(unaudited);
    // @ts-expect-error
    write<NoArgs, null>(arrivesNowhere);
    // @ts-expect-error
    write<NoArgs, null>(forNobody);
    // @ts-expect-error
    write<NoArgs, null>(unguarded);
    // @ts-expect-error a text that must be there is checked
    write<{ readonly id: string }, null>(WRITE);
    // @ts-expect-error a datacenter that the arguments don't name
    write<NoArgs, null>({ ...WRITE, decided: 'named' });
  });

  it('is either answered or carried out', () => {
    expect(Object.keys(READS).filter((name) => name in WRITES)).toEqual([]);
  });

  it('that the primary decides says what it arrives in, unless it is among none of the copied tables', () => {
    const alone = Object.entries(WRITES).filter(
      ([, { decided, arrivesIn }]) => decided !== 'here' && arrivesIn === undefined,
    );
    const ofPrimary = alone.filter(([, { decided }]) => decided !== 'named').map(([name]) => name);
    expect(ofPrimary).toEqual(['ca.setConfig', 'ca.rotate']);
  });
});
