import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileCaptures } from './capture.ts';

describe('captures of RE2 patterns', () => {
  it.each([
    ['^geo-(.*?)$', 'geo-db', ['geo-db', 'db']],
    ['^geo-(.*?)-([^-]+?)$', 'geo-db-v2', ['geo-db-v2', 'db', 'v2']],
    ['(a*)(a*)', 'aaa', ['aaa', 'aaa', '']],
    ['(a*?)(a*)', 'aaa', ['aaa', '', 'aaa']],
    ['(a|ab)(c|bcd)?', 'abcd', ['abcd', 'a', 'bcd']],
    ['x(?P<name>y+)z', 'axyyz', ['xyyz', 'yy']],
    ['(?:ab)+(c)?', 'ababd', ['abab', '']],
    ['(😀)b', 'a😀b', ['😀b', '😀']],
    ['^b', 'ab', undefined],
    ['(a){2}', 'aa', ['aa', 'a']],
    ['', 'abc', ['']],
  ])('%s on %j: %j', (pattern, text, wanted) => {
    expect(compileCaptures(pattern)(text)).toEqual(wanted);
  });

  it('finds what the engine of JavaScript finds', () => {
    const atom = fc.constantFrom('a', 'b', '.', '(a|b)', '(ab?)', '(b*?)c', 'a+', '(a+?)', '[ab]{1,2}', '(c|a)?');
    const pattern = fc.array(atom, { maxLength: 5 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(pattern, fc.stringMatching(/^[abc]{0,10}$/), (source, text) => {
        const wanted = new RegExp(source).exec(text);
        const found = compileCaptures(source)(text);
        expect(found).toEqual(wanted === null ? undefined : [...wanted].map((group) => group ?? ''));
      }),
    );
  });

  it('stays linear where a backtracking engine stalls', () => {
    expect(compileCaptures('^(a+)+$')(`${'a'.repeat(2_000)}b`)).toBeUndefined();
  });
});
