import { type ConfigNode, type Entry, MAX_DEPTH, type ObjectNode } from './node.ts';
import { Scanner } from './scanner.ts';

const SPACE = /[ \t\r\n]+/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const PLAIN = /[^"\\\n]+/y;
const WORD = /[A-Za-z_][A-Za-z0-9_]*/y;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** Reads JSON (RFC 8259) whose outermost value is an object, keeping positions. Of a repeated key the last counts. */
export function parseJson(text: string, file: string): ObjectNode {
  const scanner = new Scanner(text, file);
  skipSpace(scanner);
  if (scanner.peek() !== '{') scanner.fail(`expected "{", found ${scanner.describeNext()}`);
  const root = parseObject(scanner, 1);
  skipSpace(scanner);
  if (!scanner.done) scanner.fail(`unexpected ${scanner.describeNext()} after the end of the object`);
  return root;
}

function skipSpace(scanner: Scanner): void {
  scanner.takeMatch(SPACE);
}

function parseValue(scanner: Scanner, depth: number): ConfigNode {
  if (depth > MAX_DEPTH) scanner.fail(`nested more than ${MAX_DEPTH} deep`);
  const at = scanner.position();
  const char = scanner.peek();
  if (char === '{') return parseObject(scanner, depth);
  if (char === '[') return parseList(scanner, depth);
  if (char === '"') return { kind: 'scalar', value: parseString(scanner), at };
  const number = scanner.takeMatch(NUMBER);
  if (number !== '') return { kind: 'scalar', value: Number(number), at };
  const word = scanner.takeMatch(WORD);
  if (word === 'true' || word === 'false') return { kind: 'scalar', value: word === 'true', at };
  if (word === 'null') return { kind: 'scalar', value: null, at };
  if (word !== '') return scanner.fail(`unexpected ${JSON.stringify(word)}; texts stand in double quotes`, at);
  return scanner.fail(`expected a value, found ${scanner.describeNext()}`);
}

function parseObject(scanner: Scanner, depth: number): ObjectNode {
  const at = scanner.position();
  const entries = new Map<string, Entry>();
  scanner.take();
  skipSpace(scanner);
  while (scanner.peek() !== '}') {
    const keyAt = scanner.position();
    if (scanner.peek() !== '"') scanner.fail(`expected a key in double quotes, found ${scanner.describeNext()}`);
    const key = parseString(scanner);
    skipSpace(scanner);
    if (scanner.peek() !== ':') {
      scanner.fail(`expected ":" after key ${JSON.stringify(key)}, found ${scanner.describeNext()}`);
    }
    scanner.take();
    skipSpace(scanner);
    entries.set(key, { key, at: keyAt, value: parseValue(scanner, depth + 1) });
    if (!parseSeparator(scanner, '}')) break;
  }
  scanner.take();
  return { kind: 'object', entries: [...entries.values()], at };
}

function parseList(scanner: Scanner, depth: number): ConfigNode {
  const at = scanner.position();
  const items: ConfigNode[] = [];
  scanner.take();
  skipSpace(scanner);
  while (scanner.peek() !== ']') {
    items.push(parseValue(scanner, depth + 1));
    if (!parseSeparator(scanner, ']')) break;
  }
  scanner.take();
  return { kind: 'list', items, at };
}

/** True when a comma and another element follow; false before `close`. */
function parseSeparator(scanner: Scanner, close: string): boolean {
  skipSpace(scanner);
  if (scanner.peek() === close) return false;
  if (scanner.peek() !== ',') scanner.fail(`expected "," or "${close}", found ${scanner.describeNext()}`);
  scanner.take();
  skipSpace(scanner);
  if (scanner.peek() === close) scanner.fail(`a comma before "${close}" is not allowed in JSON`);
  return true;
}

function parseString(scanner: Scanner): string {
  const at = scanner.position();
  let result = '';
  scanner.take();
  for (;;) {
    result += scanner.takeMatch(PLAIN);
    const char = scanner.peek();
    if (char === '' || char === '\n') scanner.fail('the text is not closed by a double quote', at);
    scanner.take();
    if (char === '"') return result;
    const letter = scanner.take();
    const plain = ESCAPES[letter];
    if (plain !== undefined) result += plain;
    else if (letter === 'u') result += parseUnicode(scanner);
    else scanner.fail(`unknown escape \\${letter}`, at);
  }
}

const HEX4 = /[0-9A-Fa-f]{4}/y;

function parseUnicode(scanner: Scanner): string {
  const digits = scanner.takeMatch(HEX4);
  if (digits === '') scanner.fail('expected four hex digits after \\u');
  return String.fromCharCode(Number.parseInt(digits, 16));
}
