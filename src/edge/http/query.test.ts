import { describe, expect, it } from 'vitest';
import { hasCode } from '../../lib/errors.ts';
import { parseFlag, parseReadParameters, parseUnsigned } from './consistency.ts';
import { Query } from './query.ts';
import { requestToken } from './token.ts';

describe('query string', () => {
  it('reads as Go does', () => {
    const query = new Query('a=1&a=2&b&c=x+y%2B&=d&%zz=1&e=%zz&f=a=b');
    expect(query.get('a')).toBe('1');
    expect(query.all('a')).toEqual(['1', '2']);
    expect(query.get('b')).toBe('');
    expect(query.get('c')).toBe('x y+');
    expect(query.has('%zz')).toBe(false);
    expect(query.has('e')).toBe(false);
    expect(query.get('f')).toBe('a=b');
    expect(query.get('nope')).toBeUndefined();
    expect(new Query('').empty).toBe(true);
  });
});

describe('parameters of reads', () => {
  const parse = (text: string) => parseReadParameters(new Query(text), 'dc1');

  it('waits as long as is configured', () => {
    const times = { defaultMs: 7_000, maxMs: 9_000 };
    const wait = (text: string) => parseReadParameters(new Query(text), 'dc1', times).waitMs;
    expect(['index=5', 'index=5&wait=1s', 'index=5&wait=20s', 'index=5&wait=0s'].map(wait)).toEqual([
      7_000, 1_000, 9_000, 7_000,
    ]);
  });

  const failure = (text: string): string => {
    try {
      parse(text);
    } catch (error) {
      if (hasCode(error, 'invalid_argument')) return error.message;
    }
    return 'accepted';
  };

  it('takes consistency, index, wait and datacenter', () => {
    expect(parse('')).toEqual({ consistency: 'default', cached: false });
    expect(parse('stale&index=5&wait=10s&dc=dc2')).toEqual({
      consistency: 'stale',
      cached: false,
      index: 5,
      waitMs: 10_000,
      datacenter: 'dc2',
    });
    expect(parse('consistent&dc=dc1&index=0&wait=-1s')).toEqual({ consistency: 'consistent', cached: false });
  });

  it.each([
    ['index=abc', 'Invalid index'],
    ['index=-1', 'Invalid index'],
    ['index=1e3', 'Invalid index'],
    ['index=18446744073709551616', 'Invalid index'],
    ['index=18446744073709551615', 'accepted'],
    ['wait=abc', 'Invalid wait time'],
    ['wait=10', 'Invalid wait time'],
    ['index=abc&wait=abc', 'Invalid wait time'],
    ['stale&consistent', 'Cannot specify ?stale with ?consistent, conflicting semantics.'],
    ['stale&consistent&index=abc', 'Cannot specify ?stale with ?consistent, conflicting semantics.'],
    ['cached&consistent', 'Cannot specify ?cached with ?consistent, conflicting semantics.'],
  ])('%s: %s', (text, expected) => {
    expect(failure(text)).toBe(expected);
  });

  it('reads numbers and flags strictly', () => {
    expect([parseUnsigned('7'), parseUnsigned('0x7'), parseUnsigned(''), parseUnsigned('1_0')]).toEqual([
      7,
      undefined,
      undefined,
      undefined,
    ]);
    expect([parseFlag(''), parseFlag('T'), parseFlag('False'), parseFlag('maybe')]).toEqual([
      true,
      true,
      false,
      undefined,
    ]);
  });
});

describe('token', () => {
  it('prefers the query, then the header, then the bearer', () => {
    const headers = ['Host', 'x', 'Authorization', 'Bearer b', 'X-Consul-Token', 'h'];
    expect(requestToken(headers, new Query('token=q'))).toBe('q');
    expect(requestToken(headers, new Query('token='))).toBe('h');
    expect(requestToken(headers.slice(0, 4), new Query(''))).toBe('b');
    expect(requestToken(['authorization', 'Basic eDp5'], new Query(''))).toBeUndefined();
  });
});
