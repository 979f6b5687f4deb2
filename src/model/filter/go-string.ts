/** Go's string literals, as far as filters and error texts need them. */

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
};

const NUMERIC = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))/;

/** What strconv.Unquote makes of a literal in double or back quotes; `undefined` where it says "invalid syntax". */
export function unquote(literal: string): string | undefined {
  const body = literal.slice(1, -1);
  if (literal.startsWith('`')) return body.replaceAll('\r', '');
  if (body.includes('\n')) return undefined;
  let text = '';
  for (let at = 0; at < body.length; at += 1) {
    const char = body[at] as string;
    if (char !== '\\') {
      text += char;
      continue;
    }
    const next = body[at + 1] ?? '';
    const simple = ESCAPES[next];
    if (simple !== undefined) {
      text += simple;
      at += 1;
      continue;
    }
    const match = NUMERIC.exec(body.slice(at + 1, at + 10));
    if (match === null) return undefined;
    const digits = match[1] ?? match[2] ?? match[3] ?? match[4] ?? '';
    const code = Number.parseInt(digits, match[4] === undefined ? 16 : 8);
    if (match[4] !== undefined && code > 255) return undefined;
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return undefined;
    text += String.fromCodePoint(code);
    at += match[0].length;
  }
  return text;
}

/** Go's %q for ordinary text. */
export function goQuote(text: string): string {
  return JSON.stringify(text);
}
