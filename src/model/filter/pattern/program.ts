import { normalize } from './chars.ts';
import { type Node, PatternFault, type Ranges } from './syntax.ts';

/** Instructions of a compiled pattern at most: bounds the work for each character of a text. */
const MAX_PROGRAM = 5_000;

export type Instruction =
  | { readonly op: 'char'; readonly ranges: Ranges }
  /** Both ways, the first one preferred. */
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'jump'; to: number }
  | { readonly op: 'save'; readonly slot: number }
  | { readonly op: 'assert'; readonly what: Node['type'] }
  | { readonly op: 'match' };

export type Program = readonly Instruction[];

/**
 * The steps that match a pattern; with `captures` they save where groups begin and end. Throws {@link PatternFault}.
 */
export function compileProgram(pattern: Node, { captures }: { readonly captures: boolean }): Program {
  const compiler = new Compiler(captures);
  compiler.emit(pattern);
  compiler.push({ op: 'match' });
  return compiler.program;
}

class Compiler {
  readonly program: Instruction[] = [];
  readonly #captures: boolean;

  constructor(captures: boolean) {
    this.#captures = captures;
  }

  push<I extends Instruction>(instruction: I): I {
    if (this.program.length >= MAX_PROGRAM) throw new PatternFault('error parsing regexp: expression too large');
    this.program.push(instruction);
    return instruction;
  }

  emit(node: Node): void {
    switch (node.type) {
      case 'empty':
        return;
      case 'class':
        this.push({ op: 'char', ranges: normalize(node.ranges) });
        return;
      case 'all':
        for (const part of node.parts) this.emit(part);
        return;
      case 'any':
        this.#emitAny(node.parts);
        return;
      case 'group':
        if (this.#captures) this.push({ op: 'save', slot: node.index * 2 });
        this.emit(node.node);
        if (this.#captures) this.push({ op: 'save', slot: node.index * 2 + 1 });
        return;
      case 'repeat':
        this.#emitRepeat(node);
        return;
      default:
        this.push({ op: 'assert', what: node.type });
    }
  }

  #emitAny(parts: readonly Node[]): void {
    const jumps: { op: 'jump'; to: number }[] = [];
    for (const [index, part] of parts.entries()) {
      if (index === parts.length - 1) {
        this.emit(part);
        break;
      }
      const split = this.#split();
      this.emit(part);
      jumps.push(this.push({ op: 'jump', to: 0 }));
      split.second = this.program.length;
    }
    for (const jump of jumps) jump.to = this.program.length;
  }

  #emitRepeat(node: Node & { type: 'repeat' }): void {
    for (let count = 0; count < node.min; count += 1) {
      const before = this.program.length;
      this.emit(node.node);
      if (this.program.length === before) break; // what is empty stays so however often it is repeated
    }
    const splits: { op: 'split'; first: number; second: number }[] = [];
    if (Number.isFinite(node.max)) {
      for (let count = node.min; count < node.max; count += 1) {
        splits.push(this.#split());
        this.emit(node.node);
      }
    } else {
      const start = this.program.length;
      splits.push(this.#split());
      this.emit(node.node);
      this.push({ op: 'jump', to: start });
    }
    for (const split of splits) {
      split.second = this.program.length;
      if (node.lazy) [split.first, split.second] = [split.second, split.first];
    }
  }

  /** To what comes next, or to a place that is not known yet. */
  #split(): { op: 'split'; first: number; second: number } {
    return this.push({ op: 'split', first: this.program.length + 1, second: 0 });
  }
}
