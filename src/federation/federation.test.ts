import { setMaxListeners } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../test/fakes/fake-clock.ts';
import { TcpProxy } from '../../test/fakes/tcp-proxy.ts';
import { type DatacenterOptions, startDatacenter, type TestDatacenter, until } from '../../test/harness/datacenter.ts';
import { IsthmusError } from '../lib/errors.ts';
import { COMPATIBLE_VERSION } from '../model/version.ts';
import type { CallOptions, ReadOptions, ServerContract } from '../rpc/contract/contract.ts';
import { makeResult } from '../rpc/contract/result.ts';
import { noLog } from '../telemetry/types.ts';
import type { FederationIdentity } from './federation.ts';

const never = new AbortController().signal;
setMaxListeners(0, never); // more than ten calls share it at once
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
      Tags: {
        dc: 'dc2',
        id: 'id-of-dc2-s1',
        port: String(dc2.listener.addresses.server?.port),
        build: `${COMPATIBLE_VERSION}:`,
      },
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

  it('wait a moment with a write for a link that was just lost', async () => {
    const wire = await proxy(() => dc1.wanPort);
    const dc1 = await start({ datacenter: 'dc1', local: answering('dc1'), advertise: () => wire.port });
    const dc2 = await start({ datacenter: 'dc2', join: [wire.port] });
    await dc2.federation.whenConnected('dc1', never);
    wire.mode = 'cut';
    await until(dc2.federation, () => dc2.federation.connected().length === 0);
    const written = dc2.federation.contract('dc1').write('ca.rotate', {}, { signal: never });
    await expect(dc2.federation.contract('dc1').read('ca.roots', {}, { signal: never })).rejects.toMatchObject({
      code: 'no_path', // a read may turn to another datacenter
    });
    wire.mode = 'pass';
    expect((await written).value).toMatchObject({ name: 'dc1' });
  });

  it('wait a moment with a write for the primary, right after their start', async () => {
    const wire = await proxy(() => dc1.wanPort);
    wire.mode = 'cut';
    const dc1 = await start({ datacenter: 'dc1', local: answering('dc1'), advertise: () => wire.port });
    const dc2 = await start({ datacenter: 'dc2', join: [wire.port] });
    const written = dc2.federation.contract('dc1').write('ca.rotate', {}, { signal: never });
    await expect(dc2.federation.contract('dc3').write('ca.rotate', {}, { signal: never })).rejects.toMatchObject({
      code: 'no_path', // no link has announced such a datacenter
    });
    wire.mode = 'pass';
    expect((await written).value).toMatchObject({ name: 'dc1' });
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

describe('several servers of one datacenter', () => {
  /** One of dc1's servers, which know each other as from their store. */
  const inDc1: Record<string, TestDatacenter> = {};
  const server = async (name: string, options: Partial<DatacenterOptions> = {}): Promise<TestDatacenter> => {
    const started = await start({
      datacenter: 'dc1',
      local: answering(name),
      ...options,
      overrides: {
        node: name,
        nodeId: `id-of-${name}`,
        siblings: () =>
          Object.entries(inDc1)
            .filter(([other]) => other !== name)
            .map(([other, { wanPort, listener }]) => ({
              node: other,
              nodeId: `id-of-${other}`,
              wan: { address: '127.0.0.1', port: wanPort },
              serverPort: listener.addresses.server?.port as number,
            })),
        timings: { heartbeatMs: 20 },
      },
    });
    inDc1[name] = started;
    return started;
  };

  it('are all reached by who knows one of them, and answer for each other', async () => {
    const [one, two] = [await server('one'), await server('two')];
    const dc2 = await start({ datacenter: 'dc2', local: answering('dc2'), join: [one.wanPort] });
    const linked = () => dc2.federation.links().filter(({ state }) => state.kind === 'up').length;
    await until(dc2.federation, () => linked() === 2);
    await two.federation.whenConnected('dc2', never);
    expect((await two.federation.contract('dc2').read('ca.roots', {}, { signal: never })).value).toMatchObject({
      name: 'dc2',
    });
    const names = ['dc2-s1.dc2', 'one.dc1', 'two.dc1'];
    for (const { federation } of [one, two, dc2])
      expect(federation.members().map(({ Name, Status }) => `${Name} ${Status}`)).toEqual(
        names.map((name) => `${name} 1`),
      );

    // Whichever is lost, the other one answers, also what was asked of the lost one.
    const asked = Array.from({ length: 20 }, () =>
      dc2.federation.contract('dc1').read('ca.roots', {}, { signal: never }),
    );
    delete inDc1.one;
    await one.stop();
    for (const { value } of await Promise.all(asked)) expect(value).toMatchObject({ datacenter: 'dc1' });
    await until(dc2.federation, () => linked() === 1);
    const { value } = await dc2.federation.contract('dc1').read('ca.roots', {}, { signal: never });
    expect(value).toMatchObject({ name: 'two' });
  });
});

describe('what does not belong together', () => {
  async function refusedBetween(first: DatacenterOptions, second: DatacenterOptions): Promise<string[]> {
    const one = await start(first);
    const two = await start({ ...second, join: [one.wanPort] });
    await until(two.federation, () => two.federation.links().some(({ state }) => state.kind === 'refused'));
    expect(one.federation.connected()).toEqual([]);
    expect(two.federation.connected()).toEqual([]);
    return two.federation
      .links()
      .map(({ state }) => (state.kind === 'refused' ? `${state.code}: ${state.reason}` : ''));
  }
  const identity = (part: Partial<FederationIdentity>) => ({
    identity: () => ({ epoch: 'own', isPrimary: false, ...part }),
  });

  it('is refused when both claim to be the primary', async () => {
    const reasons = await refusedBetween(
      { datacenter: 'dc1' },
      { datacenter: 'dc2', overrides: { primaryDatacenter: 'dc2', ...identity({ isPrimary: true }) } },
    );
    expect(reasons).toEqual([
      'primary: datacenters "dc1" and "dc2" both claim to be the primary: set primary_datacenter to the same name ' +
        'in both',
    ]);
  });

  it('is refused when the primary is not the same', async () => {
    const reasons = await refusedBetween(
      { datacenter: 'dc1' },
      { datacenter: 'dc2', overrides: { primaryDatacenter: 'dc9' } },
    );
    expect(reasons[0]).toMatch(
      /^primary: primary_datacenter is "dc1" in datacenter "dc1" and "dc9" in datacenter "dc2"/,
    );
  });

  it('is refused when the trust domains differ', async () => {
    const reasons = await refusedBetween(
      { datacenter: 'dc1', overrides: identity({ isPrimary: true, trustDomain: 'a.consul' }) },
      { datacenter: 'dc2', overrides: identity({ trustDomain: 'b.consul' }) },
    );
    expect(reasons[0]).toMatch(
      /^trust_domain: the trust domain of datacenter "dc1" is "a\.consul" and that of datacenter "dc2" is "b\.consul"/,
    );
  });

  it('is refused when two stores have the name of one datacenter', async () => {
    const reasons = await refusedBetween(
      { datacenter: 'dc1' },
      { datacenter: 'dc1', overrides: { node: 'other', nodeId: 'id-of-other', ...identity({}) } },
    );
    expect(reasons[0]).toMatch(/^datacenter: nodes "dc1-s1" and "other" both say that they serve datacenter "dc1"/);
    const third = await start({ datacenter: 'dc2' });
    const impostor = await start({
      datacenter: 'dc3',
      join: [third.wanPort],
    });
    await third.federation.whenConnected('dc3', never);
    const late = await start({
      datacenter: 'dc3',
      join: [third.wanPort],
      overrides: { node: 'late', nodeId: 'id-of-late', ...identity({}) },
    });
    await until(late.federation, () => late.federation.links().some(({ state }) => state.kind === 'refused'));
    expect(impostor.federation.connected()).toEqual(['dc2']);
  });

  it('is refused when it turns out later, and logged once', async () => {
    let trustDomain = 'a.consul';
    const errors: unknown[] = [];
    const log = { ...noLog, error: (message: string, fields: unknown) => errors.push([message, fields]) };
    const dc1 = await start({
      datacenter: 'dc1',
      overrides: { identity: () => ({ epoch: 'e1', isPrimary: true, trustDomain }), timings: { heartbeatMs: 10 } },
    });
    const timings = { heartbeatMs: 10, refusedMs: 10 };
    const dc2 = await start({
      datacenter: 'dc2',
      join: [dc1.wanPort],
      overrides: { ...identity({ trustDomain: 'a.consul' }), timings, log },
    });
    await dc2.federation.whenConnected('dc1', never);
    await dc1.federation.whenConnected('dc2', never);
    trustDomain = 'b.consul';
    await until(dc2.federation, () => dc2.federation.links()[0]?.state.kind === 'refused');
    await until(dc2.federation, () => dc2.federation.links()[0]?.state.kind === 'handshaking');
    await until(dc2.federation, () => dc2.federation.links()[0]?.state.kind === 'refused');
    expect(errors).toEqual([
      ['refused to federate', expect.objectContaining({ reason: expect.stringContaining('b.consul') })],
    ]);
    trustDomain = 'a.consul';
    await dc2.federation.whenConnected('dc1', never); // put right, it heals by itself
  });

  it('does not dial what is no address, whoever tells it', async () => {
    const dc1 = await start({ datacenter: 'dc1' });
    const dc2 = await start({
      datacenter: 'dc2',
      join: [dc1.wanPort],
      overrides: { advertiseWan: () => ({ address: 'unix:/tmp/socket', port: 1 }) },
    });
    await dc2.federation.whenConnected('dc1', never);
    expect(dc1.federation.links()).toEqual([]);
    expect(dc1.federation.members().map(({ Status }) => Status)).toEqual([1, 1]);
  });

  it('does not link to itself', async () => {
    let own = 0;
    const wire = await proxy(() => own);
    const dc1 = await start({ datacenter: 'dc1', join: [wire.port] });
    own = dc1.wanPort;
    await until(dc1.federation, () => {
      const state = dc1.federation.links()[0]?.state;
      return state?.kind === 'refused' && state.code === 'self';
    });
    expect(dc1.federation.members()).toHaveLength(1);
    expect(dc1.federation.datacenters()).toEqual(['dc1']);
  });
});

describe('links in time', () => {
  /**
   * Moves the fake time in small steps, letting sockets work between them, until `condition` holds; returns how far.
   */
  async function advanceUntil(clock: FakeClock, limitMs: number, condition: () => boolean): Promise<number> {
    const started = clock.now();
    while (!condition() && clock.now() - started < limitMs) {
      await clock.advance(250);
      for (let turn = 0; turn < 20; turn += 1) await settle();
    }
    return clock.now() - started;
  }

  it('finds a half-open link within 15 s, and heals', async () => {
    const clock = new FakeClock();
    const wire = await proxy(() => dc1.wanPort);
    const dc1 = await start({ datacenter: 'dc1', clock, local: answering('dc1'), advertise: () => wire.port });
    const dc2 = await start({ datacenter: 'dc2', clock, join: [wire.port] });
    await advanceUntil(
      clock,
      5_000,
      () => dc2.federation.connected().length === 1 && dc1.federation.connected().length === 1,
    );
    const kinds = new Set<string>();
    dc2.federation.onChange(() => kinds.add(dc2.federation.links()[0]?.state.kind ?? ''));
    await advanceUntil(clock, 60_000, () => false); // an idle link stays up
    expect([...kinds].filter((kind) => kind !== 'up')).toEqual([]);
    kinds.clear();

    wire.mode = 'hole';
    const reading = dc2.federation.contract('dc1').read('ca.roots', {}, { signal: never });
    const failed = expect(reading).rejects.toMatchObject({ code: 'unavailable' });
    expect(await advanceUntil(clock, 60_000, () => dc2.federation.connected().length === 0)).toBeLessThanOrEqual(
      15_000,
    );
    await failed;
    expect([...kinds].slice(0, 2)).toEqual(['suspect', 'down']);
    const status = () => dc1.federation.members().find(({ Name }) => Name === 'dc1-s1.dc1')?.Status;
    expect(status()).toBe(1);
    expect(dc2.federation.members().find(({ Name }) => Name === 'dc1-s1.dc1')?.Status).toBe(1); // it still reaches us

    wire.mode = 'cut';
    wire.mode = 'pass';
    expect(await advanceUntil(clock, 60_000, () => dc2.federation.connected().length === 1)).toBeLessThanOrEqual(
      10_000,
    );
    const answer = await dc2.federation.contract('dc1').read('ca.roots', {}, { signal: never });
    expect(answer.value).toMatchObject({ name: 'dc1' });
  });

  it('lists a server as failed, as left when it said so, and as alive when it comes back', async () => {
    const dc1 = await start({ datacenter: 'dc1' });
    const dc2 = await startDatacenter({ datacenter: 'dc2', join: [dc1.wanPort] });
    const status = () => dc1.federation.members().find(({ Name }) => Name === 'dc2-s1.dc2')?.Status;
    await dc1.federation.whenConnected('dc2', never);
    await dc2.federation.whenConnected('dc1', never);
    await dc2.stop();
    await until(dc1.federation, () => status() === 4);
    expect(dc1.federation.datacenters()).toEqual(['dc1', 'dc2']);

    const back = await startDatacenter({ datacenter: 'dc2', join: [dc1.wanPort] }); // on another port
    await until(dc1.federation, () => status() === 1);
    await dc1.federation.whenConnected('dc2', never);
    expect(dc1.federation.members().map(({ Port }) => Port)).toContain(back.wanPort);
    expect(dc1.federation.links()).toHaveLength(1);
    await back.federation.whenConnected('dc1', never);
    back.federation.leave();
    await back.stop();
    expect(dc1.federation.datacenters()).toEqual(['dc1']);
    await until(dc1.federation, () => status() === 3);
    expect(dc1.federation.forceLeave('dc2-s1')).toBe(1);
  });

  it('leaves nothing behind when it is stopped', async () => {
    const before = process.getActiveResourcesInfo().filter((kind) => /TCP|Timeout/.test(kind)).length;
    const dc1 = await startDatacenter({ datacenter: 'dc1', local: answering('dc1') });
    const dc2 = await startDatacenter({ datacenter: 'dc2', join: [dc1.wanPort] });
    await dc2.federation.whenConnected('dc1', never);
    const watch = dc2.federation.contract('dc1').watch('ca.roots', {}, { signal: never })[Symbol.asyncIterator]();
    await watch.next();
    const blocked = watch.next().catch((error: IsthmusError) => error.code);
    await dc2.stop();
    expect(await blocked).toBe('cancelled');
    await dc1.stop();
    for (let turn = 0; turn < 10; turn += 1) await settle();
    const after = process.getActiveResourcesInfo().filter((kind) => /TCP|Timeout/.test(kind)).length;
    expect(after).toBeLessThanOrEqual(before);
  });
});

describe('join', () => {
  it('tells how many answered, and why when none did', async () => {
    const dc1 = await start({ datacenter: 'dc1' });
    const dc2 = await start({ datacenter: 'dc2' });
    const gone = await proxy(() => 0);
    gone.mode = 'cut';
    expect(await dc2.federation.join([`127.0.0.1:${gone.port}`, `127.0.0.1:${dc1.wanPort}`], never)).toBe(1);
    await expect(dc2.federation.join([`127.0.0.1:${gone.port}`], never)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/^no server could be joined: 127\.0\.0\.1:/),
    });
    await expect(dc2.federation.join(['not an address!'], never)).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});
