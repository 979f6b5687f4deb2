import { expect, it } from 'vitest';
import { FakeClock, settle } from '../../test/fakes/fake-clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { AsyncQueue } from '../lib/queue.ts';
import type { WatchUpdate } from '../rpc/contract/contract.ts';
import { SharedWatches } from './shared-watches.ts';

const never = new AbortController().signal;

function source() {
  const begun: { readonly queue: AsyncQueue<WatchUpdate<string>>; readonly signal: AbortSignal }[] = [];
  const begin = (signal: AbortSignal): AsyncIterable<WatchUpdate<string>> => {
    const queue = new AsyncQueue<WatchUpdate<string>>();
    queue.endOn(signal);
    begun.push({ queue, signal });
    return queue;
  };
  return { begun, begin };
}

it('asks once for all who watch the same, and tells a late one the newest answer at once', async () => {
  const shared = new SharedWatches(new FakeClock());
  const { begun, begin } = source();
  const one = shared.watch('a', begin, never);
  const first = one.next();
  begun[0]?.queue.push({ index: 1, value: 'x' });
  expect((await first).value).toEqual({ index: 1, value: 'x' });
  const two = shared.watch('a', begin, never);
  expect((await two.next()).value).toEqual({ index: 1, value: 'x' });
  const both = [one.next(), two.next()];
  begun[0]?.queue.push({ index: 2, value: 'y' });
  expect((await Promise.all(both)).map(({ value }) => value)).toEqual([
    { index: 2, value: 'y' },
    { index: 2, value: 'y' },
  ]);
  shared
    .watch('b', begin, never)
    .next()
    .catch(() => undefined);
  expect(begun).toHaveLength(2);
});

it('ends the question with its last reader, and asks anew for the next one', async () => {
  const shared = new SharedWatches(new FakeClock());
  const { begun, begin } = source();
  const leaving = new AbortController();
  const one = shared.watch('a', begin, leaving.signal).next();
  const two = shared.watch('a', begin, never);
  const second = two.next();
  leaving.abort(new IsthmusError('cancelled', 'gone'));
  await expect(one).rejects.toMatchObject({ message: 'gone' });
  expect(begun[0]?.signal.aborted).toBe(false);
  begun[0]?.queue.push({ index: 1, value: 'x' });
  await second;
  await two.return();
  expect(begun[0]?.signal.aborted).toBe(true);
  await settle();
  expect(shared.size).toBe(0);
  shared
    .watch('a', begin, never)
    .next()
    .catch(() => undefined);
  expect(begun).toHaveLength(2);
});

it('tells every reader why it ended, after the last answer', async () => {
  const shared = new SharedWatches(new FakeClock());
  const { begun, begin } = source();
  const readers = [shared.watch('a', begin, never), shared.watch('a', begin, never)];
  const first = readers.map((reader) => reader.next());
  begun[0]?.queue.push({ index: 1, value: 'x' });
  await Promise.all(first);
  const next = readers.map((reader) => expect(reader.next()).rejects.toMatchObject({ code: 'not_found' }));
  begun[0]?.queue.fail(new IsthmusError('not_found', 'no such query'));
  await Promise.all(next);
  expect(shared.size).toBe(0);
});

it('lets a slow reader skip to the newest answer', async () => {
  const shared = new SharedWatches(new FakeClock());
  const { begun, begin } = source();
  const slow = shared.watch('a', begin, never);
  const first = slow.next();
  for (const [at, value] of ['x', 'y', 'z'].entries()) {
    begun[0]?.queue.push({ index: at + 1, value });
    await settle();
  }
  expect((await first).value).toEqual({ index: 1, value: 'x' });
  expect((await slow.next()).value).toEqual({ index: 3, value: 'z' });
});
