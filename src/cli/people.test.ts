import { afterEach, describe, expect, it } from 'vitest';
import { fakeAgent, Refusal, runCommand as run, serve, stopFakeAgents } from '../../test/fakes/command-line.ts';

// What people meet at the command line, beside what Consul's prints.
afterEach(stopFakeAgents);

describe('what is not meant is not done', () => {
  it.each([
    ['intention create web dc2/db', /"dc2\/db" would be "db" in the namespace "dc2", .* "db@dc2"\.$/m],
    ['intention check team/web db', /namespace "team"/],
    ['intention create -file -meta a=b x.json', /^-meta has no effect on an intention of a file/],
    ['intention create -file -deny x.json', /^-deny has no effect/],
    ['services register -meta a=b x.hcl', /^-meta has no effect on services of files/],
  ])('%s', async (line, text) => {
    const agent = await fakeAgent({});
    const { status, stderr } = await run([...line.split(' '), `-http-addr=${agent.address}`]);
    expect(status).toBe(line.includes('check') ? 2 : 1);
    expect(stderr).toMatch(text);
    expect(agent.seen).toEqual([]);
  });

  it('an intention of the default namespace may be written with it', async () => {
    const agent = await fakeAgent({ 'POST /v1/connect/intentions': { ID: 'x' } });
    const { stdout } = await run(['intention', 'create', 'default/web', 'default/db', `-http-addr=${agent.address}`]);
    expect(stdout).toBe('Created: web => db (allow)\n');
  });

  it('a service that is not there is not deregistered', async () => {
    const agent = await fakeAgent({ 'GET /v1/agent/service/wbe': new Refusal(404, 'unknown service ID: wbe') });
    const { status, stderr } = await run(['services', 'deregister', '-id=wbe', `-http-addr=${agent.address}`]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: 'Error deregistering service "wbe": this agent has no service with the ID "wbe"\n',
    });
    expect(agent.seen).toEqual(['GET /v1/agent/service/wbe']);
  });
});

describe('a namespace or a partition that is not there', () => {
  it.each([
    [['-namespace=team'], {}, '-namespace: there is no namespace "team" here: a datacenter has one, "default"'],
    [['-partition', 'p'], {}, '-partition: there is no partition "p" here: a datacenter has one, "default"'],
    [[], { CONSUL_NAMESPACE: 'team' }, 'CONSUL_NAMESPACE: there is no namespace "team" here'],
    [[], { ISTHMUS_NAMESPACE: 'team' }, 'ISTHMUS_NAMESPACE: there is no namespace "team" here'],
    [[], { CONSUL_PARTITION: 'p' }, 'CONSUL_PARTITION: there is no partition "p" here'],
  ])('%j %j is refused before anything is asked', async (flags, env, text) => {
    const agent = await fakeAgent({});
    for (const command of ['members', 'catalog services', 'intention list', 'config list -kind=mesh']) {
      const args = [...command.split(' '), ...flags, `-http-addr=${agent.address}`];
      const { status, stderr } = await run(args, { env });
      expect({ status, told: stderr.includes(text) }, stderr).toEqual({ status: 1, told: true });
    }
    expect(agent.seen).toEqual([]);
  });

  it('the default one is taken', async () => {
    const agent = await fakeAgent({ 'GET /v1/catalog/datacenters': ['dc1'] });
    const args = ['catalog', 'datacenters', '-namespace=default', `-http-addr=${agent.address}`];
    expect(await run(args, { env: { CONSUL_PARTITION: 'default' } })).toMatchObject({ status: 0, stdout: 'dc1\n' });
  });
});

it('monitor that is interrupted ends without an error', async () => {
  const stop = new AbortController();
  const address = await serve((_request, response) => void response.write('{"msg":"first"}\n'));
  const { status, stderr } = await run(['monitor', `-http-addr=${address}`], {
    stopSignal: () => stop.signal,
    out: () => stop.abort(),
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});

it('monitor shows readable lines on a terminal, and JSON elsewhere or when asked', async () => {
  const json = '{"level":"info","time":"2026-01-01T00:00:00.000Z","node":"n1","msg":"größer","count":3}\n';
  const bytes = Buffer.from(json.repeat(2));
  const cut = bytes.indexOf('ö') + 1; // within a character
  const address = await serve((_request, response) => {
    response.write(bytes.subarray(0, cut));
    setImmediate(() => response.end(bytes.subarray(cut)));
  });
  const shown = async (outIsTerminal: boolean, ...flags: readonly string[]): Promise<string> => {
    const { stdout } = await run(['monitor', `-http-addr=${address}`, ...flags], { outIsTerminal });
    return stdout;
  };
  expect(await shown(true)).toBe('2026-01-01T00:00:00.000Z [INFO]  größer: count=3\n'.repeat(2));
  expect(await shown(true, '-log-json')).toBe(json.repeat(2));
  expect(await shown(false)).toBe(json.repeat(2));
});

it('info -alive says whether the agent answers, without a token', async () => {
  const agent = await fakeAgent({ 'GET /v1/agent/self': new Refusal(403, 'Permission denied') });
  const args = ['info', '-alive', `-http-addr=${agent.address}`];
  expect(await run(args)).toEqual({ status: 0, stdout: '', stderr: '' });
  await stopFakeAgents();
  expect((await run(args)).status).toBe(1);
});

it('members shows client agents with their address', async () => {
  const client = { Name: 'n1', Addr: '10.0.0.5', Port: 0, Tags: { role: 'node', dc: 'dc1' }, Status: 1 };
  const six = { ...client, Name: 'n2', Addr: 'fd00::5' };
  const agent = await fakeAgent({ 'GET /v1/agent/members?segment=_all': [client, six] });
  const { stdout } = await run(['members', `-http-addr=${agent.address}`]);
  expect(stdout).toMatch(/^n1 +10\.0\.0\.5 +alive +client/m);
  expect(stdout).toMatch(/^n2 +fd00::5 +alive +client/m);
});
