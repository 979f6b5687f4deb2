import { afterEach, describe, expect, it } from 'vitest';
import { TcpProxy } from '../../test/fakes/tcp-proxy.ts';
import { type DatacenterOptions, startDatacenter, type TestDatacenter, until } from '../../test/harness/datacenter.ts';
import { IsthmusError } from '../lib/errors.ts';
import type { CallOptions, ReadOptions, ServerContract } from '../rpc/contract/contract.ts';
import { makeResult } from '../rpc/contract/result.ts';

const never = new AbortController().signal;
const cleanup: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

async function start(options: DatacenterOptions): Promise<TestDatacenter> {
  const started = await startDatacenter(options);
  cleanup.push(() => started.stop());
  return started;
}

async function proxy(target: () => number): Promise<TcpProxy> {
  const opened = await TcpProxy.open(target);
  cleanup.push(() => opened.close());
  return opened;
}

/** A datacenter that answers every read with its name, and whose watches show `version` until it changes. */
function answering(name: string): ServerContract & { bump(): void; readonly watchers: number } {
  let version = 1;
  let watchers = 0;
  const wakes = new Set<() => void>();
  return {
    bump: () => {
      version += 1;
      for (const wake of wakes) wake();
    },
    get watchers() {
      return watchers;
    },
    read: async (read: string, _args: unknown, options: ReadOptions) =>
      makeResult({ index: 5, value: { name, read, datacenter: options.datacenter } }),
    write: async (write: string, _args: unknown, options: CallOptions) => ({
      revision: 3,
      value: { name, write, datacenter: options.datacenter },
    }),
    watch: async function* (_name: string, _args: unknown, { signal }: CallOptions) {
      watchers += 1;
      try {
        for (let shown = 0; !signal.aborted; ) {
          if (shown < version) {
            shown = version;
            yield { index: version, value: `${name} ${version}` };
          } else {
            await new Promise<void>((resolve) => {
              wakes.add(resolve);
              signal.addEventListener('abort', () => resolve(), { once: true });
            });
          }
        }
      } finally {
        watchers -= 1;
      }
    },
  } as unknown as ServerContract & { bump(): void; readonly watchers: number };
}

describe('two datacenters', () => {
  it('link from one address, and call each other in both directions', async () => {
    const dc1 = await start({ datacenter: 'dc1', local: answering('dc1') });
    const dc2 = await start({ datacenter: 'dc2', local: answering('dc2'), join: [dc1.wanPort] });
    await dc1.federation.whenConnected('dc2', never);
    await dc2.federation.whenConnected('dc1', never);

    const there = await dc1.federation.contract('dc2').read('ca.roots', {}, { signal: never });
    expect(there.value).toEqual({ name: 'dc2', read: 'ca.roots', datacenter: 'dc2' });
    const back = await dc2.federation.contract('dc1').write('ca.rotate', {}, { signal: never });
    expect(back).toEqual({ revision: 3, value: { name: 'dc1', write: 'ca.rotate', datacenter: 'dc1' } });
    const home = await dc1.federation.contract('dc1').read('ca.roots', {}, { signal: never });
    expect(home.value).toEqual({ name: 'dc1', read: 'ca.roots' });

    expect(dc1.federation.datacenters()).toEqual(['dc1', 'dc2']);
    expect(dc2.federation.datacenters()).toEqual(['dc2', 'dc1']);
    expect(dc2.federation.connected()).toEqual(['dc1']);
    await until(dc2.federation, () => dc2.federation.rtt('dc1') !== undefined);
    expect(dc2.federation.rtt('dc1')).toBeGreaterThan(0);
    expect(dc2.federation.rtt('dc2')).toBe(0);
    for (const { federation } of [dc1, dc2]) {
      expect(federation.members().map(({ Name, Status }) => [Name, Status])).toEqual([
        ['dc1-s1.dc1', 1],
        ['dc2-s1.dc2', 1],
      ]);
    }
    expect(dc1.federation.members()[1]).toMatchObject({
      Addr: '127.0.0.1',
      Port: dc2.wanPort,
      Tags: { dc: 'dc2', id: 'id-of-dc2-s1', port: String(dc2.listener.addresses.server?.port), build: '1.0.0:' },
    });
  });

  it('fail at once for a datacenter that nothing leads to', async () => {
    const dc1 = await start({ datacenter: 'dc1' });
    const call = dc1.federation.contract('nowhere').read('ca.roots', {}, { signal: never });
    await expect(call).rejects.toMatchObject({ code: 'no_path', message: 'No path to datacenter' });
    await expect(dc1.federation.contract('nowhere').write('ca.rotate', {}, { signal: never })).rejects.toMatchObject({
      code: 'no_path',
    });
    expect(dc1.federation.datacenters()).toEqual(['dc1']);
  });

  it('keep watching over cuts, and before the datacenter is known', async () => {
    const local = answering('dc1');
    const wire = await proxy(() => dc1.wanPort);
    const dc1 = await start({ datacenter: 'dc1', local, advertise: () => wire.port });
    const dc2 = await start({ datacenter: 'dc2' });
    const watch = dc2.federation.contract('dc1').watch('ca.roots', {}, { signal: never })[Symbol.asyncIterator]();
    const first = watch.next();
    expect(await dc2.federation.join([`127.0.0.1:${wire.port}`], never)).toBe(1);
    expect((await first).value).toEqual({ index: 1, value: 'dc1 1' });
    local.bump();
    expect((await watch.next()).value).toEqual({ index: 2, value: 'dc1 2' });

    const next = watch.next();
    const failing = dc2.federation
      .contract('dc1')
      .read('ca.roots', {}, { signal: never })
      .catch(() => undefined);
    wire.mode = 'cut';
    await failing;
    await until(dc2.federation, () => dc2.federation.connected().length === 0);
    await expect(dc2.federation.contract('dc1').read('ca.roots', {}, { signal: never })).rejects.toMatchObject({
      message: 'No path to datacenter',
    });
    expect(dc2.federation.datacenters()).toEqual(['dc2', 'dc1']);
    local.bump();
    wire.mode = 'pass';
    expect((await next).value).toEqual({ index: 3, value: 'dc1 3' });
    await watch.return?.(undefined);
  });

  it('end a watch when the other datacenter says that it makes no sense', async () => {
    const local = {
      ...answering('dc1'),
      watch: async function* () {
        yield await Promise.reject(new IsthmusError('permission_denied', 'Permission denied'));
      },
    } as unknown as ServerContract;
    const dc1 = await start({ datacenter: 'dc1', local });
    const dc2 = await start({ datacenter: 'dc2', join: [dc1.wanPort] });
    const watch = dc2.federation.contract('dc1').watch('ca.roots', {}, { signal: never })[Symbol.asyncIterator]();
    await expect(watch.next()).rejects.toMatchObject({ code: 'permission_denied', message: 'Permission denied' });
  });
});

describe('three datacenters', () => {
  it('learn each other from one', async () => {
    const dc1 = await start({ datacenter: 'dc1', local: answering('dc1') });
    const dc2 = await start({ datacenter: 'dc2', local: answering('dc2'), join: [dc1.wanPort] });
    const dc3 = await start({ datacenter: 'dc3', local: answering('dc3'), join: [dc1.wanPort] });
    await dc2.federation.whenConnected('dc3', never);
    await dc3.federation.whenConnected('dc2', never);
    const answer = await dc2.federation.contract('dc3').read('ca.roots', {}, { signal: never });
    expect(answer.value).toMatchObject({ name: 'dc3' });
    expect([...dc3.federation.datacenters()].sort()).toEqual(['dc1', 'dc2', 'dc3']);
    expect(dc3.federation.members()).toHaveLength(3);
  });
});
