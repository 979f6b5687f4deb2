import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { type Recording, recordings } from '../../../test/fakes/golden.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { createEntries, type Entries } from './entries.ts';

const TRUST_DOMAIN = 'f3f948f5-bd25-8329-8efb-d149dc61a619.consul';

/** Indexes are the store's own; an absent `cas` index of the recording is translated by the test. */
function withoutIndexes(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, item: unknown) => (key === 'CreateIndex' || key === 'ModifyIndex' ? undefined : item)),
  );
}

async function answer(entries: Entries, { request }: Recording): Promise<unknown> {
  const url = new URL(request.path, 'http://x');
  const [, , area, kind = '', name] = url.pathname.split('/');
  if (area === 'discovery-chain') {
    const compileDatacenter = url.searchParams.get('compile-dc');
    return entries.reads['discoveryChain.get'].produce(
      compileDatacenter === null ? { service: kind } : { service: kind, compileDatacenter },
    );
  }
  if (request.method === 'DELETE') return entries.delete({ kind, name: name ?? '' });
  if (request.method === 'GET')
    return name === undefined
      ? entries.reads['config.list'].produce({ kind })
      : entries.reads['config.get'].produce({ kind, name });
  const cas = url.searchParams.get('cas');
  if (cas === null) return entries.apply({ entry: request.body });
  const { Kind, Name } = request.body as { Kind: string; Name: string };
  const current = entries.reads['config.get'].produce({ kind: Kind, name: Name }).ModifyIndex as number;
  return entries.apply({ entry: request.body, cas: cas === '80' ? current : current + 1_000 });
}

describe('configuration entries as Consul answers', () => {
  const clock = new FakeClock();
  const store = new Store({ engine: new MemoryEngine(clock), clock, onError: () => undefined });
  const entries = createEntries({ store, datacenter: 'dc1', trustDomain: () => TRUST_DOMAIN });

  beforeAll(() => store.start(new AbortController().signal));
  afterAll(() => store.stop());

  for (const recording of recordings('config-entries.json')) {
    it(`${recording.name}: ${recording.request.method} ${recording.request.path}`, async () => {
      const { status, body } = recording.response;
      if (status === 200) expect(withoutIndexes(await answer(entries, recording))).toEqual(withoutIndexes(body));
      else
        await expect((async () => answer(entries, recording))()).rejects.toMatchObject({
          code: { 400: 'invalid_argument', 404: 'not_found', 500: 'rejected' }[status],
          message: body,
        });
    });
  }
});
