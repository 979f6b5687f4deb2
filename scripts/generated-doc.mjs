import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runnerImport } from 'vite';

const ROOT = join(import.meta.dirname, '..');
const BIOME = join(ROOT, 'node_modules', '.bin', 'biome');

/**
 * Writes a page from what a module's `renderReference` returns ("generate"), or fails when the page is out of date
 * ("check").
 * @param {{ source: string, page: string, script: string }} doc
 */
export async function generatedDoc({ source, page, script }) {
  const { module } = await runnerImport(join(ROOT, source), { configFile: false, logLevel: 'error' });
  const text = formatted(await module.renderReference(), page);
  const target = join(ROOT, page);
  if (process.argv[2] !== 'check') {
    writeFileSync(target, text);
    return;
  }
  if (readFileSync(target, 'utf8') === text) return;
  console.error(`${page} is out of date: run "npm run ${script}"`);
  process.exitCode = 1;
}

/** As the formatter wants every page, so that the two checks agree. */
function formatted(/** @type {string} */ text, /** @type {string} */ page) {
  const { status, stdout, stderr } = spawnSync(BIOME, ['format', `--stdin-file-path=${page}`], {
    cwd: ROOT,
    input: text,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${page} can't be formatted: ${stderr}`);
  return stdout;
}
