import { compilePattern, PatternFault } from '../filter/pattern/pattern.ts';

/** Patterns kept compiled; the oldest goes first. */
const MAX_KEPT = 2_000;

const COMPILED = new Map<string, (text: string) => boolean>();

/** Whether the whole text matches, as Envoy takes a pattern. The pattern was checked by {@link patternFault}. */
export function matchesWhole(pattern: string, text: string): boolean {
  let test = COMPILED.get(pattern);
  if (test === undefined) {
    test = compilePattern(`\\A(?:${pattern})\\z`);
    COMPILED.set(pattern, test);
    if (COMPILED.size > MAX_KEPT) COMPILED.delete(COMPILED.keys().next().value as string);
  }
  return test(text);
}

/**
 * Why a pattern can't be used; undefined when it can. Both carriers must read it alike: it is RE2's syntax without what
 * only one of the two engines has (`\C`, a single byte).
 */
export function patternFault(pattern: string): string | undefined {
  try {
    compilePattern(pattern);
    compilePattern(`\\A(?:${pattern})\\z`);
    return undefined;
  } catch (error) {
    if (error instanceof PatternFault) return error.message;
    throw error;
  }
}
