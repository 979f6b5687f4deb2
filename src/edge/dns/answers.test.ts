import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { makeResult } from '../../rpc/contract/result.ts';
import type { Followed } from '../../rpc/subscribe/watch-pool.ts';
import { Answers } from './answers.ts';

const FOREVER = Number.POSITIVE_INFINITY;

describe('answers of servers', () => {
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
    const answers = new Answers(
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
    const ask = (service = 'db') => answers.ask({ name: 'health.service', args: { service } }, signal);
    return { answers, ask };
  }

  it('are asked for once and followed until they are no longer asked for', async () => {
    const { answers, ask } = start(FOREVER);
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
    expect(await late).toEqual({ value: undefined, problem: undefined });
    answers.close();
    expect([follows.length, ends.length, clock.next()]).toEqual([3, 3, undefined]);
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
});
