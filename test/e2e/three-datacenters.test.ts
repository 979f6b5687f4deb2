import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  callAgent,
  DATACENTERS,
  type DatacenterName,
  LongLived,
  startThreeDatacenters,
  type ThreeDatacenters,
  waitFor,
} from '../harness/index.ts';

/** What a black hole may take until new connections go elsewhere, milliseconds. */
const BLACK_HOLE_MS = 15_000;
/** One attempt to reach an instance, milliseconds: for services by their resolver, for queries by the upstream. */
const ATTEMPT_MS = 2_000;

type Type = 'service' | 'prepared_query';
type State = 'alive' | 'dead' | 'black-holed';

/**
 * Who asks, and where db is looked for, in order. web in dc1 leaves out its own datacenter, as web in dc2 does, so that
 * every datacenter is somebody's first choice, second choice, or home.
 */
const OBSERVERS = {
  dc1: ['dc2', 'dc3'],
  dc2: ['dc1', 'dc3'],
} as const;
type Observer = keyof typeof OBSERVERS;

const ROWS = (['alive', 'dead', 'black-holed'] as const).flatMap((state) =>
  DATACENTERS.map((victim) => ({ victim, state })),
);

describe('three datacenters', () => {
  let mesh: ThreeDatacenters;
  const ports = new Map<string, number>();
  const portOf = (observer: Observer, type: Type | 'last'): number => ports.get(`${observer} ${type}`) ?? 0;

  beforeAll(async () => {
    mesh = await startThreeDatacenters({ delays: { dc2: 60, dc3: 5 } });
    const { dc1, dc2, dc3 } = mesh.of;
    await Promise.all([dc1, dc2, dc3].map((dc) => dc.service('db', [dc.name])));
    await callAgent(dc2.agent, 'PUT', '/v1/config', {
      Kind: 'service-resolver',
      Name: 'db',
      ConnectTimeout: `${ATTEMPT_MS}ms`,
      Failover: { '*': { Datacenters: ['dc3'] } },
    });
    await Promise.all(
      (['dc1', 'dc2'] as const).map(async (observer) => {
        const { agent, client } = mesh.of[observer];
        const Failover = { Datacenters: OBSERVERS[observer] };
        await callAgent(agent, 'POST', '/v1/query', {
          Name: 'geo-db',
          Service: { Service: 'db', Tags: [`!${observer}`], Failover },
        });
        const [service = 0, query = 0, last = 0] = await client('web', [
          { name: 'db', datacenter: OBSERVERS[observer][0] },
          { name: 'geo-db', type: 'prepared_query', config: { connect_timeout_ms: ATTEMPT_MS } },
          { name: 'db', datacenter: 'dc3' },
        ]);
        ports
          .set(`${observer} service`, service)
          .set(`${observer} prepared_query`, query)
          .set(`${observer} last`, last);
      }),
    );
  });

  afterAll(() => mesh?.stop());

  /**
   * Where the connections of an observer may go. While the first choice takes its load back from the row before, and
   * is not the one that is lost, both may.
   */
  const allowed = (observer: Observer, victim: DatacenterName, state: State): readonly string[] =>
    state === 'alive' ? [OBSERVERS[observer][0]] : OBSERVERS[observer].filter((datacenter) => datacenter !== victim);
  const everywhere = (check: (observer: Observer, type: Type) => Promise<void>): Promise<unknown> =>
    Promise.all(
      (['dc1', 'dc2'] as const).flatMap((observer) =>
        (['service', 'prepared_query'] as const).map((type) => check(observer, type)),
      ),
    );
  /** Everybody reaches the first choice again, and could reach the last one. */
  const settled = (): Promise<unknown> =>
    everywhere(async (observer, type) => {
      for (const [datacenter, port] of [
        [OBSERVERS[observer][0], portOf(observer, type)],
        ['dc3', portOf(observer, 'last')],
      ] as const)
        await waitFor(async () => (await ask(port, 'hello')) === `${datacenter}: hello`, {
          what: `web in ${observer} reaching ${datacenter}, as ${type}`,
          timeout: 30_000,
        });
    });
  it('orders NearestN by the distances between the servers', async () => {
    const { dc1 } = mesh.of;
    await waitFor(
      async () =>
        (await callAgent<readonly string[]>(dc1.agent, 'GET', '/v1/catalog/datacenters')).join() === 'dc1,dc3,dc2',
      { what: 'the measured distances' },
    );
    await callAgent(dc1.agent, 'POST', '/v1/query', {
      Name: 'near-db',
      Service: { Service: 'db', Tags: ['!dc1'], Failover: { NearestN: 1 } },
    });
    const [port = 0] = await dc1.client('near', [{ name: 'near-db', type: 'prepared_query' }]);
    for (let n = 0; n < 5; n += 1) expect(await ask(port, 'hello')).toBe('dc3: hello');
    for (const { control } of Object.values(mesh.of)) control.delay(0);
  });

  describe.each(ROWS)('$victim $state', ({ victim, state }) => {
    it(`leads every new connection on, services and queries alike`, { timeout: 90_000 }, async () => {
      const lost = mesh.of[victim];
      await settled();
      const open = state === 'black-holed' && victim === 'dc2' ? await openTo(portOf('dc1', 'service'), 'dc2') : [];
      if (state === 'dead') await lost.kill();
      if (state === 'black-holed') lost.blackHole();
      try {
        await everywhere(async (observer, type) => {
          for (let n = 0; n < 10; n += 1) {
            const [answered] = (await ask(portOf(observer, type), 'hello', BLACK_HOLE_MS)).split(':');
            expect(allowed(observer, victim, state), `${observer} ${type}`).toContain(answered);
          }
        });
        await Promise.all(open.map((connection) => connection.whenClosed));
        if (open.length > 0)
          await waitFor(async () => (await executed('dc1')) === 'dc3', { what: 'servers to find dc2 silent' });
      } finally {
        if (state === 'dead') await lost.revive();
        if (state === 'black-holed') await lost.heal();
      }
    });
  });

  it('leads on when the servers see no reason to: only the instances can not be reached', async () => {
    await settled();
    const { data } = mesh.of.dc2;
    for (const way of data) way.blackHole();
    for (const type of ['service', 'prepared_query'] as const)
      for (let n = 0; n < 10; n += 1)
        expect(await ask(portOf('dc1', type), 'hello', BLACK_HOLE_MS), type).toBe('dc3: hello');
    expect(await executed('dc1')).toBe('dc2'); // servers don't go that way
    for (const way of data) way.heal();
    await settled();
  }, 90_000);

  it('follows a change of the resolver, also to another service', async () => {
    const { dc1, dc3 } = mesh.of;
    await dc3.service('spare');
    const resolver = (changes: object): Promise<unknown> =>
      callAgent(dc1.agent, 'PUT', '/v1/config', { Kind: 'service-resolver', Name: 'db', ...changes });
    const leadsTo = (datacenter: string): Promise<unknown> =>
      waitFor(async () => (await ask(portOf('dc1', 'service'), 'hello')) === `${datacenter}: hello`, {
        what: `an answer from ${datacenter}`,
        timeout: 20_000, // well within a second where nothing else runs
      });
    await resolver({ Redirect: { Service: 'spare', Datacenter: 'dc3' } });
    await leadsTo('dc3');
    // What is dialled counts, not what was asked for.
    const pair = '/v1/connect/intentions/exact?source=web&destination=spare';
    await callAgent(dc1.agent, 'PUT', pair, { SourceType: 'consul', Action: 'deny' });
    await waitFor(
      () =>
        ask(portOf('dc1', 'service'), 'hello').then(
          () => false,
          () => true,
        ),
      { what: 'the refusal', timeout: 20_000 },
    );
    await callAgent(dc1.agent, 'DELETE', pair);
    await leadsTo('dc3');
    await resolver({ Redirect: { Datacenter: 'dc1' } });
    await leadsTo('dc1');
    await resolver({
      DefaultSubset: 'none',
      Subsets: { none: { Filter: 'Service.Meta.none == yes' } },
      Failover: { none: { Service: 'spare', Datacenters: ['dc3'] } },
    });
    await leadsTo('dc3');
    await resolver({});
    await leadsTo('dc2');
  }, 90_000);

  const executed = async (observer: Observer): Promise<string> => {
    const path = '/v1/query/geo-db/execute?connect=true';
    return (await callAgent<{ Datacenter: string }>(mesh.of[observer].agent, 'GET', path)).Datacenter;
  };
});

/** Connections that lead to a datacenter and stay open. */
async function openTo(port: number, datacenter: DatacenterName): Promise<readonly LongLived[]> {
  const open: LongLived[] = [];
  while (open.length < 2) {
    const connection = await LongLived.open(port);
    if (connection.answer.startsWith(datacenter)) open.push(connection);
    else connection.close(); // the load comes back step by step
  }
  return open;
}
