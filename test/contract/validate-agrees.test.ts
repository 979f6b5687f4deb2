import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createLocalState } from '../../src/agent/local/local-state.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { LoadedConfig } from '../../src/config/types.ts';
import { IsthmusError } from '../../src/lib/errors.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import { type CatalogDatacenter, startCatalogDatacenter } from '../fakes/catalog-contract.ts';
import { FakeClock } from '../fakes/fake-clock.ts';

// What `isthmus validate` takes the agent takes at its start, whatever the definitions are.
let datacenter: CatalogDatacenter;
beforeAll(async () => {
  datacenter = await startCatalogDatacenter();
});
afterAll(() => datacenter.stop());

function validated(definitions: object): LoadedConfig | undefined {
  try {
    return loadConfig(
      { flags: {}, sources: [{ kind: 'file', path: 'c.json' }], dev: true, onlyFiles: true },
      {
        readFile: () =>
          JSON.stringify({ ...definitions, ports: { sidecar_min_port: 30_000, sidecar_max_port: 30_002 } }),
        listDir: () => undefined,
        hostname: () => 'h',
        interfaces: () => [],
      },
    );
  } catch (error) {
    expect(error).toBeInstanceOf(IsthmusError);
    return undefined;
  }
}

const id = fc.constantFrom('a', 'b', 'c', 'a-sidecar-proxy');
const port = fc.constantFrom(0, 1, 80, 30_000, 30_001, 65_535);
const duration = fc.constantFrom('0s', '10s', '');
const some = <T>(values: Record<string, fc.Arbitrary<T>>): fc.Arbitrary<object> =>
  fc.record(values, { requiredKeys: [] });

/** Mostly what makes sense, so that much of it is taken. */
const mostly = (good: fc.Arbitrary<object>, wild: fc.Arbitrary<object>): fc.Arbitrary<object> =>
  fc.oneof(
    { weight: 12, arbitrary: good },
    { weight: 1, arbitrary: fc.tuple(good, wild).map(([a, b]) => ({ ...a, ...b })) },
  );

const wildCheck = some<unknown>({
  id,
  name: id,
  ttl: duration,
  http: fc.constantFrom('http://x', ''),
  tcp: fc.constantFrom('127.0.0.1:1', ''),
  interval: duration,
  args: fc.constantFrom([], ['/bin/x']),
  alias_service: id,
  alias_node: fc.constantFrom('', 'n2'),
  status: fc.constantFrom('passing', '', 'fine'),
});
const goodCheck = fc.oneof(
  fc.record({ id, name: id, ttl: fc.constant('10s') }),
  fc.record({ id, name: id, http: fc.constant('http://x'), interval: fc.constant('10s') }),
  fc.record({ id, name: id, alias_service: id }),
);
const check = mostly(goodCheck, wildCheck);

const proxy = some<unknown>({
  destination_service_name: fc.constantFrom('', '*', 'a'),
  upstreams: fc.array(
    some<unknown>({ destination_name: fc.constantFrom('', '*', 'db'), local_bind_port: port, destination_type: id }),
    { maxLength: 2 },
  ),
});
const wildService = some<unknown>({
  id,
  name: id,
  kind: fc.constantFrom('', 'connect-proxy'),
  port,
  address: fc.constantFrom('', '0.0.0.0', '10.0.0.1'),
  weights: some({ passing: fc.constantFrom(0, 1, 70_000) }),
  meta: fc.constantFrom({}, { 'a b': 'c' }, { a: 'b' }),
  check,
  checks: fc.array(check, { maxLength: 2 }),
  proxy,
  connect: some<unknown>({
    native: fc.boolean(),
    sidecar_service: some<unknown>({ port, id, proxy, checks: fc.array(check) }),
  }),
});

const goodService = fc.oneof(
  fc.record({ id, name: id, port, check }),
  fc.record({ id, name: id, checks: fc.array(check, { maxLength: 2 }) }),
  fc.record({ id, name: id, connect: fc.record({ sidecar_service: some({ port }) }) }),
);
const service = mostly(goodService, wildService);

it('the agent takes at its start what validate takes', async () => {
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(service, { maxLength: 3 }),
      fc.array(fc.tuple(check, fc.option(id)), { maxLength: 2 }),
      async (services, checks) => {
        const loaded = validated({
          services,
          checks: checks.map(([given, of]) => ({ ...given, ...(of === null ? {} : { service_id: of }) })),
        });
        if (loaded === undefined) return;
        taken += services.length + checks.length > 0 ? 1 : 0;
        const local = createLocalState(
          { contract: datacenter.contract, clock: new FakeClock(), log: noLog, metrics: noMetrics, random: () => 0.5 },
          {
            node: 'n1',
            nodeId: '',
            datacenter: 'dc1',
            address: '10.0.0.1',
            taggedAddresses: {},
            sidecarPorts: { min: 30_000, max: 30_002 },
          },
        );
        await local.loadDefinitions(loaded.config.services, loaded.config.checks);
        await local.stop();
      },
    ),
    { numRuns: 1_000 },
  );
  expect(taken).toBeGreaterThan(100);
});
