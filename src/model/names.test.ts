import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalDatacenter, canonicalNodeName, canonicalServiceName, tryDatacenter, tryName } from './names.ts';

const HOSTILE = [
  '',
  '.',
  '..',
  '../x\n',
  '*',
  'we*',
  'web%20',
  'a/b',
  'a\\b',
  ' web',
  'web\n',
  'w\u0000eb',
  'w\u200beb',
];

describe('names', () => {
  it('of services and nodes have one form, whatever their case', () => {
    expect(canonicalServiceName('MALLORY')).toBe('mallory');
    expect(canonicalServiceName('web')).toBe('web');
    expect(canonicalServiceName('Bank of Größe 1')).toBe('bank of größe 1');
    expect(canonicalNodeName('Node_X.lan')).toBe('node_x.lan');
  });

  it('of datacenters are letters, digits, - and _', () => {
    expect(canonicalDatacenter('DC1')).toBe('dc1');
    expect(canonicalDatacenter('eu-west_1')).toBe('eu-west_1');
    for (const name of ['dc.1', 'dc 1', 'größe', 'x'.repeat(64)]) expect(tryDatacenter(name)).toBeUndefined();
  });

  it.each(HOSTILE)('refuse %j', (name) => {
    for (const canonical of [canonicalDatacenter, canonicalNodeName, canonicalServiceName])
      expect(() => canonical(name)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });

  it('refuse what is too long, and do not repeat all of it', () => {
    expect(tryName('x'.repeat(255))).toBe('x'.repeat(255));
    expect(() => canonicalNodeName('x'.repeat(1_000_000))).toThrow(/^.{1,300}$/);
  });

  it('in their form are in it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const name = tryName(text);
        if (name === undefined) return;
        expect(tryName(name)).toBe(name);
      }),
    );
  });
});
