import { describe, expect, it } from 'vitest';
import { drawMap } from './federation-svg.ts';

describe('the map of a federation', () => {
  const map = {
    Datacenters: [
      { Datacenter: 'dc1', Reached: true, RttMs: { dc2: 40 } },
      { Datacenter: 'dc2', Reached: true, RttMs: { dc1: 41, dc3: 160 } },
      { Datacenter: 'dc3', Reached: false, RttMs: {} },
    ],
  };

  it('is a picture with each datacenter, and each distance once', () => {
    const svg = drawMap(map);
    expect(svg.match(/<circle /g)).toHaveLength(3);
    expect([...svg.matchAll(/>([\d.]+ ms)</g)].map(([, label]) => label)).toEqual(['40 ms', '160 ms']);
    // The nearest two have the widest line, four times as far is half as wide.
    expect([...svg.matchAll(/stroke-width="([\d.]+)"\/>\n<rect/g)].map(([, width]) => width)).toEqual(['8.0', '4.0']);
    expect(svg.match(/not reached/g)).toHaveLength(1);
  });

  it('is drawn for one datacenter, and for none', () => {
    expect(drawMap({ Datacenters: map.Datacenters.slice(0, 1) })).toContain('cx="320" cy="320"');
    expect(drawMap({ Datacenters: [] })).toMatch(/^<svg .*<\/svg>$/s);
  });

  it('keeps names from being markup', () => {
    expect(drawMap({ Datacenters: [{ Datacenter: '<a&b>', Reached: true, RttMs: {} }] })).toContain('&lt;a&amp;b&gt;');
  });
});
