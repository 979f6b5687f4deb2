import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { keep, readKept } from './kept-file.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'isthmus-kept-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('replaces a file for its owner only, and leaves the old one when it can’t', () => {
  const path = join(folder, 'a');
  writeFileSync(path, 'old', { mode: 0o644 });
  keep(path, 'new');
  expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o777]).toEqual(['new', 0o600]);
  mkdirSync(join(folder, 'b'));
  expect(() => keep(join(folder, 'b'), 'text')).toThrow(`${join(folder, 'b')} can't be written: EISDIR`);
  expect(readdirSync(folder)).toEqual(['a', 'b']);
});

it('tells a file that is not there from one that can’t be read', () => {
  expect(readKept(join(folder, 'none'))).toBeUndefined();
  expect(() => readKept(folder)).toThrow(`${folder} can't be read: EISDIR`);
});
