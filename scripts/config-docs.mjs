// Writes docs/configuration.md from the key table ("generate"), or fails when it is out of date ("check").
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const source = fileURLToPath(new URL('../src/config/reference.ts', import.meta.url));
const target = new URL('../docs/configuration.md', import.meta.url);
const { module } = await runnerImport(source, { configFile: false, logLevel: 'error' });
const text = module.renderReference();

if (process.argv[2] === 'check') {
  if (readFileSync(target, 'utf8') !== text) {
    console.error('docs/configuration.md is out of date: run "npm run docs:config"');
    process.exitCode = 1;
  }
} else {
  writeFileSync(target, text);
}
