import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { createEntries } from '../../domain/entries/entries.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { bootstrapEntries } from './bootstrap-entries.ts';

const never = new AbortController().signal;

async function setUp() {
  const clock = new FakeClock();
  const store = new Store({ engine: new MemoryEngine(clock), clock, onError: () => undefined });
  const entries = createEntries({ store, datacenter: 'dc1', trustDomain: () => '' });
  await store.start(never);
  const get = (kind: string, name: string) => entries.reads['config.get'].produce({ kind, name });
  return { entries, get, stop: () => store.stop() };
}

describe('config_entries.bootstrap', () => {
  it('is written once, as files write it, and never over what exists', async () => {
    const { entries, get, stop } = await setUp();
    const wanted = [
      { kind: 'proxy-defaults', name: 'global', config: { local_connect_timeout_ms: 1_000 } },
      { kind: 'service-defaults', name: 'web', protocol: 'http' },
    ];
    await bootstrapEntries(entries, wanted).start(never);
    expect(get('proxy-defaults', 'global')).toMatchObject({ Config: { local_connect_timeout_ms: 1_000 } });
    await entries.apply({ entry: { Kind: 'service-defaults', Name: 'web', Protocol: 'tcp' } });
    await bootstrapEntries(entries, wanted).start(never);
    expect(get('service-defaults', 'web')).toMatchObject({ Protocol: 'tcp' });
    await stop();
  });

  it('that makes no sense keeps the server from starting, with its place', async () => {
    const { entries, stop } = await setUp();
    const broken = bootstrapEntries(entries, [
      { kind: 'service-defaults', name: 'ok' },
      { kind: 'nonsense', name: 'x' },
    ]);
    await expect(broken.start(never)).rejects.toThrow(/^config_entries\.bootstrap\[1\]: .*nonsense/);
    await stop();
  });
});
