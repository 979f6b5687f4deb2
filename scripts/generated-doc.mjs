import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runnerImport } from 'vite';

const ROOT = join(import.meta.dirname, '..');

/**
 * Writes a page from what a module's `renderReference` returns ("generate"), or fails when the page is out of date
 * ("check").
 */
export async function generatedDoc({ source, page, script }) {
  const { module } = await runnerImport(join(ROOT, source), { configFile: false, logLevel: 'error' });
  const text = await module.renderReference();
  const target = join(ROOT, page);
  if (process.argv[2] !== 'check') {
    writeFileSync(target, text);
    return;
  }
  if (readFileSync(target, 'utf8') === text) return;
  console.error(`${page} is out of date: run "npm run ${script}"`);
  process.exitCode = 1;
}
