import { type Position, positionError } from './node.ts';

/** Characters of a text with the position kept: what the HCL and the JSON reader share. */
export class Scanner {
  readonly file: string;
  readonly text: string;
  offset = 0;
  #line = 1;
  #lineStart = 0;

  constructor(text: string, file: string) {
    this.text = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
    this.file = file;
  }

  get done(): boolean {
    return this.offset >= this.text.length;
  }

  position(): Position {
    return { line: this.#line, column: this.offset - this.#lineStart + 1 };
  }

  /** The character `ahead` of here; '' behind the end. */
  peek(ahead = 0): string {
    return this.text.charAt(this.offset + ahead);
  }

  startsWith(prefix: string): boolean {
    return this.text.startsWith(prefix, this.offset);
  }

  /** Moves over `count` characters and returns them. */
  take(count = 1): string {
    const taken = this.text.slice(this.offset, this.offset + count);
    for (let index = 0; index < taken.length; index++) {
      if (taken.charCodeAt(index) === 10) {
        this.#line++;
        this.#lineStart = this.offset + index + 1;
      }
    }
    this.offset += taken.length;
    return taken;
  }

  /** Moves over what the sticky `pattern` matches here; '' when it does not. */
  takeMatch(pattern: RegExp): string {
    pattern.lastIndex = this.offset;
    const match = pattern.exec(this.text);
    return match === null ? '' : this.take(match[0].length);
  }

  fail(text: string, at: Position = this.position()): never {
    throw positionError(this.file, at, text);
  }

  /** How the next thing is named in an error. */
  describeNext(): string {
    if (this.done) return 'the end of the file';
    const char = this.peek();
    return char === '\n' ? 'the end of the line' : JSON.stringify(char);
  }
}
