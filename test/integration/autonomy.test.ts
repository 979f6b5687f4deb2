import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Autonomy } from '../../src/model/autonomy.ts';
import { type InProcessAgent, startInProcess } from '../harness/in-process-agent.ts';
import { waitFor } from '../harness/wait-for.ts';
import { ShiftedClock } from './shifted-clock.ts';

/** What is foretold of a cut, and a cut by the clock that both datacenters share. */

const clock = new ShiftedClock();
const HOUR = 3_600;
let dc1: InProcessAgent;
let dc2: InProcessAgent;

beforeAll(async () => {
  const start = (name: string, datacenter: string, more: object): Promise<InProcessAgent> =>
    startInProcess({ name, datacenter, clock, config: { primary_datacenter: 'dc1', log_level: 'error', ...more } });
  // Short, so that the cut is found in steps that are short too.
  const connect = { enabled: true, ca_config: { intermediate_cert_ttl: '96h', leaf_cert_ttl: '1h' } };
  dc1 = await start('a', 'dc1', { connect });
  dc2 = await start('b', 'dc2', { retry_join_wan: [dc1.ready.serf_wan] });
  await waitFor(async () => (await leaf()) === 200, { what: 'the intermediate of dc2' });
});

afterAll(async () => {
  await dc1?.stop();
  await dc2?.stop();
});

let asked = 0;

/** Whether a service that is new can have a certificate that is good now. */
async function leaf(): Promise<number> {
  asked += 1;
  const answer = await dc2.http('GET', `/v1/agent/connect/ca/leaf/service-${asked}`);
  if (answer.status !== 200) return answer.status;
  const { ValidBefore } = answer.json<{ ValidBefore: string }>();
  return Date.parse(ValidBefore) > clock.now() ? 200 : 500;
}

async function foretold(agent: InProcessAgent): Promise<Autonomy> {
  return (await agent.http('GET', '/v1/internal/autonomy')).json<Autonomy>();
}

it('is foretold within one percent', async () => {
  expect(await foretold(dc1)).toMatchObject({ Datacenter: 'dc1', Primary: true, Seconds: null, LimitedBy: '' });
  const before = await foretold(dc2);
  expect(before).toMatchObject({ Datacenter: 'dc2', Primary: false, LimitedBy: 'intermediate' });
  const predicted = before.Seconds ?? 0;
  expect(predicted).toBeGreaterThan(90 * HOUR);
  const began = clock.now();
  expect(Math.abs(Date.parse(before.EndsAt) - (began + predicted * 1_000))).toBeLessThan(60_000);

  await dc1.stop();
  let lasted = 0;
  while ((await leaf()) === 200) {
    lasted = (clock.now() - began) / 1_000;
    expect(lasted, 'it goes on for ever').toBeLessThan(predicted * 2);
    clock.advance((lasted < predicted * 0.97 ? 2 * HOUR : HOUR / 4) * 1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const ended = (clock.now() - began) / 1_000;
  // It ended somewhere in the last step.
  expect(lasted).toBeLessThanOrEqual(predicted * 1.01);
  expect(ended).toBeGreaterThanOrEqual(predicted * 0.99);
  expect(await foretold(dc2)).toMatchObject({ Seconds: 0, LimitedBy: 'intermediate' });
});
