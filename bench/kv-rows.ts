import { json } from '../test/harness/index.ts';
import { httpLoad, quantile, requestBytes, sendAll } from './http-load.ts';
import { blocking, type Figure, numbers, type Row, targetOf, WARM } from './rows.ts';

const COUNT = 3_000;
const SESSIONS = 10_000;
const HAND_OVERS = 100;
const WAKE_UPS = 200;

interface Created {
  readonly ID: string;
}

/** Keys, sessions and locks of one datacenter. */
export const kv: Row = async (bed) => {
  const figures: Figure[] = [];
  const one = (connections: number) => ({ ...targetOf(bed.dc1), connections });
  const puts = async (count: number, connections: number, name: string): Promise<number> => {
    const target = one(connections);
    const requests = numbers(count).map((n) => requestBytes(target, 'PUT', `/v1/kv/${name}/${n}`, 'x'.repeat(100)));
    const { failures, perSecond } = await sendAll(target, requests);
    if (failures > 0) throw new Error(`${failures} of ${count} puts failed`);
    return perSecond;
  };
  await puts(WARM, 32, 'warm');
  for (const [connections, count] of [
    [1, COUNT / 10],
    [64, COUNT],
  ] as const) {
    const value = await puts(count, connections, `put-${connections}`);
    const what = `keys put, 100 bytes, ${clients(connections)}`;
    figures.push({ what, unit: '/s', value, samples: count, goal: '≥ 1×' });
    const read = await httpLoad({ ...one(connections), path: '/v1/kv/warm/7', milliseconds: 2_000 });
    if (read.failures > 0) throw new Error(`${read.failures} gets failed`);
    figures.push({
      what: `keys got, ${clients(connections)}`,
      unit: '/s',
      value: read.perSecond,
      samples: read.requests,
      goal: '≥ 1×',
    });
  }

  const delays: number[] = [];
  let index = (await blocking(bed.dc1, '/v1/kv/woken/?recurse')).headers;
  for (const number of numbers(WAKE_UPS)) {
    const seen = blocking(bed.dc1, `/v1/kv/woken/?recurse&index=${index}&wait=60s`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const begun = performance.now();
    await json(bed.dc1, 'PUT', `/v1/kv/woken/${number % 10}`, { number });
    index = (await seen).headers;
    delays.push(performance.now() - begun);
  }
  figures.push({
    what: 'a key put until a watcher of its prefix has it (p50)',
    unit: 'ms',
    value: quantile(delays, 0.5),
    samples: WAKE_UPS,
    goal: '≤ 5',
  });

  const session = async (): Promise<string> =>
    (await json<Created>(bed.dc1, 'PUT', '/v1/session/create', { TTL: '600s', LockDelay: '0s' })).ID;
  const target = one(64);
  const ids: string[] = [];
  const lanes = numbers(64).map(async () => {
    while (ids.length < SESSIONS) ids.push(await session());
  });
  await Promise.all(lanes);
  const renewals = ids.slice(0, SESSIONS).map((id) => requestBytes(target, 'PUT', `/v1/session/renew/${id}`));
  const renewed = await sendAll(target, renewals);
  if (renewed.failures > 0) throw new Error(`${renewed.failures} renewals failed`);
  figures.push({
    what: '10,000 sessions renewed once, 64 clients',
    unit: 's',
    value: renewed.seconds,
    samples: 1,
    goal: '≤ 2',
  });

  figures.push({
    what: 'a lock let go of until the next one has it (p50)',
    unit: 'ms',
    value: quantile(await handOvers(bed.dc1, [await session(), await session()]), 0.5),
    samples: HAND_OVERS,
    goal: '≤ 10',
  });
  return figures;
};

const clients = (connections: number): string => (connections === 1 ? '1 client' : `${connections} clients`);

/** Two sessions take a lock in turns, each blocked until the other one lets go of it. */
async function handOvers(http: string, sessions: readonly [string, string]): Promise<readonly number[]> {
  const delays: number[] = [];
  await json(http, 'PUT', `/v1/kv/handed-over?acquire=${sessions[0]}`);
  for (const turn of numbers(HAND_OVERS)) {
    const [holder, next] = turn % 2 === 0 ? sessions : [sessions[1], sessions[0]];
    const { headers } = await blocking(http, '/v1/kv/handed-over');
    const free = blocking(http, `/v1/kv/handed-over?index=${headers}&wait=60s`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const begun = performance.now();
    await json(http, 'PUT', `/v1/kv/handed-over?release=${holder}`);
    await free;
    if (!(await json<boolean>(http, 'PUT', `/v1/kv/handed-over?acquire=${next}`)))
      throw new Error('the lock was let go of and could not be taken');
    delays.push(performance.now() - begun);
  }
  return delays;
}
