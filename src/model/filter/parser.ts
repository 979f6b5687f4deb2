import { goQuote, unquote } from './go-string.ts';

/** What an expression is made of. `and` and `or` hold two or more parts, evaluated from the left. */
export type Expression =
  | { readonly type: 'and' | 'or'; readonly parts: readonly Expression[] }
  | { readonly type: 'not'; readonly operand: Expression }
  | Match;

export type MatchOperator =
  | 'Equal'
  | 'Not Equal'
  | 'In'
  | 'Not In'
  | 'Is Empty'
  | 'Is Not Empty'
  | 'Matches'
  | 'Not Matches';

export interface Match {
  readonly type: 'match';
  readonly selector: readonly string[];
  readonly operator: MatchOperator;
  /** Absent for the two operators that test for emptiness. */
  readonly value?: string;
}

/** Bytes of an expression at most. */
export const MAX_LENGTH = 16_384;
/** Parentheses within parentheses at most. */
const MAX_DEPTH = 100;

const FAILED = Symbol('failed');
type Failed = typeof FAILED;

const SPACE = '[ \\t\\r\\n]';
const LETTER = '[a-zA-Z]';
const WORD = '[a-zA-Z0-9_]';

/** The text does not follow the grammar; the message is Consul's. */
export class SyntaxFault extends Error {}

/**
 * Reads Consul's filter grammar (a parsing expression grammar: ordered choices, no separate tokens). Each attempt to
 * match a literal or a class that fails farthest to the right is remembered, because the error text lists exactly
 * those, so the order and number of attempts here is part of the behaviour.
 */
export function parseExpression(text: string): Expression {
  return new Parser(text).parse();
}

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  #failedAt = 0;
  #expected = new Set<string>();
  /** Inside a negative look-ahead a match is the failure. */
  #inverted = false;
  readonly #faults = new Set<string>();
  readonly #groups = new Map<number, { readonly result: Expression | Failed; readonly end: number }>();

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Expression {
    const result = this.#input();
    if (this.#faults.size > 0) throw new SyntaxFault([...this.#faults].join('\n'));
    if (result !== FAILED) return result;
    const eof = this.#expected.delete('!.');
    const expected = [...this.#expected].sort();
    if (eof) expected.push('EOF');
    const last = expected.pop() ?? '';
    const list = expected.length === 0 ? last : `${expected.join(', ')} or ${last}`;
    throw new SyntaxFault(`${this.#position(this.#failedAt)}: no match found, expected: ${list}`);
  }

  #input(): Expression | Failed {
    // Input <- _? "(" _? Or _? ")" _? EOF / _? Or _? EOF
    this.#space();
    if (this.#literal('(')) {
      this.#space();
      const inner = this.#group(this.#at);
      if (inner !== FAILED) {
        this.#space();
        if (this.#literal(')')) {
          this.#space();
          if (this.#eof()) return inner;
        }
      }
    }
    this.#at = 0;
    this.#space();
    const whole = this.#or();
    if (whole === FAILED) return FAILED;
    this.#space();
    return this.#eof() ? whole : FAILED;
  }

  /**
   * The expression inside parentheses that starts at `start`; read once though the grammar asks for it up to three
   * times.
   */
  #group(start: number): Expression | Failed {
    const known = this.#groups.get(start);
    if (known !== undefined) {
      this.#at = known.end;
      return known.result;
    }
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw new SyntaxFault(`more than ${MAX_DEPTH} nested parentheses`);
    const result = this.#or();
    this.#depth -= 1;
    this.#groups.set(start, { result, end: this.#at });
    return result;
  }

  #or(): Expression | Failed {
    return this.#chain('or', () => this.#chain('and', () => this.#not()));
  }

  #chain(type: 'and' | 'or', next: () => Expression | Failed): Expression | Failed {
    const first = next();
    if (first === FAILED) return FAILED;
    const parts = [first];
    for (;;) {
      const end = this.#at;
      if (this.#space() && this.#literal(type) && this.#space()) {
        const part = next();
        if (part !== FAILED) {
          parts.push(part);
          continue;
        }
      }
      this.#at = end;
      return parts.length === 1 ? first : { type, parts };
    }
  }

  #not(): Expression | Failed {
    // "not" _ Not / Parenthesized; the right recursion is a loop with its ways back
    const starts: number[] = [];
    for (;;) {
      const start = this.#at;
      if (!this.#literal('not') || !this.#space()) {
        this.#at = start;
        break;
      }
      starts.push(start);
    }
    for (;;) {
      const operand = this.#parenthesized();
      if (operand !== FAILED) return starts.length % 2 === 0 ? operand : { type: 'not', operand };
      const back = starts.pop();
      if (back === undefined) return FAILED;
      this.#at = back;
    }
  }

  #parenthesized(): Expression | Failed {
    const start = this.#at;
    let closed: Expression | Failed = FAILED;
    let unmatched = false;
    if (this.#literal('(')) {
      this.#space();
      const inner = this.#group(this.#at);
      if (inner !== FAILED) {
        this.#space();
        if (this.#literal(')')) closed = inner;
        else unmatched = true;
      }
      if (closed !== FAILED) return closed;
    }
    const stopped = this.#at;
    this.#at = start;
    const match = this.#match();
    if (match !== FAILED) return match;
    if (unmatched) this.#fault('grouping', 'Unmatched parentheses', stopped);
    this.#at = start;
    return FAILED;
  }

  #match(): Match | Failed {
    const start = this.#at;
    const selector = this.#selector();
    if (selector !== FAILED) {
      const afterSelector = this.#at;
      const operator = this.#operatorWithValue();
      if (operator !== FAILED) {
        const value = this.#value();
        if (value !== FAILED) return { type: 'match', selector, operator, value };
      }
      this.#at = afterSelector;
      const empty = this.#emptiness();
      if (empty !== FAILED) return { type: 'match', selector, operator: empty };
    }
    this.#at = start;
    const value = this.#value();
    if (value !== FAILED) {
      const operator = this.#membership();
      if (operator !== FAILED) {
        const container = this.#selector();
        if (container !== FAILED) return { type: 'match', selector: container, operator, value };
        this.#fault('match', 'Invalid selector', this.#at);
      }
    }
    this.#at = start;
    return FAILED;
  }

  #operatorWithValue(): MatchOperator | Failed {
    const start = this.#at;
    for (const [sign, operator] of [
      ['==', 'Equal'],
      ['!=', 'Not Equal'],
    ] as const) {
      this.#space();
      if (this.#literal(sign)) {
        this.#space();
        return operator;
      }
      this.#at = start;
    }
    if (this.#words('contains')) return 'In';
    if (this.#words('not', 'contains')) return 'Not In';
    if (this.#words('matches')) return 'Matches';
    if (this.#words('not', 'matches')) return 'Not Matches';
    return FAILED;
  }

  #emptiness(): MatchOperator | Failed {
    const start = this.#at;
    if (this.#space() && this.#literal('is') && this.#space() && this.#literal('empty')) return 'Is Empty';
    this.#at = start;
    if (this.#space() && this.#literal('is') && this.#space() && this.#literal('not') && this.#space())
      if (this.#literal('empty')) return 'Is Not Empty';
    this.#at = start;
    return FAILED;
  }

  #membership(): MatchOperator | Failed {
    if (this.#words('in')) return 'In';
    return this.#words('not', 'in') ? 'Not In' : FAILED;
  }

  /** Words with white space before, between and after. */
  #words(...words: readonly string[]): boolean {
    const start = this.#at;
    if (words.every((word) => this.#space() && this.#literal(word)) && this.#space()) return true;
    this.#at = start;
    return false;
  }

  #selector(): readonly string[] | Failed {
    const first = this.#identifier();
    if (first === FAILED) return FAILED;
    const path = [first];
    for (;;) {
      const start = this.#at;
      if (this.#literal('.')) {
        const part = this.#identifier();
        if (part !== FAILED) {
          path.push(part);
          continue;
        }
        this.#at = start;
      }
      const index = this.#index();
      if (index === FAILED) return path;
      path.push(index);
    }
  }

  #identifier(): string | Failed {
    const start = this.#at;
    if (!this.#oneOf(isLetter, LETTER)) return FAILED;
    while (this.#oneOf(isWord, WORD));
    return this.#text.slice(start, this.#at);
  }

  #index(): string | Failed {
    const start = this.#at;
    if (!this.#literal('[')) return FAILED;
    this.#space();
    const inner = this.#at;
    const literal = this.#string();
    if (literal === FAILED) {
      // "[" _? !StringLiteral: the look-ahead reads the literal once more, inverted
      this.#ahead(() => this.#string() !== FAILED);
      this.#fault('index', 'Invalid index', inner);
    } else {
      this.#space();
      if (this.#literal(']')) return literal;
      this.#fault('index', 'Unclosed index expression', this.#at);
    }
    this.#at = start;
    return FAILED;
  }

  #value(): string | Failed {
    const selector = this.#selector();
    if (selector !== FAILED) return selector.join('.');
    const number = this.#number();
    return number === FAILED ? this.#string() : number;
  }

  #number(): string | Failed {
    const start = this.#at;
    this.#literal('-');
    if (!this.#digits()) {
      this.#at = start;
      return FAILED;
    }
    const end = this.#at;
    const closed = this.#space() || this.#eof() || this.#literal(')');
    this.#at = end;
    if (closed) return this.#text.slice(start, end);
    this.#ahead(() => this.#space() || this.#eof() || this.#literal(')'));
    this.#fault('number', 'Invalid number literal', end);
    this.#at = start;
    return FAILED;
  }

  #digits(): boolean {
    if (!this.#literal('0')) {
      if (!this.#oneOf((char) => char >= '1' && char <= '9', '[1-9]')) return false;
      while (this.#oneOf(isDigit, '[0-9]'));
    }
    const end = this.#at;
    if (this.#literal('.')) {
      let count = 0;
      while (this.#oneOf(isDigit, '[0-9]')) count += 1;
      if (count === 0) this.#at = end;
    }
    return true;
  }

  #string(): string | Failed {
    const start = this.#at;
    for (const quote of ['`', '"']) {
      this.#at = start;
      if (!this.#literal(quote)) continue;
      this.#until(quote);
      if (this.#literal(quote)) {
        const raw = this.#text.slice(start, this.#at);
        const text = unquote(raw);
        if (text === undefined) this.#fault('string', 'invalid syntax', start);
        return text ?? '';
      }
      this.#eof();
      this.#fault('string', 'Unterminated string literal', this.#at);
    }
    this.#at = start;
    return FAILED;
  }

  #until(quote: string): void {
    const end = this.#text.indexOf(quote, this.#at);
    if (end === -1) {
      this.#at = this.#text.length;
      this.#miss('.', this.#at, false);
    } else {
      this.#at = end;
      if (!this.#inverted) this.#record(`!${goQuote(quote)}`, end);
    }
  }

  // The three primitives and the look-ahead; each tells what was tried where.

  #literal(text: string): boolean {
    const matched = this.#text.startsWith(text, this.#at);
    this.#miss(goQuote(text), this.#at, matched);
    if (matched) this.#at += text.length;
    return matched;
  }

  #oneOf(accepts: (char: string) => boolean, name: string): boolean {
    const matched = this.#at < this.#text.length && accepts(this.#text[this.#at] as string);
    this.#miss(name, this.#at, matched);
    if (matched) this.#at += 1;
    return matched;
  }

  #space(): boolean {
    const start = this.#at;
    while (this.#oneOf(isSpace, SPACE));
    return this.#at > start;
  }

  #eof(): boolean {
    const ended = this.#at >= this.#text.length;
    this.#inverted = !this.#inverted;
    this.#miss('.', this.#at, !ended);
    this.#inverted = !this.#inverted;
    return ended;
  }

  /** Runs a look-ahead for the sake of what it records. */
  #ahead(probe: () => boolean): void {
    const start = this.#at;
    this.#inverted = !this.#inverted;
    probe();
    this.#inverted = !this.#inverted;
    this.#at = start;
  }

  #miss(want: string, at: number, matched: boolean): void {
    if (matched === this.#inverted) this.#record(this.#inverted ? `!${want}` : want, at);
  }

  #record(want: string, at: number): void {
    if (at < this.#failedAt) return;
    if (at > this.#failedAt) {
      this.#failedAt = at;
      this.#expected = new Set();
    }
    this.#expected.add(want);
  }

  #fault(rule: string, message: string, at: number): void {
    this.#faults.add(`${this.#position(at)}: rule "${rule}": ${message}`);
  }

  /** Line and column count characters from 1 (a line feed is column 0 of its next line); the offset counts bytes. */
  #position(at: number): string {
    let line = 1;
    let column = 0;
    for (const char of this.#text.slice(0, at)) {
      column += 1;
      if (char === '\n') {
        line += 1;
        column = 0;
      }
    }
    if (this.#text[at] === '\n') return `${line + 1}:0 (${Buffer.byteLength(this.#text.slice(0, at))})`;
    return `${line}:${column + 1} (${Buffer.byteLength(this.#text.slice(0, at))})`;
  }
}

function isSpace(char: string): boolean {
  return char === ' ' || char === '\t' || char === '\r' || char === '\n';
}

function isDigit(char: string): boolean {
  return char >= '0' && char <= '9';
}

function isLetter(char: string): boolean {
  return (char >= 'a' && char <= 'z') || (char >= 'A' && char <= 'Z');
}

function isWord(char: string): boolean {
  return isLetter(char) || isDigit(char) || char === '_';
}
