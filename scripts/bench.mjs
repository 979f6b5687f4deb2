// `npm run bench [row …]`: builds, then measures. CONSUL_BIN names the real peer's binary to be measured beside ours.
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
await import('../.tmp/tools/bench/main.js');
