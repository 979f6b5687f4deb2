import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { IsthmusError } from './errors.ts';
import { Mutex } from './mutex.ts';
import { Trigger } from './trigger.ts';

const NO_ABORT = new AbortController().signal;

describe('a trigger', () => {
  it('remembers a fire that nobody waited for, once', async () => {
    const clock = new FakeClock();
    const trigger = new Trigger();
    trigger.fire();
    trigger.fire();
    await trigger.wait(clock, undefined, NO_ABORT);
    let woken = false;
    const second = trigger.wait(clock, 1_000, NO_ABORT).then(() => {
      woken = true;
    });
    await clock.advance(999);
    expect(woken).toBe(false);
    await clock.advance(1);
    await second;
    expect(clock.next()).toBeUndefined();
  });

  it('wakes at once, and rejects when it is given up, leaving no timer behind', async () => {
    const clock = new FakeClock();
    const trigger = new Trigger();
    const waiting = trigger.wait(clock, 1_000, NO_ABORT);
    trigger.fire();
    await waiting;
    expect(clock.next()).toBeUndefined();
    const controller = new AbortController();
    const given = trigger.wait(clock, 1_000, controller.signal);
    controller.abort(new IsthmusError('cancelled', 'stopping'));
    await expect(given).rejects.toMatchObject({ code: 'cancelled' });
    await expect(trigger.wait(clock, 0, controller.signal)).rejects.toMatchObject({ code: 'cancelled' });
    expect(clock.next()).toBeUndefined();
  });
});

describe('a mutex', () => {
  it('runs one after the other, also after a failure', async () => {
    const mutex = new Mutex();
    const order: string[] = [];
    const work =
      (name: string, fails = false) =>
      async (): Promise<string> => {
        order.push(`${name} begins`);
        await Promise.resolve();
        order.push(`${name} ends`);
        if (fails) throw new IsthmusError('internal', name);
        return name;
      };
    const results = await Promise.allSettled([mutex.run(work('a')), mutex.run(work('b', true)), mutex.run(work('c'))]);
    expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });
});
