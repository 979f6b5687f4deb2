import type { Node, Ranges } from './syntax.ts';

/** Whether an assertion holds before the character `at`. */
export function holds(what: Node['type'], codes: readonly number[], at: number): boolean {
  switch (what) {
    case 'start':
      return at === 0;
    case 'end':
      return at === codes.length;
    case 'lineStart':
      return at === 0 || codes[at - 1] === 10;
    case 'lineEnd':
      return at === codes.length || codes[at] === 10;
    default: {
      const edge = isWord(codes[at - 1]) !== isWord(codes[at]);
      return what === 'wordEdge' ? edge : !edge;
    }
  }
}

function isWord(code: number | undefined): boolean {
  return code !== undefined && within([48, 57, 65, 90, 95, 95, 97, 122], code);
}

/** Sorted and merged, so that {@link within} can halve. */
export function normalize(ranges: Ranges): Ranges {
  if (ranges.length <= 2) return ranges;
  const pairs: [number, number][] = [];
  for (let at = 0; at < ranges.length; at += 2) pairs.push([ranges[at] as number, ranges[at + 1] as number]);
  pairs.sort((a, b) => a[0] - b[0]);
  const merged: number[] = [];
  for (const [low, high] of pairs) {
    const last = merged.length - 1;
    if (last > 0 && low <= (merged[last] as number) + 1) merged[last] = Math.max(merged[last] as number, high);
    else merged.push(low, high);
  }
  return merged;
}

/** Whether `code` lies in normalized ranges. */
export function within(ranges: Ranges, code: number): boolean {
  let low = 0;
  let high = ranges.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (code > (ranges[middle * 2 + 1] as number)) low = middle + 1;
    else high = middle;
  }
  return low * 2 < ranges.length && code >= (ranges[low * 2] as number);
}
