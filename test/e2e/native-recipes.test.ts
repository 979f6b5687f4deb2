import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type AgentProcess,
  ask,
  assertNoneLeft,
  callAgent,
  freePorts,
  type MeshService,
  type NativeApplication,
  program,
  startAgent,
  startEcho,
  startMeshService,
  startNative,
  waitFor,
} from '../harness/index.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const python = program('python3');
const go = program('go');

/** The programs of docs/native-applications.md as they stand there, and the example, beside what they talk to. */
describe('native applications as documented', () => {
  let agent: AgentProcess;
  let sidecar: MeshService;
  let native: NativeApplication;
  let folder: string;
  const stops: (() => Promise<unknown>)[] = [];

  const run = (command: string, ...args: readonly string[]): Running => {
    const env = { ...process.env, CONSUL_HTTP_ADDR: agent.ready.http };
    const child = spawn(command, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
    stops.push(async () => {
      child.kill('SIGTERM');
      await exited;
    });
    return { exited, output: () => output };
  };
  /** What it has written once it ended. */
  const result = async (command: string, ...args: readonly string[]): Promise<string> => {
    const running = run(command, ...args);
    await running.exited;
    return running.output();
  };
  const register = async (name: string): Promise<number> => {
    const { first: port } = await freePorts(1);
    await callAgent(agent, 'PUT', '/v1/agent/service/register', {
      Name: name,
      Address: '127.0.0.1',
      Port: port,
      Connect: { Native: true },
    });
    return port;
  };
  const intend = (action: 'allow' | 'deny', source: string, destination: string): Promise<unknown> =>
    callAgent(agent, 'PUT', `/v1/connect/intentions/exact?source=${source}&destination=${destination}`, {
      Action: action,
    });

  /** A recipe serves, is called by a sidecar and by the library, and calls them; then it is denied, and denies. */
  const carriesOut = async (name: string, command: readonly [string, ...string[]]): Promise<void> => {
    const [first, ...more] = command;
    const port = await register(name);
    const serving = run(first, ...more, 'serve', name, String(port));
    await waitFor(async () => serving.output().includes('ready'), { what: `the recipe: ${serving.output()}` });
    const caller = await startNative(agent, `caller-of-${name}`, { upstreams: [{ service: name }] });
    stops.push(() => caller.stop());
    const web = await startMeshService(agent, `web-of-${name}`, { upstream: { name, datacenter: 'dc1' } });
    stops.push(() => web.sidecar.stop());
    for (const from of [caller.upstreamPorts[0] ?? 0, web.upstreamPort])
      expect(await waitFor(() => ask(from, 'hello'), { what: `the way to ${name}` })).toBe(`${name}: hello`);
    for (const whom of ['native', 'sidecar', name])
      expect(await result(first, ...more, 'call', 'tool', whom)).toBe(`${whom}: hello\n`);
    // Denied by the others, and by itself.
    for (const whom of ['native', 'sidecar', name]) {
      await intend('deny', 'tool', whom);
      expect(await result(first, ...more, 'call', 'tool', whom)).toContain(`no instance of ${whom} could be called`);
      await intend('allow', 'tool', whom);
    }
    expect(serving.output()).toMatch(/refused spiffe:.*\/svc\/tool Matched L4 intention/);
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'isthmus-recipes-'));
    agent = await startAgent({ name: 's1', datacenter: 'dc1' });
    const application = await startEcho('sidecar');
    stops.push(() => application.close());
    sidecar = await startMeshService(agent, 'sidecar', { port: application.port });
    native = await startNative(agent, 'native', { echo: 'native' });
  });
  afterAll(async () => {
    for (const stop of stops.reverse()) await stop();
    await native?.stop();
    await sidecar?.sidecar.stop();
    await agent?.stop();
    rmSync(folder, { recursive: true, force: true });
    await assertNoneLeft();
  });

  it('the example: the visitor is greeted, and refused with the intention that decided', async () => {
    const example = (file: string): string => join(ROOT, 'examples', 'native', file);
    const port = await register('greeter');
    const server = run(process.execPath, example('server.mjs'), String(port));
    await waitFor(async () => server.output().includes('greeter listens'), { what: 'the greeter' });
    const visit = (): Promise<string> => result(process.execPath, example('client.mjs'));
    expect(await visit()).toBe('hello visitor of dc1\n');
    await intend('deny', 'visitor', 'greeter');
    expect(await visit()).toMatch(/^refused: .*intention visitor => greeter \(deny, precedence 9\)/);
  });

  it.skipIf(python.missing)(python.title('Python: serves, calls, is authorized and authorizes'), async () => {
    writeFileSync(join(folder, 'mesh.py'), recipe('mesh.py'));
    await carriesOut('snake', [python.path, join(folder, 'mesh.py')]);
  });

  it.skipIf(go.missing)(
    go.title('Go: serves, calls, is authorized and authorizes'),
    async () => {
      writeFileSync(join(folder, 'mesh.go'), recipe('mesh.go'));
      const built = join(folder, 'mesh');
      expect(await result(go.path, 'build', '-o', built, 'mesh.go')).toBe('');
      await carriesOut('gopher', [built]);
    },
    120_000, // the first build of its standard library
  );
});

interface Running {
  readonly exited: Promise<number | null>;
  /** So far. */
  readonly output: () => string;
}

/** A program out of the documentation. */
function recipe(name: string): string {
  const text = readFileSync(join(ROOT, 'docs', 'native-applications.md'), 'utf8');
  const found = new RegExp(`<!-- recipe: ${name} -->\\n+\`\`\`[a-z]+\\n([^]*?)\n\`\`\``).exec(text)?.[1];
  if (found === undefined) throw new Error(`docs/native-applications.md has no recipe ${name}`);
  return `${found}\n`;
}
