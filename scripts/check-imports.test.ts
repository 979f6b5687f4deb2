import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const SCRIPT = join(import.meta.dirname, 'check-imports.mjs');
const PICTURE = 'docs/architecture-layers.svg';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'isthmus-imports-'));
  write(
    'package.json',
    JSON.stringify({ dependencies: { lmdb: '1', fastify: '1', zod: '1' }, devDependencies: { vitest: '1' } }),
  );
  write(PICTURE, readFileSync(join(import.meta.dirname, '..', PICTURE), 'utf8'));
  write('src/lib/errors.ts', 'export const errors = 1;\n');
});

afterEach(() => rmSync(root, { recursive: true }));

function write(file: string, text: string): void {
  const path = join(root, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Runs the check; resolves with its exit status and what it complained about. */
function check(...args: string[]): Promise<{ status: number; problems: string[] }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, '--root', root, ...args], (error, _stdout, stderr) => {
      resolve({
        status: error === null ? 0 : Number(error.code),
        problems: stderr.split('\n').filter((line) => line !== ''),
      });
    });
  });
}

describe('check-imports', () => {
  it('is content with imports that go down', async () => {
    write(
      'src/store/store.ts',
      "import { errors } from '../lib/errors.ts';\nimport type { Logger } from '../telemetry/types.ts';\n",
    );
    write(
      'src/store/lmdb/engine.ts',
      "import {\n  a,\n  b,\n} from 'lmdb';\nexport * from '../store.ts';\nimport 'node:fs';\n",
    );
    write('src/telemetry/types.ts', 'export type Logger = 1;\n');
    write(
      'src/domain/ca/ca.ts',
      "import { pki } from '../../pki/x.ts';\nconst lazy = () => import('../../store/store.ts');\n",
    );
    write('src/pki/x.ts', "import { z } from 'zod';\n");
    write('src/cli/agent.ts', "import { run } from '../daemon/run.ts';\nprocess.exit(1);\n");
    write('src/daemon/run.ts', "import '../edge/http/routes.ts';\nprocess.env.HOME;\nDate.now();\n");
    write('src/edge/http/routes.ts', "import f from 'fastify';\n");
    write(
      'src/edge/http/routes.test.ts',
      "import { run } from '../../daemon/run.ts';\nimport { it } from 'vitest';\nDate.now();\n",
    );
    write('src/agent/proxycfg/a.ts', "import { a } from '../cache/a.ts';\n");
    write('src/agent/cache/a.ts', 'export const a = 1;\n');
    write('src/agent/authorizer.ts', "import { a } from './cache/a.ts';\n");
    write('src/edge/dns/a.ts', "import { a } from '../../agent/authorizer.ts';\n");
    write('src/lib/clock.ts', 'setTimeout(() => 1, Date.now());\n');
    write(
      'src/lib/task.ts',
      '// setTimeout(1) is not used\n/**\n * nor Date.now()\n */\nconst a = 1; // nor process.env\n',
    );
    expect(await check()).toEqual({ status: 0, problems: [] });
  });

  const cases: [what: string, file: string, text: string, problem: string][] = [
    [
      'an import up',
      'src/store/a.ts',
      "import { a } from '../server/a.ts';",
      'src/store (floor 2) may not import src/server (floor 5)',
    ],
    [
      'a domain that imports another',
      'src/domain/ca/a.ts',
      "export { a } from '../catalog/a.ts';",
      'src/domain/ca (floor 3) may not import src/domain/catalog (floor 3)',
    ],
    [
      'a part of the agent that imports the one above it',
      'src/agent/cache/a.ts',
      "import { a } from '../proxycfg/a.ts';",
      'src/agent/cache (floor 5) may not import src/agent/proxycfg',
    ],
    [
      'an import of a type',
      'src/domain/acl/a.ts',
      "import type { A } from '../../rpc/contract/a.ts';",
      'may not import src/rpc/contract',
    ],
    [
      'an import over several lines',
      'src/lib/a.ts',
      "import {\n  type A,\n} from '../model/a.ts';",
      'src/lib (floor 0) may not import src/model',
    ],
    ['a lazy import', 'src/edge/xds/a.ts', "const a = await import('../../store/a.ts');", 'may not import src/store'],
    [
      'the sinks of telemetry',
      'src/server/a.ts',
      "import { createMetrics } from '../telemetry/metrics.ts';",
      'may not import src/telemetry',
    ],
    [
      'the daemon from another command',
      'src/cli/members.ts',
      "import { a } from '../daemon/a.ts';",
      'may not import src/daemon',
    ],
    ['the database elsewhere', 'src/store/a.ts', "import { open } from 'lmdb';", 'only src/store/lmdb may import lmdb'],
    ['the HTTP framework elsewhere', 'src/edge/dns/a.ts', "import 'fastify';", 'only src/edge/http may import fastify'],
    [
      'a package that is not a dependency',
      'src/lib/a.ts',
      "import { it } from 'vitest';",
      'vitest is not among the dependencies',
    ],
    ['a test', 'src/lib/a.ts', "import { a } from './errors.test.ts';", 'which is not part of the program'],
    ['a fake', 'src/lib/a.ts', "import { a } from '../../test/fakes/a.ts';", 'which is not part of the program'],
    ['a folder without a floor', 'src/utils/a.ts', 'export const a = 1;', 'src/utils/a.ts: is on no floor'],
    [
      'the environment',
      'src/server/a.ts',
      "const a = 1;\nconst b = process.env['HOME'];",
      'src/server/a.ts:2: uses process.env',
    ],
    ['the real time', 'src/pki/a.ts', 'const a = Date.now();', 'uses the real time'],
    ['the real date', 'src/pki/a.ts', 'const a = new Date();', 'uses the real time'],
    ['a timer', 'src/agent/local/a.ts', 'setInterval(() => 1, 5);', 'uses a timer'],
    ['a timer by import', 'src/agent/local/a.ts', "import { setTimeout } from 'node:timers/promises';", 'uses a timer'],
    ['ending the process', 'src/daemon/a.ts', 'process.exit(1);', 'uses process.exit'],
  ];

  it.each(cases)('refuses %s', async (_what, file, text, problem) => {
    write(file, `${text}\n`);
    const { status, problems } = await check();
    expect(status).toBe(1);
    expect(problems.join('\n')).toContain(problem);
    expect(problems).toHaveLength(1);
  });

  it('notices a picture that is not of these floors, and draws it', async () => {
    write(PICTURE, '<svg/>');
    expect(await check()).toMatchObject({ status: 1, problems: [expect.stringContaining('out of date')] });
    expect((await check('--write')).status).toBe(0);
    expect((await check()).status).toBe(0);
  });

  it('refuses files that import each other in a circle, types included', async () => {
    write('src/server/a.ts', "import type { B } from './b.ts';\nexport type A = B;\n");
    write('src/server/b.ts', "import type { C } from './c.ts';\nexport type B = C;\n");
    write('src/server/c.ts', "import type { A } from './a.ts';\nexport type C = A;\n");
    const { status, problems } = await check();
    expect(status).toBe(1);
    expect(problems).toEqual([
      'these import each other in a circle: src/server/a.ts, src/server/b.ts, src/server/c.ts',
    ]);
  });

  it('fails when there is nothing to check', async () => {
    rmSync(join(root, 'src', 'lib'), { recursive: true });
    expect((await check()).status).toBe(1);
  });
});
