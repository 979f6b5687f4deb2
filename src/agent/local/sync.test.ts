import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CatalogDatacenter, startCatalogDatacenter } from '../../../test/fakes/catalog-contract.ts';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import { createLocalState } from './local-state.ts';
import type { LocalState } from './types.ts';

const SIGNAL = new AbortController().signal;
const NODE_ID = newUuid();

let clock: FakeClock;
let datacenter: CatalogDatacenter;
let local: LocalState;

async function setup(): Promise<void> {
  clock = new FakeClock();
  datacenter = await startCatalogDatacenter();
  local = createLocalState(
    {
      contract: datacenter.contract,
      clock,
      log: noLog,
      metrics: noMetrics,
      random: () => 0.5,
      token: () => 'agent-token',
    },
    { node: 'n1', nodeId: NODE_ID, datacenter: 'dc1', address: '10.0.0.1', taggedAddresses: { lan: '10.0.0.1' } },
  );
}

async function teardown(): Promise<void> {
  await local.stop();
  await datacenter.stop();
}

const services = () =>
  (datacenter.catalog.reads['catalog.nodeServices'].produce({ node: 'n1' })?.Services ?? []).map(
    ({ ID, Port, Tags }) => `${ID}:${Port}:${Tags?.join()}`,
  );
const checks = () =>
  datacenter.catalog.reads['health.node'].produce({ node: 'n1' }).map(({ CheckID, Status }) => `${CheckID}:${Status}`);
const ownServices = () => local.services().map(({ ID, Port, Tags }) => `${ID}:${Port}:${Tags.join()}`);
const ownChecks = () => local.checks().map(({ CheckID, Status }) => `${CheckID}:${Status}`);

/** Resolves once the agent knows of no difference; time moves on for retries. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 200; turn += 1) {
    await clock.advance(500);
    if (local.synced) return;
  }
  throw new Error('not synced after 100 s');
}

describe('sync to the catalog', () => {
  beforeEach(setup);
  afterEach(teardown);

  it('writes a service with its checks at once, then nothing until something changes', async () => {
    await local.start(SIGNAL);
    await settled();
    datacenter.writes.length = 0;
    await local.registerService({ Name: 'web', Check: { TTL: 3_600_000 } }, { token: 'web-token' });
    await clock.advance(0);
    expect(datacenter.writes.map(({ name, token }) => [name, token])).toEqual([['catalog.register', 'web-token']]);
    expect(checks()).toEqual(['service:web:critical']);
    await clock.advance(600_000);
    expect(datacenter.writes).toHaveLength(1);
    local.updateTtl('service:web', 'passing', '');
    await clock.advance(0);
    expect(datacenter.writes).toHaveLength(2);
    expect(checks()).toEqual(['service:web:passing']);
  });

  it('does not make a check critical because the agent was restarted, but when it has failed', async () => {
    const minute = 60_000;
    await datacenter.catalog.register({
      Node: 'n1',
      Address: '10.0.0.1',
      Service: { Service: 'web' },
      Checks: [{ CheckID: 'service:web', ServiceID: 'web', Status: 'passing', Output: 'of before' }],
    });
    const application = createServer((socket) => socket.destroy());
    application.listen(0, '127.0.0.1');
    await once(application, 'listening');
    const TCP = `127.0.0.1:${(application.address() as AddressInfo).port}`;
    await local.loadDefinitions([{ Name: 'web', Check: { TCP, Interval: minute, Timeout: minute } }], []);
    await local.start(SIGNAL);
    await clock.advance(0);
    expect(local.checks()).toMatchObject([{ Status: 'passing' }]);
    await settled();
    expect(checks()).toEqual(['service:web:passing']);
    application.close();
    await once(application, 'close');
    await clock.advance(2 * minute);
    while (!checks().includes('service:web:critical')) {
      await new Promise((resolve) => setImmediate(resolve));
      await clock.advance(0);
    }
  });

  it('takes many changes of one turn together', async () => {
    await local.start(SIGNAL);
    await settled();
    datacenter.writes.length = 0;
    await Promise.all([1, 2, 3, 4].map((Port) => local.registerService({ Name: 'web', Port })));
    await settled();
    expect(datacenter.writes).toHaveLength(1);
    expect(services()).toEqual(['web:4:']);
  });

  it('removes what the agent does not have, of its own node alone and not the server’s own rows', async () => {
    await datacenter.catalog.register({ Node: 'n2', Address: '10.0.0.2', Service: { Service: 'theirs' } });
    await datacenter.catalog.register({
      Node: 'n1',
      Address: '10.9.9.9',
      Service: { Service: 'consul' },
      Checks: [{ CheckID: 'serfHealth', Status: 'passing' }, { CheckID: 'stale' }],
    });
    await datacenter.catalog.register({ Node: 'n1', Address: '10.9.9.9', Service: { Service: 'ghost' } });
    await local.start(SIGNAL);
    await settled();
    expect(services()).toEqual(['consul:0:']);
    expect(checks()).toEqual(['serfHealth:passing']);
    expect(datacenter.catalog.reads['catalog.service'].produce({ service: 'theirs' })).toHaveLength(1);
    expect(datacenter.catalog.reads['catalog.node'].produce({ node: 'n1' })?.Node).toMatchObject({
      ID: NODE_ID,
      Address: '10.0.0.1',
      Meta: { 'consul-network-segment': '' },
    });
  });

  it('restores what somebody else changed or removed, at the next comparison', async () => {
    await local.registerService({ Name: 'web', Port: 1, Check: { TTL: 3_600_000 } });
    await local.start(SIGNAL);
    await settled();
    await datacenter.catalog.register({ Node: 'n1', SkipNodeUpdate: true, Service: { Service: 'web', Port: 99 } });
    await datacenter.catalog.deregister({ Node: 'n1', CheckID: 'service:web' });
    await clock.advance(80_000);
    expect(services()).toEqual(['web:1:']);
    expect(checks()).toEqual(['service:web:critical']);
    await datacenter.catalog.deregister({ Node: 'n1' });
    local.requestSync();
    await clock.advance(0);
    expect(services()).toEqual(['web:1:']);
  });

  it('leaves overridden tags to the catalog where the service allows it', async () => {
    await local.registerService({ Name: 'web', Tags: ['own'], EnableTagOverride: true });
    await local.start(SIGNAL);
    await settled();
    const row = { Service: 'web', Tags: ['theirs'], EnableTagOverride: true, Meta: {} };
    await datacenter.catalog.register({ Node: 'n1', SkipNodeUpdate: true, Service: row });
    await clock.advance(80_000);
    expect(services()).toEqual(['web:0:theirs']);
    expect(local.service('web').Tags).toEqual(['theirs']);
  });

  it('leaves overridden tags alone over a restart and when the files are read again', async () => {
    const row = { Service: 'web', Tags: ['theirs'], EnableTagOverride: true, Port: 1 };
    const Checks = [{ CheckID: 'service:web', ServiceID: 'web', Status: 'passing' }];
    await datacenter.catalog.register({ Node: 'n1', Address: '10.0.0.1', Service: row, Checks });
    const own = { Name: 'web', Tags: ['own'], EnableTagOverride: true, Port: 1, Check: { TTL: '1h' } };
    await local.loadDefinitions([own], []);
    await local.start(SIGNAL);
    await settled();
    expect(services()).toEqual(['web:1:theirs']);
    await local.loadDefinitions([own], []);
    await settled();
    expect(services()).toEqual(['web:1:theirs']);
    await local.loadDefinitions([{ ...own, Port: 2 }], []);
    await settled();
    expect(services()).toEqual(['web:2:theirs']);
    await local.loadDefinitions([{ ...own, Tags: ['new'] }], []);
    await settled();
    expect(services()).toEqual(['web:1:new']);
    const written = datacenter.writes.length;
    await clock.advance(200_000);
    expect(datacenter.writes).toHaveLength(written);
  });

  it('a registration that is refused holds up no other', async () => {
    await local.registerService({
      Name: 'bad',
      Connect: { SidecarService: { Proxy: { Upstreams: [{ DestinationName: '', LocalBindPort: 1 }] } } },
    });
    await local.registerService({ Name: 'good', Check: { TTL: 3_600_000 } });
    await local.start(SIGNAL);
    await settled();
    expect(services()).toEqual(['bad:0:', 'good:0:']);
    await local.deregisterService('bad');
    await settled();
    expect(services()).toEqual(['good:0:']);
  });

  it('tries again with a growing pause while the servers are away', async () => {
    await local.start(SIGNAL);
    await settled();
    let calls = 0;
    datacenter.onCall = () => {
      calls += 1;
      throw new IsthmusError('unavailable', 'no server');
    };
    await local.registerService({ Name: 'web' });
    await clock.advance(300_000);
    expect(calls).toBeGreaterThan(10);
    expect(calls).toBeLessThan(40);
    datacenter.onCall = () => undefined;
    await clock.advance(30_000);
    expect(services()).toEqual(['web:0:']);
  });
});

describe('whatever happens, the catalog gets there', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const port = fc.integer({ min: 1, max: 3 });
  const status = fc.constantFrom('passing', 'warning', 'critical');
  type Step = () => Promise<unknown>;

  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.tuple(name, port).map(
      ([Name, Port]): Step =>
        () =>
          local.registerService({ Name, Port, Check: { TTL: 3_600_000 } }),
    ),
    name.map(
      (id): Step =>
        () =>
          local.deregisterService(id),
    ),
    fc.tuple(name, status).map(
      ([id, to]): Step =>
        async () => {
          if (local.checks().some((check) => check.CheckID === `service:${id}`))
            local.updateTtl(`service:${id}`, to, '');
        },
    ),
    name.map(
      (Name): Step =>
        () =>
          local.registerCheck({ Name: `own-${Name}`, TTL: 3_600_000 }),
    ),
    name.map(
      (id): Step =>
        () =>
          local.deregisterCheck(`own-${id}`),
    ),
    fc.tuple(name, port).map(
      ([Service, Port]): Step =>
        () =>
          datacenter.catalog.register({ Node: 'n1', SkipNodeUpdate: true, Service: { Service, Port } }),
    ),
    name.map(
      (ServiceID): Step =>
        () =>
          datacenter.catalog.deregister({ Node: 'n1', ServiceID }),
    ),
    fc.constant((): Promise<unknown> => datacenter.catalog.deregister({ Node: 'n1' })),
    fc.integer({ min: 0, max: 5_000 }).map(
      (ms): Step =>
        () =>
          clock.advance(ms),
    ),
  );

  it('through random failures and random changes by others', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 25 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
        async (steps, failures) => {
          await setup();
          try {
            let calls = 0;
            datacenter.onCall = () => {
              calls += 1;
              if (failures[calls % failures.length]) throw new IsthmusError('unavailable', 'no server');
            };
            await local.start(SIGNAL);
            for (const run of steps) await run();
            datacenter.onCall = () => undefined;
            local.requestSync();
            await settled();
            expect(services()).toEqual(ownServices());
            expect(checks()).toEqual(ownChecks());
          } finally {
            await teardown();
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});
