import { expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { IsthmusError } from './errors.ts';
import { Failure } from './failure.ts';
import { createServiceGroup, type Service } from './service.ts';

function parts() {
  const steps: string[] = [];
  const failure = new Failure();
  const part = (name: string, more: Partial<Service> = {}): Service => ({
    name,
    start: async () => void steps.push(`start ${name}`),
    stop: async () => void steps.push(`stop ${name}`),
    ...more,
  });
  return { steps, failure, part };
}

it('tells the cause of the first part that ends although it was not stopped', async () => {
  const { failure, part } = parts();
  const causes: string[] = [];
  const group = createServiceGroup([part('a', { onFailure: failure.onFailure })], new FakeClock(), (cause) =>
    causes.push(`${cause.code} ${cause.message}`),
  );
  await group.start(new AbortController().signal);
  failure.report(new IsthmusError('unavailable', 'the port was closed'));
  failure.report(new Error('again'));
  expect(causes).toEqual(['unavailable a: the port was closed']);
  await group.stop(1_000);
});

it('gives up a start when a part that had started ends', async () => {
  const { steps, failure, part } = parts();
  const group = createServiceGroup(
    [
      part('a', { onFailure: failure.onFailure }),
      part('b', { start: async () => failure.report(new Error('it broke')) }),
      part('c'),
    ],
    new FakeClock(),
  );
  await expect(group.start(new AbortController().signal)).rejects.toThrow('c did not start: a: it broke');
  expect(steps).toEqual(['start a', 'stop b', 'stop a']);
});

it('does not take the end of a part for a failure once it is being stopped', async () => {
  const { failure, part } = parts();
  const causes: unknown[] = [];
  const stop = async (): Promise<void> => failure.report(new Error('closed'));
  const group = createServiceGroup([part('a', { onFailure: failure.onFailure, stop })], new FakeClock(), (cause) =>
    causes.push(cause),
  );
  await group.start(new AbortController().signal);
  await group.stop(1_000);
  expect(causes).toEqual([]);
});
