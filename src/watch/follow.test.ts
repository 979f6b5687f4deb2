import { expect, it } from 'vitest';
import { FakeClock, settle } from '../../test/fakes/fake-clock.ts';
import { followWatch, type WatchAnswer } from './follow.ts';
import { type WatchParams, watchPlan } from './plan.ts';

interface Asked {
  readonly query: Readonly<Record<string, unknown>>;
  readonly answer: (given: Partial<WatchAnswer> | Error) => Promise<void>;
}

function follow(params: WatchParams, options: { readonly once?: boolean; readonly failing?: boolean } = {}) {
  const clock = new FakeClock();
  const asked: Asked[] = [];
  const handled: [string, unknown][] = [];
  const errors: string[] = [];
  const stop = new AbortController();
  const ended = followWatch(
    watchPlan(params),
    {
      clock,
      ask: (_path, query) =>
        new Promise((resolve, reject) => {
          asked.push({
            query,
            async answer(given) {
              if (given instanceof Error) reject(given);
              else resolve({ status: 200, index: '', json: undefined, text: '', ...given });
              await settle();
            },
          });
        }),
      ...(options.failing === true ? {} : { onError: (error) => errors.push(error.message) }),
    },
    async (index, data) => {
      handled.push([index, data]);
      return options.once !== true;
    },
    stop.signal,
  );
  return { clock, asked, handled, errors, stop, ended };
}

it('calls with the first answer and then with each other one, waiting by its index', async () => {
  const { asked, handled, clock, stop, ended } = follow({ type: 'nodes' });
  expect(asked[0]?.query).toEqual({});
  await asked[0]?.answer({ index: '7', json: [1] });
  expect(asked[1]?.query).toEqual({ index: '7', wait: '5m' });
  await asked[1]?.answer({ index: '9', json: [1] }); // it moved, and nothing changed
  expect(asked).toHaveLength(2); // not at once
  await clock.advance(1_000);
  expect(asked[2]?.query).toEqual({ index: '9', wait: '5m' });
  await asked[2]?.answer({ index: '4', json: [2] }); // another store
  expect(asked[3]?.query).toEqual({});
  expect(handled).toEqual([
    ['7', [1]],
    ['4', [2]],
  ]);
  stop.abort();
  await asked[3]?.answer(new Error('aborted'));
  await ended;
});

it('takes indexes above 2^53, and such as go back, where they only name an answer', async () => {
  const { asked, handled, stop, ended } = follow({ type: 'event' });
  await asked[0]?.answer({ index: '15997116199524758128', json: [{ ID: 'a' }] });
  expect(asked[1]?.query).toEqual({ index: '15997116199524758128', wait: '5m' });
  await asked[1]?.answer({ index: '8', json: [{ ID: 'a' }, { ID: 'b' }] });
  expect(asked[2]?.query).toEqual({ index: '8', wait: '5m' });
  expect(handled).toEqual([
    ['15997116199524758128', [{ ID: 'a' }]],
    ['8', [{ ID: 'b' }]],
  ]);
  stop.abort();
  await asked[2]?.answer(new Error('aborted'));
  await ended;
});

it('waits by the hash where the agent’s own service is watched, and knows a key that is not there', async () => {
  const service = follow({ type: 'agent_service', service_id: 'web' });
  await service.asked[0]?.answer({ json: { ID: 'web', ContentHash: 'abc' } });
  expect(service.asked[1]?.query).toEqual({ hash: 'abc', wait: '5m' });
  const key = follow({ type: 'key', key: 'a' });
  await key.asked[0]?.answer({ status: 404, index: '3' });
  expect(key.handled).toEqual([['3', null]]);
  for (const each of [service, key]) {
    each.stop.abort();
    await each.asked[1]?.answer(new Error('aborted'));
    await each.ended;
  }
});

it('goes on after a failure, later each time, from the beginning', async () => {
  const { asked, handled, errors, clock, stop, ended } = follow({ type: 'nodes' });
  await asked[0]?.answer({ index: '7', json: [1] });
  await asked[1]?.answer({ status: 500, text: 'no' });
  expect(errors).toEqual(['Unexpected response code: 500 (no)']);
  expect(asked).toHaveLength(2);
  await clock.advance(5_000);
  expect(asked[2]?.query).toEqual({});
  await asked[2]?.answer({ index: '8', json: [1] });
  expect(handled).toEqual([['7', [1]]]); // nothing changed meanwhile
  stop.abort();
  await clock.advance(1_000);
  await ended;
});

it('ends after one answer with `once`, and with the first failure where no one listens for it', async () => {
  const once = follow({ type: 'nodes' }, { once: true });
  await once.asked[0]?.answer({ index: '7', json: [1] });
  await once.ended;
  const failing = follow({ type: 'nodes' }, { failing: true });
  const ended = expect(failing.ended).rejects.toThrow('Unexpected response code: 403 (Permission denied)');
  await failing.asked[0]?.answer({ status: 403, text: 'Permission denied' });
  await ended;
});
