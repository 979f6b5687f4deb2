/**
 * `node scripts/check-columns.mjs`: no line of code, and none of prose in Markdown, is longer than 120 columns. The
 * formatter breaks code, but neither strings nor comments nor titles of tests. Tables and code in Markdown may be
 * longer.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const COLUMNS = 120;
const CODE = /\.(?:[cm]?[jt]s|sh|py|go|c)$/;
const PLACES = ['src', 'test', 'scripts', 'bench', 'demo', 'packaging', 'examples', 'bin'];

/** Files that are not looked at, and why. @type {readonly (readonly [pattern: RegExp, reason: string])[]} */
const FILES = [
  [/\/gen\//, 'generated from the definitions of others'],
  [/^docs\/(?:api|compatibility|configuration|envoy-keys|metrics)\.md$/, 'generated: an item of a list is one line'],
  [/^test\/conformance\/golden\//, 'recorded from Consul, with the description of the recording'],
];

/** Lines that may be longer, and why. @type {readonly (readonly [pattern: RegExp, reason: string])[]} */
const LINES = [
  [/https?:\/\/\S{60,}/, 'an address has no place to break at'],
  [/^\s*\/(?![/*]).*\/[a-z]*[,;]$/, 'a regular expression has no place to break at'],
  [/^import .* from '[^']*\/gen\/[^']*';$/, 'the path of generated code is as long as the package it is made from'],
];

/** In templates of pages a backtick is written with an escape, which the page does not have. @param {string} line */
const tooLong = (line) => [...line.replaceAll('\\`', '`')].length > COLUMNS;

/**
 * The lines of prose: those in tables and in code are empty here.
 *
 * @param {readonly string[]} lines
 */
function prose(lines) {
  let code = false;
  return lines.map((line) => {
    const fence = /^\s*(?:```|~~~)/.test(line);
    if (fence) code = !code;
    return code || fence || /^(?: {4}|\s*\|)/.test(line) ? '' : line;
  });
}

const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
});
const problems = tracked
  .split('\n')
  .filter((path) => existsSync(join(ROOT, path)) && !FILES.some(([pattern]) => pattern.test(path)))
  .flatMap((path) => {
    const markdown = path.endsWith('.md');
    if (!markdown && !(CODE.test(path) && PLACES.some((place) => path.startsWith(`${place}/`)))) return [];
    const lines = readFileSync(join(ROOT, path), 'utf8').split('\n');
    return (markdown ? prose(lines) : lines).flatMap((line, at) =>
      tooLong(line) && !LINES.some(([pattern]) => pattern.test(line)) ? [`${path}:${at + 1}: ${line.trim()}`] : [],
    );
  });

if (problems.length > 0) {
  console.error(`Longer than ${COLUMNS} columns:\n${problems.join('\n')}`);
  process.exitCode = 1;
}
