import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { makeResult } from '../../rpc/contract/result.ts';
import type { Followed } from '../../rpc/subscribe/watch-pool.ts';
import { KnownAnswers } from './known-answers.ts';

const FOREVER = Number.POSITIVE_INFINITY;

describe('known answers', () => {
  const { signal } = new AbortController();
  let clock: FakeClock;
  let tell: (state: Followed<unknown>) => void;
  let follows: string[];
  let ends: string[];
  let reads: number;
  let read: () => unknown;

  beforeEach(() => {
    clock = new FakeClock();
    [follows, ends, reads] = [[], [], 0];
    read = () => ['read'];
  });

  function start(maxAgeMs: number) {
    const known = new KnownAnswers(
      {
        clock,
        contract: {
          read: (async () => {
            reads += 1;
            return makeResult({ index: 1, value: read() });
          }) as never,
        },
        pool: {
          follow: ((_name: string, { service }: { service: string }, _options: object, onState: typeof tell) => {
            follows.push(service);
            tell = onState;
            return () => ends.push(service);
          }) as never,
        },
      },
      maxAgeMs,
    );
    const ask = (service = 'db') => known.ask('health.service', { service }, {}, signal);
    return { known, ask };
  }

  it('are asked for once and followed until nobody wants them', async () => {
    const { known, ask } = start(FOREVER);
    const first = Promise.all([ask(), ask()]);
    tell({ value: ['one'], index: 1 });
    expect((await first).map(({ value }) => value)).toEqual([['one'], ['one']]);
    tell({ value: ['two'], index: 2 });
    expect([(await ask()).value, follows.length]).toEqual([['two'], 1]);
    await clock.advance(700_000);
    expect(ends).toHaveLength(1);
    const refused = ask();
    tell({ index: 1, problem: 'Query not found' });
    expect([(await refused).problem, ends.length]).toEqual(['Query not found', 2]);
    const late = ask();
    await clock.advance(3_000);
    expect((await late).state).toBeUndefined();
    known.close();
    expect([follows.length, ends.length, clock.next()]).toEqual([3, 3, undefined]);
  });

  it('keep what was made of them until they change', async () => {
    const { ask } = start(FOREVER);
    const asked = ask();
    tell({ value: ['one'], index: 1 });
    const answer = await asked;
    answer.keep('A', 'made');
    tell({ value: answer.value, index: 2 });
    expect(answer.derived('A')).toBe('made');
    tell({ value: answer.value, index: 2, problem: 'cut' });
    expect(answer.derived('A')).toBeUndefined();
    for (let number = 0; number < 1_000; number += 1) answer.keep(`${number}`, 'made');
    const kept = Array.from({ length: 1_000 }, (_, number) => answer.derived(`${number}`)).filter(Boolean);
    expect(kept.length).toBeLessThanOrEqual(32);
    expect(answer.derived('999')).toBe('made');
  });

  it('are asked for anew when they are too old', async () => {
    const { ask } = start(5_000);
    const asked = ask();
    tell({ value: ['followed'], index: 1 });
    await asked;
    await clock.advance(4_999);
    expect([(await ask()).value, reads]).toEqual([['followed'], 0]);
    await clock.advance(1);
    expect([(await ask()).value, reads]).toEqual([['read'], 1]);
    // The servers said that nothing has changed.
    expect([(await ask()).value, reads]).toEqual([['followed'], 1]);
    tell({ value: ['followed'], index: 1, problem: 'cut' });
    await clock.advance(5_000);
    read = () => {
      throw new IsthmusError('no_path', 'No path to datacenter');
    };
    const failed = await ask();
    expect([failed.value, failed.problem]).toEqual([undefined, 'No path to datacenter']);
  });

  it('are never used unasked when they must not be stale', async () => {
    const { ask } = start(0);
    const asked = ask();
    tell({ value: ['followed'], index: 1 });
    await asked;
    expect([(await ask()).value, (await ask()).value, reads]).toEqual([['read'], ['read'], 3]);
  });

  it('make room by giving up what is not asked for', async () => {
    const { ask } = start(FOREVER);
    const asked = async (service: string) => {
      const answer = ask(service);
      tell({ value: [], index: 1 });
      await answer;
    };
    await asked('kept');
    for (let number = 0; number < 2_047; number += 1) await asked(`other-${number}`);
    await clock.advance(1_000);
    await asked('kept');
    await asked('one-more');
    expect(ends).toEqual(['other-0']);
  });
});
