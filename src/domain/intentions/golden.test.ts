import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { type Recording, recordings } from '../../../test/fakes/golden.ts';
import { isUuid } from '../../lib/ids.ts';
import type { Intention } from '../../model/intention.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { createEntries } from '../entries/entries.ts';
import { createIntentions, type Intentions } from './intentions.ts';

/** IDs of the recording, and the ones that stand for them here. */
const ids = new Map<string, string>();

/** What differs from run to run, by shape only. */
function shape(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, item: unknown) => {
      if (key.endsWith('Index')) return typeof item;
      if (key === 'CreatedAt' || key === 'UpdatedAt') return /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(String(item));
      if (key === 'Hash') return String(item).length;
      if (key === 'ID') return isUuid(String(item));
      return item;
    }),
  );
}

async function answer(intentions: Intentions, { request }: Recording): Promise<unknown> {
  const { method } = request;
  const url = new URL(request.path, 'http://x');
  const last = url.pathname.slice('/v1/connect/intentions'.length + 1);
  const id = ids.get(last) ?? last;
  const query = url.searchParams;
  const pair = { source: query.get('source') ?? '', destination: query.get('destination') ?? '' };
  const intention = request.body as Partial<Intention>;
  const { reads } = intentions;
  switch (`${method} ${last}`) {
    case 'POST ':
      return intentions.create({ intention });
    case 'GET ': {
      const filter = query.get('filter');
      return reads['intentions.list'].produce(filter === null ? {} : { filter });
    }
    case 'GET exact':
      return reads['intentions.exact'].produce(pair);
    case 'PUT exact':
      return intentions.upsertExact({ ...pair, intention });
    case 'DELETE exact':
      return intentions.deleteExact(pair);
    case 'GET match':
      return reads['intentions.match'].produce({
        by: query.get('by') as 'source' | 'destination',
        names: query.getAll('name'),
      });
    case 'GET check':
      return reads['intentions.check'].produce(pair);
    default:
      if (method === 'GET') return reads['intentions.get'].produce({ id });
      return method === 'PUT' ? intentions.update({ id, intention }) : intentions.delete({ id });
  }
}

/** Parameters that the edge refuses before the domain is asked. */
const AT_THE_EDGE = /'by' parameter must be|required query parameter/;

describe('intentions as Consul answers', () => {
  const clock = new FakeClock();
  const store = new Store({ engine: new MemoryEngine(clock), clock, onError: () => undefined });
  const entries = createEntries({ store, datacenter: 'dc1', trustDomain: () => '' });
  const intentions = createIntentions({
    store,
    entries: entries.intentionEntries,
    datacenter: 'dc1',
    defaultPolicy: 'allow',
    clock,
  });

  beforeAll(() => store.start(new AbortController().signal));
  afterAll(() => store.stop());

  for (const recording of recordings('intentions.json')) {
    const { request, response, name } = recording;
    if (!request.path.startsWith('/v1/connect/intentions') || AT_THE_EDGE.test(String(response.body))) continue;
    it(`${name} in ${recording.dc}: ${request.method} ${request.path}`, async () => {
      if (response.status !== 200) {
        await expect((async () => answer(intentions, recording))()).rejects.toMatchObject({
          code: { 400: 'invalid_argument', 404: 'not_found', 500: 'rejected' }[response.status],
          message: response.body,
        });
        return;
      }
      const value = await answer(intentions, recording);
      if (request.method === 'POST')
        ids.set((response.body as { ID: string }).ID, (value as { readonly ID: string }).ID);
      expect(shape(value)).toEqual(shape(response.body));
    });
  }
});
