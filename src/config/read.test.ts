import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadConfig } from './load.ts';

const SOURCES = join(import.meta.dirname, '..');

/** Names of everything in a configuration object. */
function names(value: unknown): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([name, inner]) => [name, ...names(inner)]);
}

it('every value of the configuration is read by something: no key is taken that does nothing', () => {
  const { config } = loadConfig(
    { flags: {}, sources: [], dev: true },
    { readFile: () => '', listDir: () => undefined, hostname: () => 'h', interfaces: () => [] },
  );
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
    .filter(
      (path) =>
        /\.ts$/.test(path) && !/\.test\.ts$/.test(path) && !/^config\/(build|types|tls|storage)\.ts$/.test(path),
    )
    .map((path) => readFileSync(join(SOURCES, path), 'utf8'));
  const words = new Set(files.flatMap((text) => text.match(/\b[A-Za-z]\w+\b/g) ?? []));
  const { taggedAddresses, ...rest } = config; // its names are tags
  expect(Object.keys(taggedAddresses)).toContain('lan');
  expect(names(rest).filter((name) => !words.has(name))).toEqual([]);
});
