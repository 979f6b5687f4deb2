import { describe, expect, it } from 'vitest';
import { IsthmusError } from '../lib/errors.ts';
import { turn } from '../lib/turn.ts';
import { Topics } from './topics.ts';

const never = new AbortController().signal;

describe('topics', () => {
  it('tell the newest revision of those asked for, and at least the floor', () => {
    const topics = new Topics();
    expect(topics.index(['a'])).toBe(1);
    topics.touch(['a'], 5);
    topics.touch(['b'], 7);
    expect([topics.index(['a']), topics.index(['b']), topics.index(['a', 'b']), topics.index([])]).toEqual([
      5, 7, 7, 1,
    ]);
    topics.raise(6);
    topics.raise(2);
    expect([topics.index(['a']), topics.index(['b']), topics.index(['c'])]).toEqual([6, 7, 6]);
  });

  it('wake those who wait for them and no others', async () => {
    const topics = new Topics();
    const woken: string[] = [];
    const a = topics.wait(['a'], 1, never).then((index) => woken.push(`a${index}`));
    const b = topics.wait(['b', 'c'], 1, never).then((index) => woken.push(`b${index}`));
    expect(topics.waiting).toBe(3);
    topics.touch(['x'], 2);
    topics.touch(['c'], 3);
    await b;
    expect(woken).toEqual(['b3']);
    topics.touch(['a', 'b'], 4);
    await a;
    expect(woken).toEqual(['b3', 'a4']);
    expect(topics.waiting).toBe(0);
  });

  it('wake everybody when all are raised', async () => {
    const topics = new Topics();
    const waits = [topics.wait(['a'], 3, never), topics.wait(['b', 'c'], 3, never)];
    topics.raise(4);
    expect(await Promise.all(waits)).toEqual([4, 4]);
    expect(topics.waiting).toBe(0);
  });

  it('wake a listener of several topics once a touch, until it is ended', () => {
    const topics = new Topics();
    let calls = 0;
    const end = topics.subscribe(['a', 'b'], () => {
      calls += 1;
    });
    topics.touch(['a', 'b'], 2);
    expect(calls).toBe(1);
    end();
    topics.touch(['a'], 3);
    expect(calls).toBe(1);
  });

  it('answer at once when the index has passed, and stop waiting when the signal aborts', async () => {
    const topics = new Topics();
    topics.touch(['a'], 9);
    expect(await topics.wait(['a'], 8, never)).toBe(9);
    const ending = new AbortController();
    const waiting = topics.wait(['a'], 9, ending.signal);
    ending.abort(new IsthmusError('deadline', 'late'));
    await expect(waiting).rejects.toMatchObject({ code: 'deadline' });
    expect(topics.waiting).toBe(0);
    await expect(topics.wait(['a'], 9, ending.signal)).rejects.toMatchObject({ code: 'deadline' });
  });
});

describe('many who wait', () => {
  const MANY = 2_000;

  it('are woken some in each turn of the event loop, in the order in which they came', async () => {
    const topics = new Topics();
    const woken: number[] = [];
    const all = Array.from({ length: MANY }, (_, n) => topics.wait(['a'], 1, never).then(() => woken.push(n)));
    topics.touch(['a'], 2);
    await Promise.resolve(); // whoever made the change goes on before any of them
    expect(woken).toEqual([]);
    let turns = 0;
    let most = 0;
    while (woken.length < MANY) {
      const before = woken.length;
      await turn();
      turns += 1;
      most = Math.max(most, woken.length - before);
    }
    expect(most).toBeLessThanOrEqual(100);
    expect(turns).toBeLessThanOrEqual(MANY / 10);
    expect(woken).toEqual(Array.from({ length: MANY }, (_, n) => n));
    await Promise.all(all);
    expect(topics.waiting).toBe(0);
  });

  it('see the newest index when it is their turn, and may give up before', async () => {
    const topics = new Topics();
    const ending = new AbortController();
    const waiting = topics.wait(['a'], 1, never);
    const leaving = topics.wait(['a'], 1, ending.signal);
    topics.touch(['a'], 2);
    topics.touch(['a'], 3);
    ending.abort(new IsthmusError('cancelled', 'gone'));
    await expect(leaving).rejects.toMatchObject({ code: 'cancelled' });
    expect(await waiting).toBe(3);
  });
});
