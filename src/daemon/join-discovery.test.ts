import { Resolver } from 'node:dns/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DnsBed } from '../../test/fakes/dns.ts';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import type { JoinSource } from '../config/join-sources.ts';
import type { RecordData } from '../edge/dns/types.ts';
import { noLog } from '../telemetry/types.ts';
import { discover } from './join-discovery.ts';
import { createJoinDiscovery } from './join-discovery-service.ts';
import { wanDiscovery } from './server/wan-discovery.ts';

const signal = new AbortController().signal;
const node = (program: string): JoinSource => ({ kind: 'exec', program: process.execPath, args: ['-e', program] });

describe('a program that finds servers', () => {
  it('prints addresses, each once; those without a port get the usual one', async () => {
    const source = node('console.log("10.0.0.1\\n10.0.0.2:18301  [::1]:9 10.0.0.1:8301")');
    expect(await discover(source, 8301, signal)).toEqual(['10.0.0.1:8301', '10.0.0.2:18301', '[::1]:9']);
  });

  it.each([
    ['that is not there', { kind: 'exec', program: '/nowhere/find', args: ['s3cret'] } as const, 'ENOENT'],
    ['that fails', node('console.log("10.0.0.1"); process.exit(3)'), 'it ended with status 3'],
    ['that names none', node(''), 'it names no address'],
    ['that prints something else', node('console.log("no:such:address!")'), 'is no address'],
    [
      'that prints without end',
      { kind: 'exec', program: 'sh', args: ['-c', 'while :; do echo 10.0.0.1; done'] } as const,
      'it printed too much',
    ],
  ])('%s is an error that names it, and no argument of it', async (_what, source, because) => {
    const error = await discover(source, 8301, signal).catch((thrown: Error) => thrown);
    expect(String(error)).toContain(because);
    expect(String(error)).not.toContain('s3cret');
  });

  it('can not make the list grow', async () => {
    const source = node('for (let i = 0; i < 200; i += 1) console.log("10.0.1." + i)');
    expect(await discover(source, 8301, signal)).toHaveLength(64);
  });
});

describe('a name that leads to servers', () => {
  const bed = new DnsBed();
  afterEach(async () => {
    await bed.stop();
  });

  it('gives all of its addresses, or its SRV records', async () => {
    const data = (name: string): readonly RecordData[] =>
      name.startsWith('_')
        ? [{ type: 'SRV', priority: 1, weight: 1, port: 18_301, target: 's1.example.com' }]
        : ['10.0.0.1', '10.0.0.2'].map((address) => ({ type: 'A', address }));
    const server = await bed.serve((name) => ({
      rcode: 0,
      authoritative: true,
      answers: data(name).map((one) => ({ ttl: 0, data: one })),
    }));
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${server.port}`]);
    const named = (name: string, more: object = {}): JoinSource => ({
      kind: 'dns',
      name,
      port: 0,
      srv: false,
      ...more,
    });
    expect([...(await discover(named('s.example.com'), 8301, signal, resolver))].sort()).toEqual([
      '10.0.0.1:8301',
      '10.0.0.2:8301',
    ]);
    expect(await discover(named('_c._tcp.example.com', { srv: true }), 8301, signal, resolver)).toEqual([
      's1.example.com:18301',
    ]);
  });
});

it('is asked again for as long as it is needed, and no longer', async () => {
  const clock = new FakeClock();
  let needed = true;
  const used: (readonly string[])[] = [];
  const service = createJoinDiscovery({
    sources: [node('console.log("10.0.0.1")')],
    defaultPort: 8301,
    use: async (_source, addresses) => void used.push(addresses),
    needed: () => needed,
    startMs: 5_000,
    retryIntervalMs: 30_000,
    clock,
    log: noLog,
  });
  await service.start(signal);
  expect(used).toEqual([['10.0.0.1:8301']]);
  needed = false;
  await clock.advance(90_000);
  expect(used).toHaveLength(1);
  await service.stop();
});

it('of other datacenters is asked until one of them is there', async () => {
  const clock = new FakeClock();
  const joins: (readonly string[])[] = [];
  let away = true;
  const federation = {
    async join(addresses: readonly string[]) {
      joins.push(addresses);
      if (away) throw new Error('no server could be joined');
      return addresses.length;
    },
  };
  const config = { joinSourcesWan: [node('console.log("10.0.0.1")')], retryIntervalMs: 30_000 };
  const service = wanDiscovery(config, federation, clock, noLog);
  await service.start(signal);
  await vi.waitFor(() => expect(joins).toEqual([['10.0.0.1:8302']]), 20_000);
  away = false;
  await vi.waitFor(async () => {
    await clock.advance(30_000);
    expect(joins).toHaveLength(2);
  }, 20_000);
  await clock.advance(300_000);
  expect(joins).toHaveLength(2);
  await service.stop();
});
