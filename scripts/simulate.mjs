// `npm run simulate [-- -agents 500 -services 10 -servers 3]`: builds, then runs many agents against real servers.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { installDependencies } from './install.mjs';

const root = join(import.meta.dirname, '..');

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) process.exit(status ?? 1);
}

if (!installDependencies()) process.exit(1);
run('npm', ['run', '--silent', 'build']);
run(join(root, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.tools.json']);
process.chdir(root);
process.env.ISTHMUS_TEST_BINARY ??= join(root, 'bin', 'isthmus'); // what was just built, not a build beside the tools
await import('../.tmp/tools/bench/simulate/main.js');
