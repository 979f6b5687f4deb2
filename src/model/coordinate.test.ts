import { describe, expect, it } from 'vitest';
import { coordinateAt, distance, ORIGIN_COORDINATE } from './coordinate.ts';

describe('coordinates', () => {
  it.each([0.5, 1, 85, 300])('are as far from the origin as was measured: %d ms', (rttMs) => {
    expect(distance(ORIGIN_COORDINATE, coordinateAt(rttMs, 3)) * 1_000).toBeCloseTo(rttMs, 6);
  });

  it('keep what is far in different directions apart', () => {
    const [a, b] = [coordinateAt(30, 0), coordinateAt(40, 1)];
    expect(distance(a, b)).toBeCloseTo(0.05, 3);
    expect(distance(a, b)).toBe(distance(b, a));
  });

  it('take the adjustment only as far as a distance stays above zero', () => {
    const near = { ...ORIGIN_COORDINATE, Adjustment: -1 };
    expect(distance(near, near)).toBeCloseTo(2e-5, 9);
    expect(distance({ ...near, Adjustment: 0.5 }, ORIGIN_COORDINATE)).toBeCloseTo(0.50002, 9);
  });
});
