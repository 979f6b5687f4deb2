import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { UserEvent } from '../../src/model/event.ts';
import type { Recording } from '../conformance/recording.ts';
import {
  type AgentProcess,
  assertNoneLeft,
  callAgent,
  isthmus,
  startAgent,
  startBed,
  waitFor,
} from '../harness/index.ts';

const running: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const process of running.splice(0).reverse()) await process.stop();
  await assertNoneLeft();
});

async function start(options: Parameters<typeof startAgent>[0]): Promise<AgentProcess> {
  const agent = await startAgent(options);
  running.push(agent);
  return agent;
}

const eventsOf = (agent: AgentProcess, query = ''): Promise<readonly UserEvent[]> =>
  callAgent<readonly UserEvent[]>(agent, 'GET', `/v1/event/list${query}`);

async function hears(agent: AgentProcess, name: string): Promise<UserEvent> {
  return waitFor(async () => (await eventsOf(agent, `?name=${name}`)).at(-1), { what: `event ${name}` });
}

/** IDs and places are made anew each time. */
const shapeOf = (body: unknown): unknown =>
  JSON.parse(JSON.stringify(body), (key, value) => (key === 'ID' ? 'an ID' : key === 'LTime' ? value > 0 : value));

it('answers what Consul answered', async () => {
  const agent = await start({ name: 'dc1-s1', datacenter: 'dc1' });
  const golden = join(import.meta.dirname, '..', 'conformance', 'golden', 'txn-and-events.json');
  const recordings = (JSON.parse(readFileSync(golden, 'utf8')) as Recording[]).filter(({ request }) =>
    request.path.startsWith('/v1/event/'),
  );
  expect(recordings.length).toBeGreaterThan(5);
  for (const { name, request, response } of recordings) {
    if (name === '/v1/event/list') await hears(agent, 'other');
    const body = request.body === '2,000 bytes' ? 'x'.repeat(2_000) : (request.body as string | undefined);
    const answer = await agent.http(request.method, request.path, body);
    const json = answer.headers['content-type'] === 'application/json';
    expect([name, answer.status, json ? shapeOf(answer.json()) : answer.body]).toEqual([
      name,
      response.status,
      shapeOf(response.body),
    ]);
    const { 'x-consul-index': index } = response.headers;
    if (index === '1') expect(answer.headers['x-consul-index']).toBe('1');
    else if (index !== undefined) expect(answer.headers['x-consul-index']).toMatch(/^\d{10,20}$/);
  }
}, 120_000);

it('reach every agent of the datacenter that they are for, and another datacenter when it is named', async () => {
  const bed = await startBed();
  running.push(bed);
  const { dc1, dc2 } = bed;
  const client = (name: string): Promise<AgentProcess> =>
    start({ name, datacenter: 'dc1', config: { server: false, retry_join: [dc1.ready.serf_lan] } });
  const [web, db] = [await client('web-1'), await client('db-1')];
  await callAgent(web, 'PUT', '/v1/agent/service/register', { Name: 'web', Tags: ['blue'] });
  for (const agent of [web, db]) await agent.http('GET', '/v1/status/leader');

  // Blocks until the next one: fired at one agent, it wakes another.
  await callAgent(web, 'PUT', '/v1/event/fire/first', 'payload');
  const first = await hears(db, 'first');
  expect(first).toMatchObject({ Payload: Buffer.from('payload').toString('base64'), Version: 1 });
  const before = await db.http('GET', '/v1/event/list');
  const woken = db.http('GET', `/v1/event/list?index=${before.headers['x-consul-index']}&wait=60s`);
  const fired = await callAgent<UserEvent>(dc1, 'PUT', '/v1/event/fire/second');
  const after = await woken;
  expect((after.json() as readonly UserEvent[]).at(-1)?.ID).toBe(fired.ID);
  expect(after.headers['x-consul-index']).not.toBe(before.headers['x-consul-index']);

  await callAgent(dc1, 'PUT', '/v1/event/fire/blue-only?service=%5Eweb%24&tag=blue');
  await callAgent(dc1, 'PUT', '/v1/event/fire/db-only?node=%5Edb-');
  await callAgent(dc1, 'PUT', '/v1/event/fire/far?dc=dc2');
  await callAgent(dc1, 'PUT', '/v1/event/fire/last');
  await Promise.all([web, db, dc1].map((agent) => hears(agent, 'last')));
  const heard = async (agent: AgentProcess): Promise<readonly string[]> =>
    (await eventsOf(agent)).map(({ Name }) => Name);
  expect(await heard(web)).toEqual(['first', 'second', 'blue-only', 'last']);
  expect(await heard(db)).toEqual(['first', 'second', 'db-only', 'last']);
  expect(await heard(dc1)).toEqual(['first', 'second', 'last']);
  await hears(dc2, 'far');
  expect(await heard(dc2)).toEqual(['far']);

  // An agent that starts does not carry out old events.
  await db.restart();
  await callAgent(dc1, 'PUT', '/v1/event/fire/afterwards');
  await hears(db, 'afterwards');
  expect(await heard(db)).toEqual(['afterwards']);
}, 240_000);

it('are fired and seen by who may', async () => {
  const token = 'c0ffee00-0000-4000-8000-000000000001';
  const agent = await start({
    name: 'dc1-s1',
    datacenter: 'dc1',
    config: { acl: { enabled: true, default_policy: 'deny', tokens: { initial_management: token } } },
  });
  const as = (secret: string): Record<string, string> => ({ 'X-Consul-Token': secret });
  const make = async (rules: string): Promise<string> => {
    const Name = `p${rules.length}`;
    await agent.http('PUT', '/v1/acl/policy', { Name, Rules: rules }, as(token));
    const made = await agent.http('PUT', '/v1/acl/token', { Policies: [{ Name }] }, as(token));
    return (made.json() as { SecretID: string }).SecretID;
  };
  const writer = await make('event "deploy" { policy = "write" }');
  const reader = await make('event_prefix "other" { policy = "read" }');
  const refused = await agent.http('PUT', '/v1/event/fire/deploy', 'x', as(reader));
  expect([refused.status, refused.body]).toEqual([403, expect.stringContaining('Permission denied')]);
  expect((await agent.http('PUT', '/v1/event/fire/other-1', 'x', as(writer))).status).toBe(403);
  expect((await agent.http('PUT', '/v1/event/fire/other-1', 'x', as(token))).status).toBe(200);
  expect((await agent.http('PUT', '/v1/event/fire/deploy', 'x', as(writer))).status).toBe(200);
  const seen = async (secret: string): Promise<readonly string[]> =>
    ((await agent.http('GET', '/v1/event/list', undefined, as(secret))).json() as UserEvent[]).map(({ Name }) => Name);
  await waitFor(async () => (await seen(token)).length === 2, { what: 'both events' });
  expect(await seen(writer)).toEqual(['deploy']);
  expect(await seen(reader)).toEqual(['other-1']);
  const anonymous = await agent.http('GET', '/v1/event/list');
  expect([anonymous.status, anonymous.json(), anonymous.headers['x-consul-index']]).toEqual([200, [], '1']);
}, 120_000);

it('are fired by the command line', async () => {
  const agent = await start({ name: 'dc1-s1', datacenter: 'dc1' });
  const http = `-http-addr=${agent.ready.http}`;
  const done = await isthmus(['event', http, '-name=deploy', 'payload']);
  expect([done.code, done.out]).toEqual([0, expect.stringMatching(/^Event ID: [0-9a-f-]{36}\n$/)]);
  expect(await hears(agent, 'deploy')).toMatchObject({ Payload: Buffer.from('payload').toString('base64') });
  const nameless = await isthmus(['event', http]);
  expect([nameless.code, nameless.err.split('\n')[0]]).toEqual([1, 'Event name must be specified']);
}, 120_000);
