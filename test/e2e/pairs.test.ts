import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Explanation } from '../../src/model/intention.ts';
import {
  ask,
  assertNoneLeft,
  callAgent,
  DATACENTERS,
  type DatacenterName,
  envoyProgram,
  type MemberKind,
  startThreeDatacenters,
  type ThreeDatacenters,
  waitFor,
} from '../harness/index.ts';

const envoy = envoyProgram();
const KINDS: readonly MemberKind[] = ['built-in', 'Envoy', 'native'];
/** What a new connection may take until another datacenter answers, and how soon the first one is used again. */
const FAILOVER_MS = 15_000;
const RETURN_MS = 60_000;

interface Pair {
  readonly title: string;
  readonly source: string;
  readonly destination: string;
  /** Local port that leads to the destination in each datacenter. */
  readonly ports: Readonly<Record<DatacenterName, number>>;
}

/** Clients of each kind in dc1, services of each kind in all three datacenters: nine pairs, one set of processes. */
describe.skipIf(envoy.missing)(envoy.title('every pair of Envoy, built-in sidecar and native application'), () => {
  let mesh: ThreeDatacenters;
  const pairs: Pair[] = [];
  const each = (what: (pair: Pair) => Promise<void>): Promise<unknown> => Promise.all(pairs.map(what));

  beforeAll(async () => {
    mesh = await startThreeDatacenters({ envoys: true });
    const { dc1 } = mesh.of;
    const nameOf = (kind: MemberKind): string => `db-${kind.toLowerCase()}`;
    for (const kind of KINDS)
      await callAgent(dc1.agent, 'PUT', '/v1/config', {
        Kind: 'service-resolver',
        Name: nameOf(kind),
        ConnectTimeout: '1s',
        Failover: { '*': { Datacenters: ['dc2', 'dc3'] } },
      });
    for (const kind of KINDS)
      await Promise.all(DATACENTERS.map((name) => mesh.of[name].service(nameOf(kind), [], kind)));
    for (const from of KINDS) {
      const upstreams = KINDS.flatMap((to) =>
        DATACENTERS.map((datacenter) => ({
          name: nameOf(to),
          ...(datacenter === 'dc1' ? {} : { datacenter }),
        })),
      );
      const source = `web-${from.toLowerCase()}`;
      const ports = await dc1.client(source, upstreams, from);
      for (const [n, to] of KINDS.entries()) {
        const [own = 0, second = 0, third = 0] = ports.slice(3 * n);
        const of = { dc1: own, dc2: second, dc3: third };
        pairs.push({ title: `${from} to ${to}`, source, destination: nameOf(to), ports: of });
      }
    }
  }, 120_000);
  afterAll(async () => {
    await mesh?.stop();
    await assertNoneLeft();
  });

  it('a request gets through, within a datacenter and across', async () => {
    await each(async ({ title, ports }) => {
      for (const name of DATACENTERS)
        expect(
          await waitFor(async () => (await ask(ports[name], 'hello')).startsWith(name), {
            what: `${title} in ${name}`,
            timeout: 20_000,
          }),
        ).toBe(true);
    });
  }, 60_000);

  it('a deny holds for it in every datacenter, and is explained', async () => {
    const { dc1, dc3 } = mesh.of;
    const intend = (Action: string, { source, destination }: Pair): Promise<unknown> =>
      callAgent(dc1.agent, 'PUT', `/v1/connect/intentions/exact?source=${source}&destination=${destination}`, {
        Action,
      });
    for (const pair of pairs) await intend('deny', pair);
    await each(async ({ title, source, destination, ports }) => {
      const question = `/v1/internal/explain?source=${source}&destination=${destination}`;
      const why = await waitFor(
        async () => {
          const said = await callAgent<Explanation>(dc3.agent, 'GET', question);
          return !said.Allowed && said;
        },
        { what: `${title} to be denied in dc3` },
      );
      expect(JSON.stringify(why), title).toContain(destination);
      for (const name of DATACENTERS)
        await waitFor(
          () =>
            ask(ports[name], 'hello').then(
              () => false,
              () => true,
            ),
          { what: `${title} in ${name}` },
        );
    });
    for (const pair of pairs) await intend('allow', pair);
    await each(async ({ title, ports }) => {
      for (const name of DATACENTERS)
        await waitFor(() => ask(ports[name], 'hello'), { what: `${title} in ${name} again`, timeout: 20_000 });
    });
  }, 60_000);

  it('a datacenter that is black-holed is replaced by the next one, and comes back', async () => {
    const { dc2 } = mesh.of;
    dc2.blackHole();
    const told: string[] = [];
    await each(async ({ title, ports }) => {
      let failed = 0;
      let longest = 0;
      const startedAt = performance.now();
      for (let answered = 0; answered < 10; ) {
        const begunAt = performance.now();
        const answer = await ask(ports.dc2, 'hello', FAILOVER_MS).catch((error: Error) => error);
        longest = Math.max(longest, performance.now() - begunAt);
        if (answer instanceof Error) {
          failed += 1;
          told.push(`${title}: connection ${answered + failed} failed: ${answer.message}`);
          expect(failed, title).toBeLessThanOrEqual(1);
          expect(performance.now() - startedAt, title).toBeLessThan(FAILOVER_MS);
          continue;
        }
        expect(answer, title).toBe('dc3: hello');
        answered += 1;
      }
      told.push(`${title}: ${failed} failed, the longest took ${Math.round(longest)} ms`);
    });
    console.log(told.join('\n'));
    await dc2.heal();
    const healedAt = performance.now();
    await each(({ title, ports }) =>
      waitFor(async () => (await ask(ports.dc2, 'hello')) === 'dc2: hello', {
        what: `${title}: the way back`,
        timeout: RETURN_MS,
        interval: 200,
      }).then(() => undefined),
    );
    console.log(`all use it again ${Math.round(performance.now() - healedAt)} ms after it was healed`);
  }, 120_000);
});
