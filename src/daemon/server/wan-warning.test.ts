import { afterEach, describe, expect, it } from 'vitest';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { createCatalog } from '../../domain/catalog/catalog.ts';
import { nodeKey } from '../../domain/catalog/tables.ts';
import { type Logger, noLog } from '../../telemetry/types.ts';
import { createWanWarning } from './wan-warning.ts';

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function start(federated: boolean) {
  const store = memoryStore();
  const catalog = createCatalog({ store, datacenter: 'dc1' });
  const { signal } = new AbortController();
  await store.start(signal);
  const warned: unknown[] = [];
  let joined = (): void => undefined;
  const log: Logger = { ...noLog, warn: (_message: string, fields?: object) => warned.push(fields) };
  const warning = createWanWarning({
    onCommit: (listener) => store.onCommit(listener),
    node: (name) => catalog.tables.nodes.get(nodeKey(name))?.value,
    services: () => catalog.tables.services.list().map(({ value }) => value),
    federated: () => federated,
    onFederation: (listener) => {
      joined = () => {
        federated = true;
        listener();
      };
      return () => undefined;
    },
    log,
  });
  await warning.start(signal);
  stops.push(
    () => warning.stop(),
    () => store.stop(),
  );
  const register = (service: string, more: object = {}, wan?: string): Promise<true> =>
    catalog.register({
      Node: `n-${service}`,
      Address: '10.0.0.1',
      ...(wan === undefined ? {} : { TaggedAddresses: { wan } }),
      Service: { ID: service, Service: service, Port: 1, ...more },
    });
  return { register, warned, join: () => joined() };
}

describe('services without a WAN address', () => {
  it('are logged once each', async () => {
    const { register, warned } = await start(true);
    await register('bare');
    await register('bare', { Port: 2 });
    await register('hidden', { Address: '10.0.0.9' }, '198.51.100.1');
    await register('by-node', {}, '198.51.100.1');
    await register('own', { Address: '10.0.0.9', TaggedAddresses: { wan: { Address: '198.51.100.2', Port: 1 } } });
    const byFamily = { wan_ipv4: { Address: '198.51.100.3', Port: 1 } };
    await register('by-family', { Address: '10.0.0.9', TaggedAddresses: byFamily });
    expect(warned).toEqual([
      { service: 'bare', home: 'n-bare', address: '10.0.0.1' },
      { service: 'hidden', home: 'n-hidden', address: '10.0.0.9' },
    ]);
  });

  it('are not logged in a datacenter that stands alone, until another one joins', async () => {
    const { register, warned, join } = await start(false);
    await register('bare');
    expect(warned).toEqual([]);
    for (let times = 0; times < 2; times += 1) join();
    await register('later');
    expect(warned).toMatchObject([{ service: 'bare' }, { service: 'later' }]);
  });
});
