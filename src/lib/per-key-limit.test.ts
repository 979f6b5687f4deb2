import { describe, expect, it } from 'vitest';
import { PerKeyLimit, type Slot } from './per-key-limit.ts';

const never = (): void => expect.unreachable();

describe('PerKeyLimit', () => {
  it('refuses more than its share to a key, and nothing to others', () => {
    const limit = new PerKeyLimit({ perKey: 2 });
    const first = limit.admit('a') as Slot;
    limit.admit('a');
    expect(limit.admit('a')).toBeUndefined();
    expect(limit.admit('b')).toBeDefined();
    expect(limit.admit(undefined)).toBeDefined();
    expect(limit.held).toBe(4);
    first.release();
    first.release();
    expect(limit.held).toBe(3);
    expect(limit.admit('a')).toBeDefined();
  });

  it('gives up what a key has had on trial for longest, and never what is kept', () => {
    const limit = new PerKeyLimit({ perKey: 2 });
    const ended: string[] = [];
    limit.admit('a', never)?.keep();
    limit.admit('a', () => ended.push('second'));
    expect(limit.admit('a', () => ended.push('third'))).toBeDefined();
    expect(ended).toEqual(['second']);
    const last = limit.admit('a', never) as Slot;
    expect(ended).toEqual(['second', 'third']);
    last.keep();
    expect(limit.admit('a', never)).toBeUndefined();
    expect(limit.held).toBe(2);
  });

  it('makes room in all at the expense of the key that holds most', () => {
    const limit = new PerKeyLimit({ perKey: 10, total: 4 });
    const ended: string[] = [];
    limit.admit('small', never);
    for (const name of ['one', 'two', 'three']) limit.admit('flood', () => ended.push(name));
    limit.admit('good', never);
    expect(ended).toEqual(['one']);
    limit.admit('late', () => ended.push('late'));
    expect(ended).toEqual(['one', 'two']);
    expect(limit.held).toBe(4);
  });

  it('refuses when all of it is kept', () => {
    const limit = new PerKeyLimit({ perKey: 0, total: 2 });
    limit.admit('a');
    limit.admit('b')?.keep();
    expect(limit.admit('c', never)).toBeUndefined();
    expect(limit.held).toBe(2);
  });
});
