// `npm run demo`: installs and builds what is missing, then runs the demo with its arguments.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installDependencies } from './install.mjs';
import { withLock } from './lock.mjs';
import { copyScripts } from './tools.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

function run(/** @type {string} */ what, /** @type {string} */ command, /** @type {readonly string[]} */ args) {
  process.stdout.write(`${what} …\n`);
  const { status, signal } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status === 0) return;
  if (signal === null) process.stderr.write(`${what} failed: ${command} ${args.join(' ')}\n`);
  process.exit(signal === null ? status : 130); // interrupted
}

// Two demos at once must not write the same files.
await withLock(join(root, '.tmp', 'demo.lock'), () => {
  process.stdout.write('installing dependencies …\n');
  if (!installDependencies()) process.exit(1);
  run('building', 'npm', ['run', '--silent', 'build']);
  run('building the demo', join(root, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.tools.json']);
  copyScripts();
});
await import(join(root, '.tmp', 'tools', 'demo', 'main.js'));
