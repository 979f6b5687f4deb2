import { expect, it } from 'vitest';
import { RecentLines } from './recent-lines.ts';

it('keeps the newest lines, oldest first', () => {
  const recent = new RecentLines(3);
  expect(recent.list()).toEqual([]);
  for (const line of ['a', 'b']) recent.push(line);
  expect(recent.list()).toEqual(['a', 'b']);
  for (const line of ['c', 'd', 'e']) recent.push(line);
  expect(recent.list()).toEqual(['c', 'd', 'e']);
  recent.push('f');
  expect(recent.list()).toEqual(['d', 'e', 'f']);
});

it('gives every further line to those who follow, until they go', async () => {
  const recent = new RecentLines(2);
  recent.push('before');
  const stop = new AbortController();
  const seen: string[] = [];
  const done = (async () => {
    for await (const line of recent.follow(stop.signal)) {
      seen.push(line);
      if (seen.length === 3) break;
    }
  })();
  for (const line of ['a', 'b', 'c', 'd']) recent.push(line);
  await done;
  expect(seen).toEqual(['a', 'b', 'c']);
});
