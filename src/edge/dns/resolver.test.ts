import { describe, expect, it } from 'vitest';
import { DnsBed } from '../../../test/fakes/dns.ts';
import { systemClock } from '../../lib/clock.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { makeResult } from '../../rpc/contract/result.ts';
import { CacheEntry } from '../../rpc/subscribe/cache-entry.ts';
import type { Answer, Answers } from './answers.ts';
import { Recursors } from './recursors.ts';
import { Resolver, type ResolverOptions } from './resolver.ts';

const RESOLVER: ResolverOptions = {
  domain: 'consul',
  altDomain: '',
  datacenter: 'dc1',
  node: 'n1',
  translateWanAddrs: false,
  onlyPassing: false,
  nodeMetaTxt: true,
  nodeTtlMs: 5_000,
  serviceTtlMs: { '*': 1_000, 'db*': 2_000, db: 3_000 },
  aRecordLimit: 0,
  soa: { refresh: 1, retry: 2, expire: 3, minTtl: 4 },
};

function instance(node: string, address: string, status = 'passing') {
  return {
    Node: { Node: node, Address: address, Datacenter: 'dc1', TaggedAddresses: null, Meta: null },
    Service: { ID: 'db', Service: 'db', Tags: [], Address: '', Port: 5_432, Weights: { Passing: 10, Warning: 2 } },
    Checks: [{ CheckID: 'c', Status: status }],
  };
}

/** Servers that answer each question with a state; an empty one is an answer that did not come. */
function answering(state: (name: string, args: { readonly service?: string }) => object): Answers {
  const ask = async ({ name, args }: { readonly name: string; readonly args: object }): Promise<Answer<unknown>> => ({
    value: undefined,
    problem: undefined,
    ...state(name, args),
  });
  return { ask, fresh: () => true } as unknown as Answers;
}

/** A question that is followed, and what changes its answer. */
function followed(value: unknown): { readonly answers: Answers; set(value: unknown): void; asks: number } {
  const entry = new CacheEntry<unknown>('', systemClock);
  const bed = {
    asks: 0,
    answers: {
      ask: async () => {
        bed.asks += 1;
        return { value: entry.value, problem: undefined, entry };
      },
      fresh: () => true,
    } as unknown as Answers,
    set: (_value: unknown): void => undefined,
  };
  entry.begin((onState) => {
    let index = 0;
    bed.set = (next) => onState({ index: ++index, value: next });
    return () => undefined;
  });
  bed.set(value);
  return bed;
}

describe('the resolver', () => {
  const resolver = (
    answer: (name: string, args: { readonly service?: string }) => object,
    options: Partial<ResolverOptions> = {},
    recursors: readonly string[] = [],
  ) =>
    new Resolver(
      {
        answers: answering(answer),
        recursors: new Recursors(systemClock, { addresses: recursors, timeoutMs: 500 }),
        contract: { read: async () => makeResult({ index: 1, value: ['dc1', 'dc2'] }) } as unknown as ServerContract,
        token: () => '',
        now: () => 0,
        random: () => 0.5,
      },
      { ...RESOLVER, ...options },
    );
  const { signal } = new AbortController();
  const ask = async (of: Resolver, name: string, type = 'A', limit = 100) => of.resolve({ name, type, limit }, signal);
  const hosts = [
    instance('a', '10.0.0.1'),
    instance('b', '10.0.0.2', 'warning'),
    instance('c', '10.0.0.3', 'critical'),
  ];

  it('gives healthy instances, with warnings unless told otherwise', async () => {
    const addresses = async (options: Partial<ResolverOptions>): Promise<unknown> =>
      (
        await ask(
          resolver(() => ({ value: hosts }), options),
          'db.service.consul',
        )
      )?.answers
        .map(({ data }) => 'address' in data && data.address)
        .sort();
    expect(await addresses({})).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(await addresses({ onlyPassing: true })).toEqual(['10.0.0.1']);
    expect(await addresses({ aRecordLimit: 1 })).toHaveLength(1);
  });

  it('weights by health, and takes the most particular TTL', async () => {
    const reply = await ask(
      resolver(() => ({ value: hosts.slice(0, 2) })),
      'db.service.consul',
      'SRV',
    );
    expect(
      reply?.answers.map(({ data, ttl }) => ('weight' in data ? [data.target, data.weight, ttl] : [])).sort(),
    ).toEqual([
      ['a.node.dc1.consul', 10, 3],
      ['b.node.dc1.consul', 2, 3],
    ]);
    const ttl = async (name: string): Promise<unknown> =>
      (
        await ask(
          resolver(() => ({ value: hosts.slice(0, 1) })),
          name,
        )
      )?.answers[0]?.ttl;
    expect([await ttl('dbx.service.consul'), await ttl('web.service.consul')]).toEqual([2, 1]);
  });

  it('leads to a name when that is all that is known', async () => {
    const external = resolver(() => ({ value: [instance('ext', 'db.example.com.')] }));
    const cname = (await ask(external, 'db.service.consul'))?.answers[0]?.data;
    expect(cname).toEqual({ type: 'CNAME', target: 'db.example.com' });
    const srv = (await ask(external, 'db.service.consul', 'SRV'))?.answers[0];
    expect([srv?.data, srv?.extra]).toMatchObject([{ target: 'db.example.com', port: 5_432 }, []]);
  });

  it('answers a question for the name itself, and sends no query for where it leads', async () => {
    const only = resolver(() => ({ value: [instance('ext', 'db.example.com.')] }), {}, ['127.0.0.1:1']);
    expect((await ask(only, 'db.service.consul', 'CNAME'))?.answers).toMatchObject([
      { data: { type: 'CNAME', target: 'db.example.com' } },
    ]);
    const mixed = resolver(() => ({ value: [instance('ext', 'db.example.com'), ...hosts] }));
    expect(await ask(mixed, 'db.service.consul', 'CNAME')).toMatchObject({ rcode: 0, answers: [], authorities: [{}] });
  });

  it('asks a recursor again over TCP for what was cut, counts addresses alone, and says what is left out', async () => {
    const bed = new DnsBed();
    const addresses = Array.from({ length: 10 }, (_, at) => ({
      name: 'host.example.com',
      ttl: 30,
      data: { type: 'A' as const, address: `192.0.2.${at}` },
    }));
    const far = await bed.serve(() => ({
      rcode: 0,
      authoritative: false,
      answers: [{ ttl: 60, data: { type: 'CNAME', target: 'host.example.com' } }, ...addresses],
    }));
    const external = resolver(() => ({ value: [instance('ext', 'db.example.com')] }), {}, [`127.0.0.1:${far.port}`]);
    const reply = await ask(external, 'db.service.consul', 'A', 8);
    expect(reply?.answers.map(({ data }) => data.type)).toEqual(['CNAME', 'CNAME', ...Array(8).fill('A')]);
    expect(reply).toMatchObject({ more: true, truncatable: true });
    expect(await ask(external, 'db.service.consul', 'A', 100)).toMatchObject({ more: false, answers: { length: 12 } });
    await bed.stop();
  });

  it('tells a failure from absence', async () => {
    expect(
      await ask(
        resolver(() => ({})),
        'db.service.dc2.consul',
      ),
    ).toMatchObject({ rcode: 2 });
    expect(
      await ask(
        resolver(() => ({ value: [] })),
        'db.service.consul',
      ),
    ).toMatchObject({
      rcode: 3,
      authorities: [{ name: 'consul', ttl: 4, data: { type: 'SOA', minimum: 4 } }],
    });
    expect(
      await ask(
        resolver(() => ({ problem: 'No path to datacenter' })),
        'db.service.nowhere.consul',
      ),
    ).toMatchObject({ rcode: 3 });
    expect(
      await ask(
        resolver(() => ({ problem: 'Query not found' })),
        'x.query.consul',
      ),
    ).toMatchObject({ rcode: 3 });
    expect(
      await ask(
        resolver(() => ({})),
        'example.com',
      ),
    ).toBeUndefined();
  });

  it('says nothing of names beside addresses', async () => {
    const mixed = resolver(() => ({ value: [instance('ext', 'db.example.com'), ...hosts.slice(0, 1)] }));
    expect((await ask(mixed, 'db.service.consul'))?.answers.map(({ data }) => data.type)).toEqual(['A']);
    const names = resolver(() => ({ value: ['a', 'b'].map((name) => instance(name, `${name}.example.com`)) }));
    expect((await ask(names, 'db.service.consul'))?.answers).toHaveLength(1);
  });

  it('follows names of ours, but not for ever', async () => {
    const leads: Readonly<Record<string, string>> = { a: 'b.service.consul', b: 'c.service.consul', c: '10.0.0.1' };
    const chain = resolver((_name, { service = '' }) => ({ value: [instance(service, leads[service] ?? '')] }));
    expect((await ask(chain, 'A.service.consul'))?.answers).toMatchObject([
      { data: { type: 'CNAME', target: 'b.service.consul' } },
      { name: 'b.service.consul', data: { type: 'CNAME', target: 'c.service.consul' } },
      { name: 'c.service.consul', data: { type: 'A', address: '10.0.0.1' } },
    ]);
    const circle = resolver((_name, { service = '' }) => ({
      value: [instance(service, service === 'a' ? 'b.service.consul' : 'a.service.consul')],
    }));
    expect((await ask(circle, 'a.service.consul'))?.answers).toHaveLength(4);
  });

  it('asks recursors for the address behind a name', async () => {
    const bed = new DnsBed();
    const far = await bed.serve(() => ({
      rcode: 0,
      authoritative: false,
      answers: [
        { ttl: 60, data: { type: 'CNAME', target: 'host.example.com' } },
        { name: 'host.example.com', ttl: 30, data: { type: 'A', address: '192.0.2.1' } },
      ],
    }));
    const external = resolver(() => ({ value: [instance('ext', 'db.example.com')] }), {}, [`127.0.0.1:${far.port}`]);
    const behind = [
      { name: 'db.example.com', data: { target: 'host.example.com' } },
      { name: 'host.example.com', ttl: 30, data: { address: '192.0.2.1' } },
    ];
    expect((await ask(external, 'db.service.consul'))?.answers).toMatchObject([{ data: { type: 'CNAME' } }, ...behind]);
    expect((await ask(external, 'db.service.consul', 'SRV'))?.answers[0]?.extra).toMatchObject(behind);
    await bed.stop();
  });

  it('takes the address of the family that is asked for', async () => {
    const dual = {
      ...instance('a', '10.0.0.1'),
      Node: { ...instance('a', '10.0.0.1').Node, TaggedAddresses: { lan_ipv4: '10.0.0.1', lan_ipv6: '2001:db8::1' } },
    };
    const both = resolver(() => ({ value: [dual] }));
    const data = async (type: string): Promise<unknown> =>
      (await ask(both, 'db.service.consul', type))?.answers[0]?.data;
    expect(await data('A')).toEqual({ type: 'A', address: '10.0.0.1' });
    expect(await data('AAAA')).toEqual({ type: 'AAAA', address: '2001:db8::1' });
  });

  it('sorts by the distance from who asks where a query wants it, for each asker anew', async () => {
    const query = { Datacenter: 'dc1', DNS: { TTL: '' }, Service: 'db' };
    const [a, b] = hosts;
    const asked: unknown[] = [];
    const sorting = new Resolver(
      {
        answers: answering((_name, args) => {
          const near = 'near' in args ? args.near : '_ip';
          return { value: { ...query, Near: near, Nodes: near === 'b' ? [b, a] : [a, b] } };
        }),
        recursors: new Recursors(systemClock, { addresses: [], timeoutMs: 1 }),
        contract: {
          read: async (_name: string, { address }: { readonly address: string }) => {
            asked.push(address);
            if (address === '') throw new Error('no server');
            return makeResult({ index: 1, value: { Nodes: address === '10.0.0.2' ? ['b'] : [], Services: [] } });
          },
        } as never,
        token: () => '',
        now: () => 0,
        random: () => 0.5,
      },
      RESOLVER,
    );
    const from = async (source?: string): Promise<unknown> =>
      (
        await sorting.resolve(
          { name: 'q.query.consul', type: 'A', limit: 8, ...(source === undefined ? {} : { source }) },
          signal,
        )
      )?.answers.map(({ data }) => 'address' in data && data.address);
    const inOrder = ['10.0.0.2', '10.0.0.1'];
    expect(await from('10.0.0.2')).toEqual(inOrder);
    for (const source of ['192.0.2.1', undefined, '10.0.0.2']) expect(await from(source)).toHaveLength(2);
    expect(await from('10.0.0.2')).toEqual(inOrder);
    expect(asked).toEqual(['10.0.0.2', '192.0.2.1', '', '10.0.0.2', '10.0.0.2']);
  });

  it('gives each instance its turn, and no more than there is room for', async () => {
    const chances = [0, 0.99, 0.5, 0.25];
    let turn = 0;
    const seen = new Map<string, number>();
    const many = Array.from({ length: 4 }, (_, at) => instance(`n${at}`, `10.0.0.${at}`));
    const fair = new Resolver(
      {
        answers: followed(many).answers,
        contract: {} as never,
        recursors: new Recursors(systemClock, { addresses: [], timeoutMs: 1 }),
        token: () => '',
        now: () => 0,
        random: () => chances[turn++ % chances.length] as number,
      },
      RESOLVER,
    );
    for (let times = 0; times < 40; times += 1) {
      const reply = await fair.resolve({ name: 'db.service.consul', type: 'A', limit: 1 }, signal);
      expect(reply).toMatchObject({ answers: [{}], more: true });
      const data = reply?.answers[0]?.data;
      const address = data !== undefined && 'address' in data ? data.address : '';
      seen.set(address, (seen.get(address) ?? 0) + 1);
    }
    expect([...seen.keys()].sort()).toEqual(['10.0.0.0', '10.0.0.1', '10.0.0.2', '10.0.0.3']);
  });

  it('knows at once what was asked before, until it changes', async () => {
    const question = followed(hosts);
    let token = 'one';
    const quick = new Resolver(
      {
        answers: question.answers,
        contract: {} as never,
        recursors: new Recursors(systemClock, { addresses: [], timeoutMs: 1 }),
        token: () => token,
        now: () => 0,
        random: () => 0,
      },
      RESOLVER,
    );
    const again = () => quick.resolve({ name: 'DB.service.consul', type: 'A', limit: 8 }, signal);
    await again();
    expect(again()).toMatchObject({ answers: [{ data: { address: '10.0.0.1' } }, {}] });
    expect(question.asks).toBe(1);
    question.set([]);
    expect(await again()).toMatchObject({ rcode: 3 });
    expect(again()).toMatchObject({ rcode: 3 });
    token = 'two';
    expect(again()).toBeInstanceOf(Promise);
    expect(question.asks).toBe(3);
  });

  it('keeps the order of a query that is sorted by distance', async () => {
    const execution = { Service: 'db', Nodes: hosts, Datacenter: 'dc1', DNS: { TTL: '' }, Near: 'a' };
    const reply = await ask(
      resolver(() => ({ value: execution })),
      'geo.query.consul',
    );
    expect(reply?.answers.map(({ data }) => 'address' in data && data.address)).toEqual([
      '10.0.0.1',
      '10.0.0.2',
      '10.0.0.3',
    ]);
  });

  it('tells about the zone whatever name below it is asked', async () => {
    const servers = [instance('s1', '10.0.0.1'), instance('not a host', '10.0.0.2')];
    const zone = resolver(() => ({ value: servers }));
    expect(await ask(zone, 'any.thing.consul', 'NS')).toMatchObject({
      answers: [{ name: 'consul', data: { type: 'NS', target: 's1.node.dc1.consul' } }],
      additionals: [{ name: 's1.node.dc1.consul', data: { address: '10.0.0.1' } }],
    });
    expect((await ask(zone, 'db.service.consul', 'SOA'))?.answers[0]?.data.type).toBe('SOA');
    expect(await ask(zone, 'consul', 'AXFR')).toMatchObject({ rcode: 4 });
    expect(await ask(zone, 'consul', 'A')).toMatchObject({ rcode: 0, answers: [], authorities: [{}] });
  });

  it.each(['virtual', 'ingress'])('has no names below %s', async (kind) => {
    expect(
      await ask(
        resolver(() => ({ value: hosts })),
        `db.${kind}.consul`,
      ),
    ).toMatchObject({ rcode: 3 });
  });
});
