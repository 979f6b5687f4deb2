import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AgentProcess, assertNoneLeft, BINARY, callAgent, isthmus, startAgent } from '../harness/index.ts';

let agent: AgentProcess;
let http: string;

beforeAll(async () => {
  agent = await startAgent({ name: 'dc1-s1', datacenter: 'dc1' });
  http = `-http-addr=${agent.ready.http}`;
}, 60_000);
afterAll(async () => {
  await agent?.stop();
  await assertNoneLeft();
});

describe('isthmus maint', () => {
  it('says what Consul’s says', async () => {
    const run = (...args: readonly string[]) => isthmus(['maint', http, ...args]);
    const ok = (out: string) => ({ code: 0, out, err: '' });
    expect(await run()).toEqual(ok(''));
    expect(await run('-enable', '-reason=why')).toEqual(ok('Node maintenance is now enabled\n'));
    expect(await run()).toEqual(ok('Node:\n  Name:   dc1-s1\n  Reason: why\n\n'));
    expect(await run('-disable')).toEqual(ok('Node maintenance is now disabled\n'));
    expect(await run()).toEqual(ok(''));
    expect(await run('-enable', '-service=absent')).toEqual({
      code: 1,
      out: '',
      err:
        'Error enabling service maintenance: Unexpected response code: 404 (No service registered with ID ' +
        '"absent")\n',
    });
    await callAgent(agent, 'PUT', '/v1/agent/service/register', { Name: 'web' });
    expect(await run('-enable', '-service=web')).toMatchObject({ code: 0 });
    expect((await run()).out).toContain('Service:\n  ID:     web\n  Reason: Maintenance mode is enabled');
    expect((await run('-enable', '-disable')).err).toBe('Only one of -enable or -disable may be provided\n');
  }, 120_000);
});

it('isthmus keygen makes 32 random bytes', async () => {
  const [first, second] = await Promise.all([isthmus(['keygen']), isthmus(['keygen'])]);
  expect([first.code, first.err, first.out.trim().length]).toEqual([0, '', 44]);
  expect(Buffer.from(first.out, 'base64')).toHaveLength(32);
  expect(first.out).not.toBe(second.out);
}, 60_000);

it('isthmus exec says why it is not there', async () => {
  const { code, out, err } = await isthmus(['exec', http, 'uptime']);
  expect([code, out]).toEqual([127, '']);
  expect(err).toMatch(/^"exec" is left out on purpose: .*docs\/events-and-watches\.md/);
}, 60_000);

it('a shell learns how its line may go on', () => {
  const ask = (line: string, ...args: readonly string[]): string =>
    spawnSync(BINARY, args, {
      env: { ...process.env, COMP_LINE: line, COMP_POINT: String(line.length) },
      encoding: 'utf8',
    }).stdout;
  expect(ask('isthmus mem', 'isthmus', 'mem', 'isthmus')).toBe('members\n'); // as bash asks
  expect(ask('isthmus connect c')).toBe('ca\n'); // as fish does
  // A script that was started by a completion goes on as it is.
  expect(ask('isthmus x', 'version')).toMatch(/^Isthmus v/);
}, 60_000);
