import { describe, expect, it } from 'vitest';
import { makeResult } from './result.ts';

describe('makeResult', () => {
  it('makes the JSON of a value once', () => {
    const result = makeResult({ index: 7, value: { Name: 'db' } });
    expect(result.json.toString()).toBe('{"Name":"db"}');
    expect(result.json).toBe(result.json);
    expect(result).toMatchObject({ index: 7, knownLeader: true, lastContactMs: 0 });
  });

  it('parses JSON only when the value is asked for, and once', () => {
    const json = Buffer.from('{"Name":"db"}');
    const result = makeResult<{ Name: string }>({ index: 3, json, knownLeader: false, lastContactMs: 12 });
    expect(result.json).toBe(json);
    expect(result.value).toEqual({ Name: 'db' });
    expect(result.value).toBe(result.value);
    expect(result).toMatchObject({ knownLeader: false, lastContactMs: 12 });
    expect(() => makeResult({ index: 1, json: Buffer.from('{') }).value).toThrow(SyntaxError);
  });

  it('keeps null, and never gives an index of 0', () => {
    const result = makeResult<null>({ index: 0, value: null });
    expect(result.json.toString()).toBe('null');
    expect(result.value).toBeNull();
    expect(result.index).toBe(1);
  });
});
