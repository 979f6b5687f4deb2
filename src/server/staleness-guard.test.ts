import { describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../test/fakes/fake-clock.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import { makeResult } from '../rpc/contract/result.ts';
import { MAX_AGE_MS, StalenessGuard } from './staleness-guard.ts';

function start() {
  const clock = new FakeClock();
  let lostAt: number | undefined;
  const inner = {
    read: async () => makeResult({ index: 1, value: [] }),
    async *watch(_name: string, _args: object, { signal }: { signal: AbortSignal }) {
      yield { index: 1, value: [] };
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    },
  } as unknown as ServerContract;
  const contract = new StalenessGuard({
    inner,
    contact: () => ({
      ...{ connected: lostAt === undefined, writable: lostAt === undefined },
      lastMs: lostAt === undefined ? 0 : clock.now() - lostAt,
    }),
    clock,
  });
  return {
    clock,
    contract,
    lose: () => {
      lostAt = clock.now();
    },
    find: () => {
      lostAt = undefined;
    },
  };
}

const { signal } = new AbortController();
const ARGS = { service: 'db' };

describe('what other datacenters get', () => {
  it('of instances is refused once the data is too old, until it is not', async () => {
    const test = start();
    test.lose();
    await test.clock.advance(MAX_AGE_MS);
    await expect(test.contract.read('queries.candidates', ARGS, { signal })).resolves.toMatchObject({ value: [] });
    await test.clock.advance(1_000);
    const refused = { code: 'rejected', message: 'the data of this datacenter is 11 s old' };
    await expect(test.contract.read('queries.candidates', ARGS, { signal })).rejects.toMatchObject(refused);
    await expect(test.contract.read('health.service', ARGS, { signal })).resolves.toMatchObject({ value: [] });
    test.find();
    await expect(test.contract.read('queries.candidates', ARGS, { signal })).resolves.toMatchObject({ value: [] });
  });

  it('ends in the middle of a watch', async () => {
    const test = start();
    const updates = test.contract.watch('queries.candidates', ARGS, { signal })[Symbol.asyncIterator]();
    await updates.next();
    const next = updates.next();
    const ended = expect(next).rejects.toMatchObject({ code: 'rejected' });
    test.lose();
    await test.clock.advance(MAX_AGE_MS + 1_000);
    await ended;
    expect(test.clock.next()).toBeUndefined();
    await settle();
    await expect(
      test.contract.watch('queries.candidates', ARGS, { signal })[Symbol.asyncIterator]().next(),
    ).rejects.toMatchObject({ code: 'rejected' });
  });
});
