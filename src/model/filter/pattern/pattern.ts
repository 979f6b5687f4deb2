import { type Node, PatternFault, parsePattern, type Ranges } from './syntax.ts';

export { PatternFault };

/** Instructions of a compiled pattern at most: bounds the work for each character of a text. */
export const MAX_PROGRAM = 5_000;

type Instruction =
  | { readonly op: 'char'; readonly ranges: Ranges }
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'jump'; to: number }
  | { readonly op: 'assert'; readonly what: Node['type'] }
  | { readonly op: 'match' };

/**
 * Compiles an RE2 pattern to a test "occurs anywhere in the text". It runs all alternatives at once, so that its time is
 * bounded by pattern × text whatever the pattern (a caller's pattern must not be able to stall the process).
 * Throws {@link PatternFault}.
 */
export function compilePattern(source: string): (text: string) => boolean {
  const program: Instruction[] = [];
  emit(parsePattern(source), program);
  push(program, { op: 'match' });
  return (text) => run(program, text);
}

function push<I extends Instruction>(program: Instruction[], instruction: I): I {
  if (program.length >= MAX_PROGRAM) throw new PatternFault('error parsing regexp: expression too large');
  program.push(instruction);
  return instruction;
}

function emit(node: Node, program: Instruction[]): void {
  switch (node.type) {
    case 'empty':
      return;
    case 'class':
      push(program, { op: 'char', ranges: normalize(node.ranges) });
      return;
    case 'all':
      for (const part of node.parts) emit(part, program);
      return;
    case 'any':
      emitAny(node.parts, program);
      return;
    case 'group':
      emit(node.node, program);
      return;
    case 'repeat':
      emitRepeat(node, program);
      return;
    default:
      push(program, { op: 'assert', what: node.type });
  }
}

function emitAny(parts: readonly Node[], program: Instruction[]): void {
  const jumps: { op: 'jump'; to: number }[] = [];
  for (const [index, part] of parts.entries()) {
    if (index === parts.length - 1) {
      emit(part, program);
      break;
    }
    const split = push(program, { op: 'split', first: program.length + 1, second: 0 });
    emit(part, program);
    jumps.push(push(program, { op: 'jump', to: 0 }));
    split.second = program.length;
  }
  for (const jump of jumps) jump.to = program.length;
}

function emitRepeat(node: Node & { type: 'repeat' }, program: Instruction[]): void {
  for (let count = 0; count < node.min; count += 1) {
    const before = program.length;
    emit(node.node, program);
    if (program.length === before) break; // what is empty stays so however often it is repeated
  }
  if (!Number.isFinite(node.max)) {
    const start = program.length;
    const split = push(program, { op: 'split', first: start + 1, second: 0 });
    emit(node.node, program);
    push(program, { op: 'jump', to: start });
    split.second = program.length;
    return;
  }
  const splits: { op: 'split'; first: number; second: number }[] = [];
  for (let count = node.min; count < node.max; count += 1) {
    splits.push(push(program, { op: 'split', first: program.length + 1, second: 0 }));
    emit(node.node, program);
  }
  for (const split of splits) split.second = program.length;
}

function run(program: readonly Instruction[], text: string): boolean {
  const codes = Array.from(text, (char) => char.codePointAt(0) as number);
  const seen = new Int32Array(program.length).fill(-1);
  let states: number[] = [];
  for (let at = 0; at <= codes.length; at += 1) {
    // The states alive here, and a new start: a match may begin at any character.
    const alive: number[] = [];
    states.push(0);
    const stack = states.reverse();
    for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
      if (seen[state] === at) continue;
      seen[state] = at;
      const instruction = program[state] as Instruction;
      if (instruction.op === 'match') return true;
      if (instruction.op === 'char') alive.push(state);
      else if (instruction.op === 'jump') stack.push(instruction.to);
      else if (instruction.op === 'split') stack.push(instruction.second, instruction.first);
      else if (holds(instruction.what, codes, at)) stack.push(state + 1);
    }
    states = [];
    const code = codes[at];
    if (code === undefined) return false;
    for (const state of alive) {
      if (within((program[state] as { ranges: Ranges }).ranges, code)) states.push(state + 1);
    }
  }
  return false;
}

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
