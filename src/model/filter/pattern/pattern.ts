import { holds, within } from './chars.ts';
import { compileProgram, type Instruction, type Program } from './program.ts';
import { PatternFault, parsePattern, type Ranges } from './syntax.ts';

export { PatternFault };

/**
 * Compiles an RE2 pattern to a test "occurs anywhere in the text". It runs all alternatives at once, so that its time
 * is bounded by pattern × text whatever the pattern (a caller's pattern must not be able to stall the process). Throws
 * {@link PatternFault}.
 */
export function compilePattern(source: string): (text: string) => boolean {
  const program = compileProgram(parsePattern(source), { captures: false });
  return (text) => run(program, text);
}

function run(program: Program, text: string): boolean {
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
      else if (instruction.op === 'save' || holds(instruction.what, codes, at)) stack.push(state + 1);
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
