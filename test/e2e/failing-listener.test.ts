import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { type AgentProcess, assertNoneLeft, startAgent } from '../harness/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'isthmus-sabotage-'));
afterAll(() => rmSync(folder, { recursive: true }));

let agent: AgentProcess | undefined;
afterEach(async () => {
  await agent?.stop();
  await assertNoneLeft();
});

/**
 * Loaded into the agent's process before the program: at SIGUSR2 the system says of the listener on the port in the
 * file what it says of a listening socket that can't take connections any more, or closes it.
 */
const SABOTAGE = `
import { readFileSync } from 'node:fs';
process.on('SIGUSR2', () => {
  const { port, how } = JSON.parse(readFileSync(process.env.SABOTAGE_FILE, 'utf8'));
  for (const one of process._getActiveHandles()) {
    const address = typeof one.address === 'function' && typeof one.close === 'function' ? one.address() : undefined;
    if (address?.port !== port) continue;
    if (how === 'close') one.close();
    else one._handle.onconnection(how === 'EMFILE' ? -24 : -22);
  }
});
`;

async function sabotaged(): Promise<{ agent: AgentProcess; fail: (port: number, how: string) => void }> {
  const [code, file] = [join(folder, 'sabotage.mjs'), join(folder, 'sabotage.json')];
  writeFileSync(code, SABOTAGE);
  const env = { NODE_OPTIONS: `--import ${code}`, SABOTAGE_FILE: file };
  agent = await startAgent({ name: 's1', datacenter: 'dc1', env });
  const started = agent;
  return {
    agent: started,
    fail(port, how) {
      writeFileSync(file, JSON.stringify({ port, how }));
      started.signal('SIGUSR2');
    },
  };
}

const portOf = (address: string | undefined): number => Number(address?.slice(address.lastIndexOf(':') + 1));

it.each([
  ['server port', 'serf_lan', 'EINVAL', /rpc listener: ports\.serf_lan on 127\.0\.0\.1:\d+ failed/],
  ['HTTP API', 'http', 'EINVAL', /http: the HTTP API on 127\.0\.0\.1:\d+ failed/],
  ['DNS', 'dns', 'close', /dns.*: ports\.dns \((TCP|UDP)\) was closed from outside/i],
])('that fails later (%s) stops the agent with that cause and a code that is not 0', async (_what, key, how, text) => {
  const { agent: one, fail } = await sabotaged();
  fail(portOf(one.ready[key as 'http'] as string), how);
  const exit = await one.exited;
  expect(exit).toEqual({ code: 1, signal: null });
  expect(one.log()).toMatch(/a part of the agent has failed: the agent stops/);
  expect(one.log()).toMatch(text);
  expect(one.log()).toMatch(/"msg":"stopped"/);
});

it('goes on where only one connection could not be taken', async () => {
  const { agent: one, fail } = await sabotaged();
  fail(portOf(one.ready.http), 'EMFILE');
  await expect.poll(() => one.log()).toMatch(/a connection was not taken/);
  expect((await one.http('GET', '/v1/status/leader')).status).toBe(200);
});

it('a client agent that finds no server within its tries stops with that cause and exit code 1', async () => {
  agent = await startAgent({
    name: 'n1',
    datacenter: 'dc1',
    config: { server: false, retry_join: ['127.0.0.1:1'], retry_max: 2, retry_interval: '100ms', ports: { dns: -1 } },
  });
  expect(await agent.exited).toMatchObject({ code: 1 });
  expect(agent.log()).toMatch(/no server was found in 2 tries: 127\.0\.0\.1:1: .*ECONNREFUSED.*the agent stops/);
});
