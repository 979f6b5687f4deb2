import type { Scanner } from './scanner.ts';

const INTERPOLATION = `\${`;
const PLAIN = /[^"\\\n$]+/y;
const INSIDE = /[^"\\\n{}]+/y;
const OCTAL = /[0-7]{3}/y;
const HEX2 = /[0-9A-Fa-f]{2}/y;
const HEX4 = /[0-9A-Fa-f]{4}/y;
const HEX8 = /[0-9A-Fa-f]{8}/y;
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

/** A text in double quotes. `${...}` is kept as written, quotes inside included, because HCL leaves it to its user. */
export function parseQuoted(scanner: Scanner): string {
  const at = scanner.position();
  let result = '';
  scanner.take();
  for (;;) {
    result += scanner.takeMatch(PLAIN);
    if (scanner.startsWith(INTERPOLATION)) {
      result += takeInterpolation(scanner);
      continue;
    }
    const char = scanner.peek();
    if (char === '' || char === '\n') scanner.fail('the text is not closed by a double quote', at);
    scanner.take();
    if (char === '"') return result;
    result += char === '\\' ? parseEscape(scanner) : char;
  }
}

function takeInterpolation(scanner: Scanner): string {
  const at = scanner.position();
  let result = scanner.take(2);
  for (let depth = 1; depth > 0; ) {
    result += scanner.takeMatch(INSIDE);
    if (scanner.done) scanner.fail('the interpolation is not closed by "}"', at);
    const char = scanner.take();
    if (char === '{') depth++;
    if (char === '}') depth--;
    result += char;
  }
  return result;
}

function parseEscape(scanner: Scanner): string {
  const at = scanner.position();
  const octal = scanner.takeMatch(OCTAL);
  if (octal !== '') return String.fromCharCode(Number.parseInt(octal, 8));
  const letter = scanner.take();
  const plain = ESCAPES[letter];
  if (plain !== undefined) return plain;
  const digits = letter === 'x' ? HEX2 : letter === 'u' ? HEX4 : letter === 'U' ? HEX8 : undefined;
  const hex = digits === undefined ? '' : scanner.takeMatch(digits);
  const code = Number.parseInt(hex, 16);
  if (Number.isNaN(code) || code > 0x10ffff) return scanner.fail(`unknown escape \\${letter}`, at);
  return String.fromCodePoint(code);
}

const HEREDOC = /<<(-?)([\p{L}\p{Nd}_]+)[ \t\r]*\n/uy;

/** `<<NAME` and `<<-NAME`; the latter takes the least indentation off each line when all lines share it. */
export function parseHeredoc(scanner: Scanner): string {
  const at = scanner.position();
  const head = scanner.takeMatch(HEREDOC);
  const match = /^<<(-?)(\S+)/u.exec(head);
  if (match === null) return scanner.fail('expected "<<NAME" and a line end', at);
  const [, dash, name] = match;
  const lines: string[] = [];
  for (;;) {
    if (scanner.done) scanner.fail(`the heredoc is not closed by a line with ${name}`, at);
    const end = scanner.text.indexOf('\n', scanner.offset);
    const line = scanner.text.slice(scanner.offset, end === -1 ? undefined : end);
    if (line.trim() === name) {
      scanner.take(line.trimEnd().length);
      break;
    }
    scanner.take(line.length + 1);
    lines.push(line);
  }
  if (dash === '') return lines.map((line) => `${line}\n`).join('');
  const indent = Math.min(...lines.filter((line) => line.trim() !== '').map((line) => /^[ \t]*/.exec(line)![0].length));
  return lines.map((line) => `${line.slice(Number.isFinite(indent) ? indent : 0)}\n`).join('');
}
