/**
 * Finds the first JSON value in a text and says what is wrong with it in the words of Go's encoding/json, whose texts
 * clients see behind "Request decode failed: ". Works on bytes (latin1), as Go's scanner does.
 */

export type ScanResult = { readonly end: number } | { readonly error: string };

type State = 'value' | 'valueOrEnd' | 'key' | 'keyOrEnd' | 'colon' | 'afterMember' | 'afterElement';

const WHITESPACE = /[ \t\r\n]/;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const NUMBER_START = /-?(?:0|[1-9][0-9]*)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?/y;
const UNEXPECTED_END = 'unexpected EOF';

/** @param maxDepth containers that may lie in one another. */
export function scanValue(text: string, maxDepth: number): ScanResult {
  const closers: string[] = [];
  let at = 0;
  let state: State = 'value';
  for (;;) {
    while (at < text.length && WHITESPACE.test(text[at] as string)) at += 1;
    const char = text[at];
    if (char === undefined) return { error: closers.length === 0 ? 'EOF' : UNEXPECTED_END };
    switch (state) {
      case 'colon':
        if (char !== ':') return { error: invalid(char, 'after object key') };
        at += 1;
        state = 'value';
        continue;
      case 'key':
      case 'keyOrEnd':
        if (char === '"') {
          const end = scanString(text, at);
          if (typeof end === 'string') return { error: end };
          at = end;
          state = 'colon';
          continue;
        }
        if (char !== '}' || state === 'key')
          return { error: invalid(char, 'looking for beginning of object key string') };
        break;
      case 'afterMember':
      case 'afterElement':
        if (char === ',') {
          at += 1;
          state = state === 'afterMember' ? 'key' : 'value';
          continue;
        }
        if (char !== closers.at(-1))
          return {
            error: invalid(char, state === 'afterMember' ? 'after object key:value pair' : 'after array element'),
          };
        break;
      case 'value':
      case 'valueOrEnd':
        if (char === ']' && state === 'valueOrEnd') break;
        if (char === '{' || char === '[') {
          if (closers.length >= maxDepth) return { error: 'exceeded max depth' };
          closers.push(char === '{' ? '}' : ']');
          at += 1;
          state = char === '{' ? 'keyOrEnd' : 'valueOrEnd';
          continue;
        }
        {
          const end = scanScalar(text, at, char);
          if (typeof end === 'string') return { error: end };
          at = end;
        }
        if (closers.length === 0) return { end: at };
        state = after(closers);
        continue;
    }
    // A container closes here.
    closers.pop();
    at += 1;
    if (closers.length === 0) return { end: at };
    state = after(closers);
  }
}

function after(closers: readonly string[]): State {
  return closers.at(-1) === '}' ? 'afterMember' : 'afterElement';
}

/** Where the string, number or literal ends, or the error. */
function scanScalar(text: string, start: number, char: string): number | string {
  if (char === '"') return scanString(text, start);
  for (const word of ['true', 'false', 'null']) {
    if (char !== word[0]) continue;
    for (let i = 1; i < word.length; i += 1) {
      const found = text[start + i];
      if (found === undefined) return UNEXPECTED_END;
      if (found !== word[i]) return invalid(found, `in literal ${word} (expecting '${word[i]}')`);
    }
    return start + word.length;
  }
  if (char !== '-' && (char < '0' || char > '9')) return invalid(char, 'looking for beginning of value');
  NUMBER_START.lastIndex = start;
  NUMBER.lastIndex = start;
  const whole = NUMBER.test(text) ? NUMBER.lastIndex : -1;
  NUMBER_START.test(text);
  const begun = NUMBER_START.lastIndex;
  if (whole === begun) return whole;
  const bad = text[begun];
  return bad === undefined ? UNEXPECTED_END : invalid(bad, 'in numeric literal');
}

function scanString(text: string, start: number): number | string {
  for (let at = start + 1; ; at += 1) {
    const char = text[at];
    if (char === undefined) return UNEXPECTED_END;
    if (char === '"') return at + 1;
    if (char < ' ') return invalid(char, 'in string literal');
    if (char !== '\\') continue;
    at += 1;
    const escaped = text[at];
    if (escaped === undefined) return UNEXPECTED_END;
    if (escaped === 'u') {
      for (let digit = 0; digit < 4; digit += 1) {
        at += 1;
        const hex = text[at];
        if (hex === undefined) return UNEXPECTED_END;
        if (!/[0-9a-fA-F]/.test(hex)) return invalid(hex, 'in \\u hexadecimal character escape');
      }
    } else if (!'"\\/bfnrt'.includes(escaped)) return invalid(escaped, 'in string escape code');
  }
}

const QUOTED: Readonly<Record<string, string>> = {
  "'": "'\\''",
  '"': `'"'`,
  '\\': `'\\\\'`,
  '\n': "'\\n'",
  '\r': "'\\r'",
  '\t': "'\\t'",
};

function invalid(char: string, where: string): string {
  const code = char.charCodeAt(0);
  const shown =
    QUOTED[char] ?? (code < 0x20 || code === 0x7f ? `'\\x${code.toString(16).padStart(2, '0')}'` : `'${char}'`);
  return `invalid character ${shown} ${where}`;
}
