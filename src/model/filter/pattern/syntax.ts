/**
 * Reads regular expressions in RE2's syntax (the one of Consul). Groups that capture and lazy repetitions are kept for
 * `capture.ts`; to a test whether a text matches they make no difference.
 */
export type Node =
  | { readonly type: 'empty' | 'start' | 'end' | 'lineStart' | 'lineEnd' | 'wordEdge' | 'noWordEdge' }
  | { readonly type: 'class'; readonly ranges: Ranges }
  | { readonly type: 'all' | 'any'; readonly parts: readonly Node[] }
  | { readonly type: 'group'; readonly node: Node; readonly index: number }
  | {
      readonly type: 'repeat';
      readonly node: Node;
      readonly min: number;
      readonly max: number;
      readonly lazy: boolean;
    };

/** Pairs of first and last code point, in no order. */
export type Ranges = readonly number[];

export class PatternFault extends Error {}

const MAX_CODE = 0x10ffff;
/** RE2's limit of a counted repetition. */
const MAX_REPEAT = 1000;
const MAX_NESTING = 200;

const DIGIT: Ranges = [48, 57];
const WORD: Ranges = [48, 57, 65, 90, 95, 95, 97, 122];
const PERL_SPACE: Ranges = [9, 10, 12, 13, 32, 32];

const PERL: Readonly<Record<string, Ranges>> = { d: DIGIT, w: WORD, s: PERL_SPACE };

const POSIX: Readonly<Record<string, Ranges>> = {
  alnum: [48, 57, 65, 90, 97, 122],
  alpha: [65, 90, 97, 122],
  ascii: [0, 127],
  blank: [9, 9, 32, 32],
  cntrl: [0, 31, 127, 127],
  digit: DIGIT,
  graph: [33, 126],
  lower: [97, 122],
  print: [32, 126],
  punct: [33, 47, 58, 64, 91, 96, 123, 126],
  space: [9, 13, 32, 32],
  upper: [65, 90],
  word: WORD,
  xdigit: [48, 57, 65, 70, 97, 102],
};

const CONTROL: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

interface Flags {
  readonly fold: boolean;
  readonly multiline: boolean;
  readonly dotAll: boolean;
}

export function parsePattern(source: string): Node {
  return new Reader(source).read();
}

class Reader {
  readonly #source: string;
  readonly #chars: readonly string[];
  #at = 0;
  #depth = 0;
  /** Capturing groups opened so far. */
  #groups = 0;

  constructor(source: string) {
    this.#source = source;
    this.#chars = [...source];
  }

  read(): Node {
    const node = this.#alternatives({ fold: false, multiline: false, dotAll: false });
    if (this.#at < this.#chars.length) this.#fail('unexpected )', this.#source);
    return node;
  }

  #alternatives(outer: Flags): Node {
    this.#depth += 1;
    if (this.#depth > MAX_NESTING) this.#fail('expression nests too deeply', this.#source);
    let flags = outer;
    const options: Node[] = [];
    let parts: Node[] = [];
    for (;;) {
      const char = this.#chars[this.#at];
      if (char === undefined || char === ')') break;
      if (char === '|') {
        this.#at += 1;
        options.push({ type: 'all', parts });
        parts = [];
        continue;
      }
      const start = this.#at;
      const item = this.#atom(flags);
      if ('flags' in item) {
        flags = item.flags;
        continue;
      }
      parts.push(this.#repetitions(item.node, start));
    }
    options.push({ type: 'all', parts });
    this.#depth -= 1;
    return options.length === 1 ? (options[0] as Node) : { type: 'any', parts: options };
  }

  #atom(flags: Flags): { readonly node: Node } | { readonly flags: Flags } {
    const char = this.#chars[this.#at] as string;
    switch (char) {
      case '(':
        return this.#group(flags);
      case '[':
        return { node: this.#class(flags) };
      case '.':
        this.#at += 1;
        return { node: { type: 'class', ranges: flags.dotAll ? [0, MAX_CODE] : [0, 9, 11, MAX_CODE] } };
      case '^':
        this.#at += 1;
        return { node: { type: flags.multiline ? 'lineStart' : 'start' } };
      case '$':
        this.#at += 1;
        return { node: { type: flags.multiline ? 'lineEnd' : 'end' } };
      case '*':
      case '+':
      case '?':
        return this.#fail('missing argument to repetition operator', char);
      case '\\':
        return { node: this.#escape(flags) };
      default:
        if (char === '{' && this.#counted() !== undefined)
          return this.#fail('missing argument to repetition operator', this.#chars.slice(this.#at).join(''));
        this.#at += 1;
        return { node: literal(char, flags) };
    }
  }

  #repetitions(node: Node, start: number): Node {
    let repeated = node;
    let previous: number | undefined;
    for (;;) {
      const at = this.#at;
      const char = this.#chars[at];
      let bounds: readonly [number, number] | undefined;
      if (char === '*') bounds = [0, Number.POSITIVE_INFINITY];
      else if (char === '+') bounds = [1, Number.POSITIVE_INFINITY];
      else if (char === '?') bounds = [0, 1];
      if (bounds !== undefined) this.#at += 1;
      else if (char === '{') {
        const counted = this.#counted();
        if (counted === undefined) return repeated;
        bounds = [counted.min, counted.max];
        this.#at = counted.end;
        const largest = Number.isFinite(counted.max) ? counted.max : counted.min;
        if (largest > MAX_REPEAT || counted.min > counted.max)
          this.#fail('invalid repeat count', this.#text(at, this.#at));
      } else return repeated;
      const lazy = this.#chars[this.#at] === '?';
      if (lazy) this.#at += 1;
      if (previous !== undefined) this.#fail('invalid nested repetition operator', this.#text(previous, this.#at));
      previous = at;
      if (this.#at <= start) return repeated;
      repeated = { type: 'repeat', node: repeated, min: bounds[0], max: bounds[1], lazy };
    }
  }

  #counted(): { readonly min: number; readonly max: number; readonly end: number } | undefined {
    const match = /^\{([0-9]{1,9})(,([0-9]{0,9}))?\}/.exec(this.#chars.slice(this.#at, this.#at + 24).join(''));
    if (match === null) return undefined;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === '' ? Number.POSITIVE_INFINITY : Number(match[3]);
    return { min, max, end: this.#at + match[0].length };
  }

  #group(flags: Flags): { readonly node: Node } | { readonly flags: Flags } {
    this.#at += 1;
    let inner = flags;
    let captures = true;
    if (this.#chars[this.#at] === '?') {
      const rest = this.#chars.slice(this.#at - 1).join('');
      const named = /^\(\?P?<([A-Za-z0-9_]+)>/.exec(rest);
      const flagged = /^\(\?([imsU]*)(?:-([imsU]+))?([:)])/.exec(rest);
      if (named !== null) this.#at += named[0].length - 1;
      else if (flagged !== null) {
        this.#at += flagged[0].length - 1;
        captures = false;
        inner = withFlags(flags, flagged[1] ?? '', flagged[2] ?? '');
        if (flagged[3] === ')') return { flags: inner };
      } else this.#fail('invalid or unsupported Perl syntax', rest.slice(0, 3));
    }
    const index = captures ? ++this.#groups : 0;
    const node = this.#alternatives(inner);
    if (this.#chars[this.#at] !== ')') this.#fail('missing closing )', this.#source);
    this.#at += 1;
    return { node: captures ? { type: 'group', node, index } : node };
  }

  #escape(flags: Flags): Node {
    const next = this.#chars[this.#at + 1];
    if (next === undefined) return this.#fail('trailing backslash at end of expression', '');
    const simple: Readonly<Record<string, Node['type']>> = { A: 'start', z: 'end', b: 'wordEdge', B: 'noWordEdge' };
    const edge = simple[next];
    if (edge !== undefined) {
      this.#at += 2;
      return { type: edge } as Node;
    }
    if (next === 'Q') {
      const rest = this.#chars.slice(this.#at + 2).join('');
      const end = rest.indexOf('\\E');
      const text = [...(end < 0 ? rest : rest.slice(0, end))];
      this.#at += 2 + text.length + (end < 0 ? 0 : 2);
      return { type: 'all', parts: text.map((char) => literal(char, flags)) };
    }
    const named = this.#namedClass();
    if (named !== undefined) return { type: 'class', ranges: named };
    return literal(String.fromCodePoint(this.#escapedCode()), flags);
  }

  /** \d, \W and so on; \pL and \p{Greek} by the engine's tables. */
  #namedClass(): Ranges | undefined {
    const next = this.#chars[this.#at + 1] ?? '';
    const perl = PERL[next.toLowerCase()];
    if (perl !== undefined) {
      this.#at += 2;
      return next === next.toLowerCase() ? perl : negate(perl);
    }
    if (next !== 'p' && next !== 'P') return undefined;
    const match = /^\\[pP](?:([A-Za-z])|\{(\^?)([A-Za-z_]+)\})/.exec(
      this.#chars.slice(this.#at, this.#at + 40).join(''),
    );
    const name = match?.[1] ?? match?.[3];
    const ranges = name === undefined ? undefined : unicodeRanges(name);
    if (match === null || ranges === undefined)
      return this.#fail('invalid character class range', this.#text(this.#at, this.#at + (match?.[0].length ?? 2)));
    this.#at += match[0].length;
    return (next === 'P') !== (match[2] === '^') ? negate(ranges) : ranges;
  }

  #escapedCode(): number {
    const start = this.#at;
    const rest = this.#chars.slice(start, start + 14).join('');
    const numeric = /^\\(?:x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]{1,8})\}|(0[0-7]{0,2}|[1-7][0-7]{1,2}))/.exec(rest);
    if (numeric !== null) {
      const code = Number.parseInt(numeric[1] ?? numeric[2] ?? numeric[3] ?? '', numeric[3] === undefined ? 16 : 8);
      if (code <= MAX_CODE) {
        this.#at += numeric[0].length;
        return code;
      }
    }
    const char = this.#chars[start + 1] ?? '';
    const control = CONTROL[char];
    if (control !== undefined || (char !== '' && /[^A-Za-z0-9]/.test(char) && (char.codePointAt(0) ?? 0) < 128)) {
      this.#at += 2;
      return control ?? (char.codePointAt(0) as number);
    }
    return this.#fail('invalid escape sequence', this.#text(start, start + 2));
  }

  #class(flags: Flags): Node {
    const start = this.#at;
    this.#at += 1;
    const negated = this.#chars[this.#at] === '^';
    if (negated) this.#at += 1;
    const ranges: number[] = [];
    for (let first = true; first || this.#chars[this.#at] !== ']'; first = false) {
      if (this.#at >= this.#chars.length) this.#fail('missing closing ]', this.#text(start, this.#chars.length));
      const itemStart = this.#at;
      const set = this.#posix() ?? (this.#chars[this.#at] === '\\' ? this.#namedClass() : undefined);
      if (set !== undefined) {
        ranges.push(...set);
        continue;
      }
      const low = this.#classChar(start);
      let high = low;
      const after = this.#chars[this.#at + 1];
      if (this.#chars[this.#at] === '-' && after !== ']' && after !== undefined) {
        this.#at += 1;
        high = this.#classChar(start);
        if (high < low) this.#fail('invalid character class range', this.#text(itemStart, this.#at));
      }
      ranges.push(low, high);
    }
    this.#at += 1;
    const folded = flags.fold ? fold(ranges) : ranges;
    return { type: 'class', ranges: negated ? negate(folded) : folded };
  }

  #classChar(start: number): number {
    const char = this.#chars[this.#at];
    if (char === undefined) return this.#fail('missing closing ]', this.#text(start, this.#chars.length));
    if (char === '\\') return this.#escapedCode();
    this.#at += 1;
    return char.codePointAt(0) as number;
  }

  #posix(): Ranges | undefined {
    if (this.#chars[this.#at] !== '[' || this.#chars[this.#at + 1] !== ':') return undefined;
    const match = /^\[:(\^?)([a-z]*):\]/.exec(this.#chars.slice(this.#at, this.#at + 16).join(''));
    if (match === null) return undefined;
    const ranges = POSIX[match[2] ?? ''];
    if (ranges === undefined) return this.#fail('invalid character class range', match[0]);
    this.#at += match[0].length;
    return match[1] === '^' ? negate(ranges) : ranges;
  }

  #text(from: number, to: number): string {
    return this.#chars.slice(from, to).join('');
  }

  #fail(what: string, where: string): never {
    throw new PatternFault(`error parsing regexp: ${what}: \`${where}\``);
  }
}

function withFlags(flags: Flags, on: string, off: string): Flags {
  const pick = (letter: string, now: boolean): boolean => (on.includes(letter) || now) && !off.includes(letter);
  return { fold: pick('i', flags.fold), multiline: pick('m', flags.multiline), dotAll: pick('s', flags.dotAll) };
}

function literal(char: string, flags: Flags): Node {
  const code = char.codePointAt(0) as number;
  const ranges = [code, code];
  return { type: 'class', ranges: flags.fold ? fold(ranges) : ranges };
}

/** Adds the other case of the letters; only Latin ranges up to U+024F are folded one by one, which bounds the work. */
function fold(ranges: Ranges): Ranges {
  const folded = [...ranges];
  for (let at = 0; at < ranges.length; at += 2) {
    const low = ranges[at] as number;
    const high = ranges[at + 1] as number;
    for (let code = low; code <= Math.min(high, Math.max(low, 0x24f)); code += 1) {
      const char = String.fromCodePoint(code);
      for (const other of [char.toLowerCase(), char.toUpperCase()]) {
        const otherCode = other.codePointAt(0) as number;
        if (otherCode !== code && [...other].length === 1) folded.push(otherCode, otherCode);
      }
    }
  }
  return folded;
}

function negate(ranges: Ranges): Ranges {
  const pairs: [number, number][] = [];
  for (let at = 0; at < ranges.length; at += 2) pairs.push([ranges[at] as number, ranges[at + 1] as number]);
  pairs.sort((a, b) => a[0] - b[0]);
  const result: number[] = [];
  let next = 0;
  for (const [low, high] of pairs) {
    if (low > next) result.push(next, low - 1);
    next = Math.max(next, high + 1);
  }
  if (next <= MAX_CODE) result.push(next, MAX_CODE);
  return result;
}

const KNOWN_UNICODE = new Map<string, Ranges>();

/** Ranges of a Unicode category or script; made once from the engine's own tables. */
function unicodeRanges(name: string): Ranges | undefined {
  const known = KNOWN_UNICODE.get(name);
  if (known !== undefined) return known;
  let matcher: RegExp;
  try {
    matcher = new RegExp(`^\\p{${name.length <= 2 ? '' : 'Script='}${name}}$`, 'u');
  } catch {
    return undefined;
  }
  const ranges: number[] = [];
  let start = -1;
  for (let code = 0; code <= MAX_CODE + 1; code += 1) {
    const inside = code <= MAX_CODE && matcher.test(String.fromCodePoint(code));
    if (inside && start < 0) start = code;
    if (!inside && start >= 0) {
      ranges.push(start, code - 1);
      start = -1;
    }
  }
  KNOWN_UNICODE.set(name, ranges);
  return ranges;
}
