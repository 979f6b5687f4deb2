import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import type { QueryExecution } from '../../model/prepared-query.ts';
import type { SidecarUpstream } from '../../model/sidecar.ts';
import type { Followed, WatchPool } from '../cache/watch-pool.ts';
import { createQueryResolver } from './query-resolver.ts';
import type { UpstreamState } from './upstream-resolver.ts';

const UPSTREAM: SidecarUpstream = {
  key: 'prepared_query:geo-db@dc1:1',
  type: 'prepared_query',
  name: 'geo-db',
  datacenter: 'dc1',
  bindAddress: '127.0.0.1',
  bindPort: 1,
  config: {},
};

function execution(datacenter: string, failovers: number, ...nodes: readonly string[]): QueryExecution {
  const indexes = { CreateIndex: 1, ModifyIndex: 1 };
  return {
    Service: 'db',
    Nodes: nodes.map((node) => ({
      Node: {
        ID: '',
        Node: node,
        Address: '10.0.0.1',
        Datacenter: datacenter,
        TaggedAddresses: { wan: '198.51.100.1' },
        Meta: null,
        ...indexes,
      },
      Service: {
        Kind: 'connect-proxy',
        ID: 'db-sidecar-proxy',
        Service: 'db-sidecar-proxy',
        Tags: null,
        Address: '',
        Meta: null,
        Port: 21_000,
        Weights: { Passing: 1, Warning: 1 },
        EnableTagOverride: false,
        Proxy: { DestinationServiceName: 'db', MeshGateway: {}, Expose: {} },
        Connect: {},
        ...indexes,
      },
      Checks: null,
    })),
    DNS: { TTL: '' },
    Datacenter: datacenter,
    Failovers: failovers,
    Index: 0,
    LastContact: 0,
    KnownLeader: true,
    ConsistencyLevel: 'leader',
    NotModified: false,
  };
}

function start() {
  const clock = new FakeClock();
  const states: UpstreamState[] = [];
  const asked: unknown[] = [];
  let tell: (state: Followed<QueryExecution>) => void = () => undefined;
  let ended = false;
  const follow = (name: string, args: unknown, options: unknown, onState: typeof tell): (() => void) => {
    asked.push({ name, args, options });
    tell = onState;
    return () => {
      ended = true;
    };
  };
  const resolver = createQueryResolver({
    pool: { follow } as unknown as Pick<WatchPool, 'follow'>,
    datacenter: 'dc1',
    node: 'n1',
    clock,
  });
  const end = resolver.follow(UPSTREAM, { token: 't' }, (state) => states.push(state));
  const weights = (): Record<string, number> =>
    Object.fromEntries((states.at(-1)?.endpoints ?? []).map(({ id, weight }) => [id.split('/')[0], weight]));
  return {
    clock,
    states,
    asked,
    end,
    weights,
    ended: () => ended,
    answer: (value: QueryExecution) => tell({ value, index: 1 }),
    break: (problem: string) => tell({ index: 1, problem }),
  };
}

describe('upstreams that are prepared queries', () => {
  it('dial what the query leads to, with the identity of the service and datacenter found', () => {
    const test = start();
    expect(test.asked).toEqual([
      {
        name: 'queries.execute',
        args: { query: 'geo-db', connect: true, agent: { node: 'n1', segment: '' } },
        options: { token: 't' },
      },
    ]);
    test.answer(execution('dc2', 1, 'm1'));
    expect(test.states).toEqual([
      {
        endpoints: [
          {
            id: 'dc2/m1/db-sidecar-proxy',
            address: '198.51.100.1',
            port: 21_000,
            service: 'db',
            datacenter: 'dc2',
            weight: 1,
          },
        ],
        problem: '',
      },
    ]);
    test.end();
    expect(test.ended()).toBe(true);
  });

  it('fail over at once and go back bit by bit', async () => {
    const test = start();
    test.answer(execution('dc1', 0, 'a'));
    test.answer(execution('dc2', 1, 'b'));
    expect(test.weights()).toEqual({ dc2: 1 });
    test.answer(execution('dc1', 0, 'a'));
    expect(test.weights()).toEqual({ dc1: 100, dc2: 900 });
    await test.clock.advance(4_000);
    expect(test.weights()).toEqual({ dc1: 500, dc2: 500 });
    await test.clock.advance(4_000);
    expect(test.weights()).toEqual({ dc1: 900, dc2: 100 });
    await test.clock.advance(1_000);
    expect(test.weights()).toEqual({ dc1: 1 });
    expect(test.clock.next()).toBeUndefined();
  });

  it('leave the ramp when the better place fails again', async () => {
    const test = start();
    test.answer(execution('dc2', 1, 'b'));
    test.answer(execution('dc1', 0, 'a'));
    await test.clock.advance(2_000);
    test.answer(execution('dc2', 1, 'b'));
    expect(test.weights()).toEqual({ dc2: 1 });
    await test.clock.advance(10_000);
    expect(test.weights()).toEqual({ dc2: 1 });
  });

  it('keep what was last known while the query can not be followed, and say why', async () => {
    const test = start();
    await test.clock.advance(2_000);
    expect(test.states.at(-1)).toEqual({ endpoints: [], problem: 'the query geo-db has not been answered yet' });
    test.answer(execution('dc1', 0, 'a'));
    test.break('Query not found');
    expect(test.states.at(-1)).toMatchObject({
      endpoints: [{ id: 'dc1/a/db-sidecar-proxy' }],
      problem: 'Query not found',
    });
    test.end();
    expect(test.clock.next()).toBeUndefined();
  });
});
