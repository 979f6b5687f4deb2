import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Member } from '../../src/model/member.ts';
import type { ReplicationStatus } from '../../src/model/replication.ts';
import { VERSION } from '../../src/model/version.ts';
import {
  type AgentProcess,
  assertNoneLeft,
  BINARY,
  freePorts,
  isthmus,
  startAgent,
  startEtcd,
  waitFor,
  withoutEtcd,
} from '../harness/index.ts';
import { program } from '../harness/programs.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const PACKAGING = join(ROOT, 'packaging');
const EXAMPLE = join(PACKAGING, 'examples', 'two-datacenters');

let folder: string;
/** The unpacked tarball. */
let unpacked: string;
const running: { stop(): Promise<unknown> }[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'isthmus-packaging-'));
  run(process.execPath, [join(ROOT, 'scripts', 'package.mjs'), '--built'], ROOT);
  const made = join(ROOT, 'dist', 'package');
  const [archive = ''] = readdirSync(made).filter((name) => name.endsWith('.tar.gz'));
  run('tar', ['-xzf', join(made, archive), '-C', folder], folder);
  unpacked = join(folder, `isthmus-${VERSION}`);
}, 60_000);

afterAll(() => rmSync(folder, { recursive: true }));

afterEach(async () => {
  for (const process of running.splice(0).reverse()) await process.stop();
  await assertNoneLeft();
});

function run(command: string, args: readonly string[], cwd: string, env: Record<string, string> = {}): string {
  const result = spawnSync(command, args, { cwd, encoding: 'utf8', env: { ...process.env, ...env } });
  expect(result.status, `${command} ${args.join(' ')}: ${result.stdout}${result.stderr}`).toBe(0);
  return result.stdout + result.stderr;
}

it('the tarball holds all that it takes to run', async () => {
  const binary = join(unpacked, 'bin', 'isthmus');
  expect(run(binary, ['version'], '/')).toContain(VERSION);
  const agent = await startAgent({ name: 'packed', datacenter: 'dc1', binary });
  running.push(agent);
  expect((await agent.http('GET', '/v1/agent/connect/ca/leaf/web')).status).toBe(200);
});

it('the npm package has isthmus/connect, with types that strict TypeScript takes', () => {
  const [{ files = [] } = {}] = JSON.parse(run('npm', ['pack', '--dry-run', '--json', '--loglevel=silent'], ROOT)) as {
    files: { path: string }[];
  }[];
  const packed = new Set(files.map(({ path }) => path));
  for (const file of ['connect.js', 'types/client/connect/index.d.ts', 'types/client/connect/types.d.ts'])
    expect(packed).toContain(`dist/connect/${file}`);
  expect(packed).toContain('bin/isthmus');
  expect([...packed].filter((file) => /^(?:src|test)\//.test(file))).toEqual([]);

  const consumer = join(folder, 'consumer');
  mkdirSync(join(consumer, 'node_modules'), { recursive: true });
  symlinkSync(ROOT, join(consumer, 'node_modules', 'isthmus'));
  symlinkSync(join(ROOT, 'node_modules', '@types'), join(consumer, 'node_modules', '@types'));
  writeFileSync(join(consumer, 'package.json'), '{ "type": "module" }');
  writeFileSync(
    join(consumer, 'app.ts'),
    `import { createServer } from 'node:https';
     import { type Caller, createConnect, IsthmusError } from 'isthmus/connect';
     const connect = createConnect({ service: 'web', onRefused: ({ text }) => text.trim() });
     const server: ReturnType<typeof createServer> = connect.protect(createServer(connect.serverOptions()));
     const caller: Caller | undefined = connect.callerOf(server);
     export const failed = (error: unknown): boolean => error instanceof IsthmusError && caller === undefined;`,
  );
  const strict = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
  run(join(ROOT, 'node_modules', '.bin', 'tsc'), [...strict, 'app.ts'], consumer);
  const program = "const { createConnect } = await import('isthmus/connect'); createConnect({ service: 'web' });";
  run(process.execPath, ['--input-type=module', '-e', program], consumer);
});

describe('systemd units', () => {
  const systemd = program('systemd-analyze');
  const units = readdirSync(join(PACKAGING, 'systemd'));

  it.skipIf(systemd.missing)(systemd.title('are what systemd understands'), () => {
    const copies = join(folder, 'units');
    mkdirSync(copies);
    for (const unit of units) {
      // It looks for the program; an instance of a template stands for the template.
      const text = readFileSync(join(PACKAGING, 'systemd', unit), 'utf8').replaceAll('/usr/local/bin/isthmus', BINARY);
      writeFileSync(join(copies, unit.replace('@.', '@web.')), text);
    }
    const files = readdirSync(copies).map((name) => join(copies, name));
    const said = run(systemd.path, ['verify', '--man=no', ...files], folder);
    expect(said.split('\n').filter((line) => line.includes(copies))).toEqual([]);
  });

  it('let no process have more than it needs', () => {
    for (const unit of units) {
      const lines = readFileSync(join(PACKAGING, 'systemd', unit), 'utf8').split('\n');
      for (const line of [
        'User=isthmus',
        'NoNewPrivileges=yes',
        'CapabilityBoundingSet=',
        'ProtectSystem=strict',
        'UMask=0077',
      ])
        expect(lines, unit).toContain(line);
    }
  });
});

it('the image runs as a user of its own, from files that are there', () => {
  const text = readFileSync(join(PACKAGING, 'docker', 'Dockerfile'), 'utf8').replaceAll('\\\n', ' ');
  const stages = text.split(/^FROM /m).slice(1);
  expect(stages).toHaveLength(2);
  const last = (stages[1] ?? '').split('\n');
  expect(last).toContain('USER 8500:850');
  expect(last.findIndex((line) => line.startsWith('USER'))).toBeGreaterThan(
    last.findLastIndex((line) => line.startsWith('RUN')),
  );
  const [, node = ''] = /^ARG NODE=(\S+)$/m.exec(text) ?? [];
  expect(node).toMatch(/^20\.\d+-/);
  for (const [, sources = ''] of (stages[0] ?? '').matchAll(/^COPY (?!--from)(.+) \S+$/gm))
    for (const source of sources.split(' ')) expect(() => readdirSync(join(ROOT, source, '..'))).not.toThrow();
  // What the last stage copies is what the tarball test runs.
  expect(text).toContain('npm run --silent package');
});

describe('examples', () => {
  const servers = ['dc1', 'dc2'].flatMap((dc) =>
    ['s1.hcl', 's2.hcl', 's3.hcl'].map((file) => [join(EXAMPLE, dc, 'server.hcl'), join(EXAMPLE, dc, file)]),
  );
  const others = ['single-server.hcl', 'client-agent.hcl'].map((file) => [join(PACKAGING, 'examples', file)]);

  it.each([...servers, ...others].map((files) => [files.map((file) => basename(file)).join(' + '), files] as const))(
    '%s is valid',
    async (_name, files) => {
      expect(await isthmus(['validate', '-quiet', ...files])).toMatchObject({ code: 0, out: '' });
    },
  );

  // Skipped only where there is no etcd, which says so; in CI that is an error.
  describe.skipIf(withoutEtcd() !== undefined)('two datacenters of three etcd members and three servers', () => {
    it('come up, federate over mutual TLS, and replicate what is written in either', async () => {
      const here = join(folder, 'here');
      cpSync(EXAMPLE, here, { recursive: true });
      run('sh', ['make-secrets.sh'], here, { ISTHMUS: BINARY });
      const ports = new Map<string, number>();
      for (const dc of ['dc1', 'dc2']) for (const n of [1, 2, 3]) ports.set(`${dc}-s${n}`, (await freePorts(4)).first);

      const startDatacenter = async (dc: 'dc1' | 'dc2'): Promise<AgentProcess[]> => {
        const etcd = await startEtcd({ members: 3 });
        running.push(etcd);
        let text = readFileSync(join(here, dc, 'server.hcl'), 'utf8')
          .replaceAll('0.0.0.0', '127.0.0.1')
          .replaceAll('/etc/isthmus/tls', join(here, 'tls'))
          .replace(/172\.30\.(\d)\.1(\d)/g, (_all, of, n) => `127.0.0.1:${(ports.get(`dc${of}-s${n}`) ?? 0) + 3}`);
        for (const [at, endpoint] of etcd.endpoints.entries())
          text = text.replaceAll(`http://${dc}-etcd${at + 1}:2379`, endpoint);
        return Promise.all(
          [1, 2, 3].map(async (n) => {
            const name = `${dc}-s${n}`;
            const first = ports.get(name) ?? 0;
            const dataDir = join(here, name);
            const file = join(here, `${name}.hcl`);
            const own = readFileSync(join(here, dc, `s${n}.hcl`), 'utf8').replace(/172[\d.]+/, '127.0.0.1');
            writeFileSync(file, text.replaceAll('/var/lib/isthmus', dataDir) + own);
            const agent = await startAgent({
              name: 'not this',
              datacenter: dc,
              dataDir,
              config: { ports: { http: first, server: first + 1, serf_lan: first + 2, serf_wan: first + 3 } },
              args: ['-config-file', file],
              readyWithinMs: 60_000,
            });
            running.push(agent);
            return agent;
          }),
        );
      };
      const [first, second] = await Promise.all([startDatacenter('dc1'), startDatacenter('dc2')]);
      const [one, two] = [first[0], second[0]] as [AgentProcess, AgentProcess];
      expect(one.ready.node).toBe('dc1-s1');

      // As the example's README says.
      const booted = await waitFor(
        async () => {
          const answer = await one.http('PUT', '/v1/acl/bootstrap');
          return answer.status === 200 ? answer.json<{ SecretID: string }>() : undefined;
        },
        { what: 'the first token', timeout: 30_000 },
      );
      const as = { 'X-Consul-Token': booted.SecretID };
      const made = await one.http('PUT', '/v1/acl/token', { Roles: [{ Name: 'builtin/replication' }] }, as);
      const replication = made.json<{ SecretID: string }>().SecretID;
      // The primary knows the token that asks for it, so the link to it must be up.
      for (const agent of second)
        await waitFor(
          async () =>
            (await agent.http('PUT', '/v1/agent/token/replication', { Token: replication }, as)).status === 200,
          { what: `the replication token at ${agent.ready.node}`, timeout: 30_000 },
        );
      await waitFor(
        async () => {
          const answer = await two.http('GET', '/v1/internal/replication', undefined, as);
          return (
            answer.status === 200 && answer.json<ReplicationStatus>().Kinds.every(({ State }) => State === 'following')
          );
        },
        { what: 'replication in dc2', timeout: 60_000 },
      );
      const members = await waitFor(
        async () => {
          const answer = await two.http('GET', '/v1/agent/members?wan=1', undefined, as);
          const all = answer.json<Member[]>().filter(({ Status }) => Status === 1);
          return all.length === 6 ? all : undefined;
        },
        { what: 'all six servers', timeout: 30_000 },
      );
      expect(members.map(({ Name }) => Name).sort()).toEqual(
        [...ports.keys()].map((name) => `${name}.${name.slice(0, 3)}`),
      );
      const put = await two.http(
        'PUT',
        '/v1/connect/intentions/exact?source=web&destination=db',
        { Action: 'allow' },
        as,
      );
      expect(put.status, put.body).toBe(200);
      const everywhere = async (allowed: boolean): Promise<void> => {
        const path = '/v1/connect/intentions/check?source=web&destination=db';
        for (const agent of [...first, ...second])
          await waitFor(
            async () => (await agent.http('GET', path, undefined, as)).body.includes(`"Allowed":${allowed}`),
            { what: `the intention at ${agent.ready.node}` },
          );
      };
      await everywhere(true);

      // A snapshot of the primary, taken by one of its servers, restored by another: all servers show it.
      const file = join(here, 'dc1.snap');
      const [, beside, third] = first as [AgentProcess, AgentProcess, AgentProcess];
      const snapshot = (command: string, agent: AgentProcess) =>
        isthmus(['snapshot', command, '-http-addr', agent.ready.http, '-token', booted.SecretID, file]);
      expect(await snapshot('save', beside)).toMatchObject({ code: 0, err: '' });
      await one.http('DELETE', '/v1/connect/intentions/exact?source=web&destination=db', undefined, as);
      await everywhere(false);
      expect(await snapshot('restore', third)).toMatchObject({ code: 0, err: '' });
      await everywhere(true);
      const status = ['connect', 'ca', 'status', '-http-addr', two.ready.http, '-token', booted.SecretID];
      await waitFor(async () => (await isthmus(status)).code === 0, { what: 'the CA of dc2 after the restore' });
    }, 180_000);
  });
});
