import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const DOCS = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => join('docs', name));
const PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...DOCS];

/** Words that need reading twice, and those of the field that stand for them. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/\bthe (?:real )?peer\b/i, 'Consul: readers think of peering'],
  [/\bhearsay\b/i, 'what another server names'],
  [/\bnobody\b/i, 'no one, or who it is'],
  [/\bknock(?:s|ed|ing)?\b/i, 'join or probe'],
  [/\bjudg(?:e|es|ed|ing|ment)\b/i, 'evaluate'],
  [/\bsigns? of life\b/i, 'heartbeat'],
  [/\b(?:can|could|is|are|be) ?(?:not |n’t |n't )?told\b/i, 'is notified, is distinguished'],
  [/\b(?:thereof|thereby|whence|henceforth|forsooth|foretold)\b/i, 'a word of today'],
];

/** Pages for those who change the code. */
const FOR_CONTRIBUTORS = /^CONTRIBUTING\.md$|^docs\/(?:architecture|dependencies|performance)\.md$|^docs\/adr\//;

function found(page: string, pattern: RegExp): readonly string[] {
  const lines = readFileSync(join(ROOT, page), 'utf8').split('\n');
  return lines.flatMap((line, at) => (pattern.test(line) ? [`${page}:${at + 1}: ${line.trim()}`] : []));
}

describe.each(PAGES)('%s', (page) => {
  it('is written in the plain words of the field', () => {
    for (const [pattern, instead] of WORDS) expect(found(page, pattern), instead).toEqual([]);
  });
});

describe.each(PAGES.filter((page) => !FOR_CONTRIBUTORS.test(page)))('%s, which is for users', (page) => {
  it('holds no paths of sources', () => {
    expect(found(page, /(?<![\w/])src\/[a-z]+|\b[\w-]+\.(?:test\.)?ts\b/)).toEqual([]);
  });
});
