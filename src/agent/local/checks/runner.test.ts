import { describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../../../test/fakes/fake-clock.ts';
import { createTaskGroup } from '../../../lib/task.ts';
import { type CheckResult, startIntervalCheck } from './runner.ts';

describe('a check that takes turns', () => {
  const setup = (probe: () => Promise<CheckResult>) => {
    const clock = new FakeClock();
    const tasks = createTaskGroup({
      clock,
      onError: (_name, error) => {
        throw error;
      },
    });
    const seen: string[] = [];
    const runner = startIntervalCheck({ clock, tasks, random: () => 0.5 }, 10_000, probe, ({ status }) =>
      seen.push(status),
    );
    return { clock, tasks, seen, runner };
  };

  it('runs at once when it is hurried, and then goes on at its pace', async () => {
    const { clock, tasks, seen, runner } = setup(async () => ({ status: 'passing', output: '' }));
    runner.hurry?.();
    await settle();
    expect(seen).toEqual(['passing']);
    await clock.advance(9_999);
    expect(seen).toHaveLength(1);
    await clock.advance(1);
    expect(seen).toHaveLength(2);
    runner.stop();
    await tasks.stop();
  });

  it('runs again when it is hurried while it runs, for that run may have looked too early', async () => {
    const results: ((result: CheckResult) => void)[] = [];
    const { tasks, seen, runner } = setup(() => new Promise((resolve) => results.push(resolve)));
    runner.hurry?.();
    await settle();
    runner.hurry?.();
    results[0]?.({ status: 'critical', output: '' });
    await settle();
    results[1]?.({ status: 'passing', output: '' });
    await settle();
    expect(seen).toEqual(['critical', 'passing']);
    expect(results).toHaveLength(2);
    runner.stop();
    await tasks.stop();
  });
});
