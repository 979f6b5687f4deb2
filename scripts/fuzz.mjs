// `npm run fuzz [seconds]`: the fuzz targets for so long each (60), with a look at the heap; ISTHMUS_TEST_SEED repeats
// a run.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { installDependencies } from './install.mjs';

const root = join(import.meta.dirname, '..');
const [seconds = '60', ...more] = process.argv.slice(2);

if (!installDependencies()) process.exit(1);
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const { status } = spawnSync(process.execPath, [vitest, 'run', 'test/fuzz', '--no-file-parallelism', ...more], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, ISTHMUS_FUZZ_SECONDS: seconds },
});
process.exit(status ?? 1);
