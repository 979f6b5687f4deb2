import { describe, expect, it } from 'vitest';
import { type Area, CONSUL, isHere, rowsOf } from './page.ts';
import { ABSENT, DIFFERS } from './reasons.ts';

describe.each(['endpoints', 'commands', 'kinds'] as readonly Area[])('%s', (area) => {
  it('that are absent say why', () => {
    expect(rowsOf(area).filter(({ state, why }) => state === 'absent' && why === '')).toEqual([]);
  });

  it('have no reason that fits nothing', () => {
    const absent = CONSUL[area].filter((name) => !isHere(area, name));
    const here = CONSUL[area].filter((name) => isHere(area, name));
    const fits = (pattern: RegExp, names: readonly string[]): boolean => names.some((name) => pattern.test(name));
    expect(ABSENT[area].filter(([pattern]) => !fits(pattern, absent)).map(([pattern]) => pattern.source)).toEqual([]);
    expect(DIFFERS[area].filter(([pattern]) => !fits(pattern, here)).map(([pattern]) => pattern.source)).toEqual([]);
  });

  it('are named once each', () => {
    expect(new Set(CONSUL[area]).size).toBe(CONSUL[area].length);
  });
});
