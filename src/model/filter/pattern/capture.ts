import { holds, within } from './chars.ts';
import { compileProgram, type Instruction, type Program } from './program.ts';
import { parsePattern } from './syntax.ts';

/** A way through the program, with where its groups began and ended. */
interface Thread {
  readonly state: number;
  readonly slots: readonly number[];
}

/**
 * Compiles an RE2 pattern to a search for its first match: the texts of the whole match and of its groups ('' for a
 * group that took no part), or undefined. All ways are followed at once, in the order of preference, so that the time
 * is bounded by pattern × text. Throws {@link PatternFault}.
 */
export function compileCaptures(source: string): (text: string) => readonly string[] | undefined {
  const whole = { type: 'group', node: parsePattern(source), index: 0 } as const;
  const program = compileProgram(whole, { captures: true });
  const slots = program.reduce((most, instruction) => {
    return instruction.op === 'save' ? Math.max(most, instruction.slot + 1) : most;
  }, 0);
  return (text) => search(program, [...text], slots);
}

function search(program: Program, chars: readonly string[], slotCount: number): string[] | undefined {
  const codes = chars.map((char) => char.codePointAt(0) as number);
  const seen = new Int32Array(program.length).fill(-1);
  const blank = new Array<number>(slotCount).fill(-1);
  let threads: Thread[] = [];
  let best: readonly number[] | undefined;
  for (let at = 0; at <= codes.length; at += 1) {
    // A match that begins earlier is preferred, so a new start comes last, and not at all once there is a match.
    if (best === undefined) threads.push({ state: 0, slots: blank });
    if (threads.length === 0) break;
    const next: Thread[] = [];
    for (const thread of alive(program, threads, codes, at, seen)) {
      const instruction = program[thread.state] as Instruction;
      if (instruction.op === 'match') {
        best = thread.slots;
        break; // what comes after is preferred less
      }
      const code = codes[at];
      if (instruction.op === 'char' && code !== undefined && within(instruction.ranges, code))
        next.push({ state: thread.state + 1, slots: thread.slots });
    }
    threads = next;
  }
  if (best === undefined) return undefined;
  const texts: string[] = [];
  for (let slot = 0; slot < slotCount; slot += 2) {
    const [from, to] = [best[slot] as number, best[slot + 1] as number];
    texts.push(from < 0 || to < 0 ? '' : chars.slice(from, to).join(''));
  }
  return texts;
}

/** Follows everything that takes no character; leaves threads at characters and at matches, best first. */
function* alive(
  program: Program,
  threads: readonly Thread[],
  codes: readonly number[],
  at: number,
  seen: Int32Array,
): Generator<Thread> {
  const stack: Thread[] = threads.toReversed();
  for (let thread = stack.pop(); thread !== undefined; thread = stack.pop()) {
    const { state, slots } = thread;
    if (seen[state] === at) continue;
    seen[state] = at;
    const instruction = program[state] as Instruction;
    switch (instruction.op) {
      case 'jump':
        stack.push({ state: instruction.to, slots });
        break;
      case 'split':
        stack.push({ state: instruction.second, slots }, { state: instruction.first, slots });
        break;
      case 'save':
        stack.push({ state: state + 1, slots: slots.with(instruction.slot, at) });
        break;
      case 'assert':
        if (holds(instruction.what, codes, at)) stack.push({ state: state + 1, slots });
        break;
      default:
        yield thread;
    }
  }
}
