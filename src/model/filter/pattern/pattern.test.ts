import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compilePattern } from './pattern.ts';

describe('RE2 patterns', () => {
  it.each([
    ['', 'anything', true],
    ['a.c', 'xabcx', true],
    ['a.c', 'a\nc', false],
    ['(?s)a.c', 'a\nc', true],
    ['^ab$', 'ab', true],
    ['^ab$', 'ab\n', false],
    ['(?m)^b$', 'a\nb\nc', true],
    ['\\bfoo\\b', 'a foo b', true],
    ['\\Boo', 'foo', true],
    ['[[:digit:]]{3}-\\d+', 'call 555-12', true],
    ['[^a-c]', 'abc', false],
    ['[]a]', ']', true],
    ['[a\\-z]', '-', true],
    ['a{2,3}b', 'ab', false],
    ['a{2,}b', 'aaaab', true],
    ['a{,2}', 'a{,2}', true],
    ['(?:ab|cd)*e', 'xe', true],
    ['(?P<name>x)y', 'xy', true],
    ['(?i)straSSe[a-c]', 'STRASSEB', true],
    ['\\Qa.b\\E+', 'a.bb', true],
    ['\\x41\\x{1F600}', 'A😀', true],
    ['\\pL+\\p{Greek}', 'aβ', true],
    ['\\PL', 'ab', false],
    ['\\101', 'A', true],
    ['a||b', 'zzz', true],
    ['a*?b', 'aab', true],
  ])('%s on %j: %s', (pattern, text, wanted) => {
    expect(compilePattern(pattern)(text)).toBe(wanted);
  });

  it.each([
    ['[a', 'missing closing ]: `[a`'],
    ['(a', 'missing closing ): `(a`'],
    ['a)', 'unexpected ): `a)`'],
    ['*a', 'missing argument to repetition operator: `*`'],
    ['a**', 'invalid nested repetition operator: `**`'],
    ['a{1001}', 'invalid repeat count: `{1001}`'],
    ['(?=a)', 'invalid or unsupported Perl syntax: `(?=`'],
    ['\\', 'trailing backslash at end of expression: ``'],
    ['\\q', 'invalid escape sequence: `\\q`'],
    ['[b-a]', 'invalid character class range: `b-a`'],
    ['[[:nope:]]', 'invalid character class range: `[:nope:]`'],
  ])('refuses %s', (pattern, message) => {
    expect(() => compilePattern(pattern)).toThrow(`error parsing regexp: ${message}`);
  });

  it('agrees with the engine where both have the same syntax', () => {
    const piece = fc.constantFrom(
      'a',
      'b',
      '.',
      '[ab]',
      '[^a]',
      '(a|b)',
      '(?:ab)',
      '^',
      '$',
      '\\d',
      '\\w',
      'a*',
      'b+',
      'a?',
      '(ab){1,2}',
      '|',
    );
    const pattern = fc.array(piece, { maxLength: 6 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(pattern, fc.stringMatching(/^[ab1 ]{0,8}$/), (source, text) => {
        expect(compilePattern(source)(text)).toBe(new RegExp(source).test(text));
      }),
      { numRuns: 2_000 },
    );
  });
});
