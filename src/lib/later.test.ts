import { describe, expect, it } from 'vitest';
import { Later } from './later.ts';

describe('a part that is made later', () => {
  it('is a defect to use too early, or to make twice', () => {
    const part = new Later<number>('the server');
    expect(() => part.value).toThrow('the server was used before it was made');
    part.provide(1);
    expect(part.value).toBe(1);
    expect(() => part.provide(2)).toThrow('the server was made twice');
  });
});
