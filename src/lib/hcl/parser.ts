import { parseJson } from './json.ts';
import { type ConfigNode, type Entry, MAX_DEPTH, type ObjectNode } from './node.ts';
import { Scanner } from './scanner.ts';
import { parseHeredoc, parseQuoted } from './text.ts';

const BLANK = /(?:[ \t\r\n]+|#[^\n]*|\/\/[^\n]*)+/y;
const IDENT = /[\p{L}_][\p{L}\p{Nd}_.-]*/uy;
const NUMBER = /-?(?:0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)/y;
const AFTER_NUMBER = /[\p{L}\p{Nd}_.]/uy;

/**
 * Reads HCL version 1. A text that starts with "{" is read as JSON, as HCL's own reader does.
 *
 * The grammar: entries `key = value`, `key { ... }` and `key "label" ... { ... }`, separated by line ends, blanks or
 * commas; values are numbers, true, false, texts, heredocs, lists and objects; comments start with `#` or `//`, or
 * stand between `/*` and its end.
 */
export function parseHcl(text: string, file: string): ObjectNode {
  if (/^\uFEFF?\s*\{/.test(text)) return parseJson(text, file);
  const scanner = new Scanner(text, file);
  const at = scanner.position();
  const entries = parseEntries(scanner, 1);
  if (!scanner.done) scanner.fail(`unexpected ${scanner.describeNext()}`);
  return { kind: 'object', entries, at };
}

function skipBlank(scanner: Scanner): void {
  for (;;) {
    scanner.takeMatch(BLANK);
    if (!scanner.startsWith('/*')) return;
    const end = scanner.text.indexOf('*/', scanner.offset + 2);
    if (end === -1) scanner.fail('the comment is not closed by "*/"');
    scanner.take(end + 2 - scanner.offset);
  }
}

/** Entries until "}" or the end of the text, neither of which is taken. */
function parseEntries(scanner: Scanner, depth: number): Entry[] {
  const entries: Entry[] = [];
  for (;;) {
    skipBlank(scanner);
    if (scanner.done || scanner.peek() === '}') return entries;
    entries.push(parseEntry(scanner, depth));
    skipBlank(scanner);
    if (scanner.peek() === ',') scanner.take();
  }
}

function parseKey(scanner: Scanner): { key: string; at: Entry['at'] } | undefined {
  const at = scanner.position();
  if (scanner.peek() === '"') return { key: parseQuoted(scanner), at };
  const key = scanner.takeMatch(IDENT);
  return key === '' ? undefined : { key, at };
}

function parseEntry(scanner: Scanner, depth: number): Entry {
  const path: { key: string; at: Entry['at'] }[] = [];
  for (;;) {
    const next = parseKey(scanner);
    if (next === undefined) break;
    path.push(next);
    skipBlank(scanner);
  }
  const [first, ...labels] = path;
  if (first === undefined) return scanner.fail(`expected a key, found ${scanner.describeNext()}`);
  if (depth + labels.length > MAX_DEPTH) scanner.fail(`nested more than ${MAX_DEPTH} deep`);

  let value: ConfigNode;
  if (scanner.peek() === '{') {
    value = parseObject(scanner, depth + labels.length + 1);
  } else if (scanner.peek() === '=') {
    if (labels.length > 0) scanner.fail(`a key with a label takes a block "{ ... }", not "="`);
    scanner.take();
    skipBlank(scanner);
    value = parseValue(scanner, depth + 1);
  } else {
    return scanner.fail(`key ${JSON.stringify(first.key)}: expected "=" or "{", found ${scanner.describeNext()}`);
  }
  for (const label of labels.reverse()) {
    value = { kind: 'object', entries: [{ key: label.key, at: label.at, value }], at: label.at };
  }
  return { key: first.key, at: first.at, value };
}

function parseObject(scanner: Scanner, depth: number): ObjectNode {
  const at = scanner.position();
  if (depth > MAX_DEPTH) scanner.fail(`nested more than ${MAX_DEPTH} deep`);
  scanner.take();
  const entries = parseEntries(scanner, depth);
  if (scanner.peek() !== '}') scanner.fail('the block is not closed by "}"', at);
  scanner.take();
  return { kind: 'object', entries, at };
}

function parseList(scanner: Scanner, depth: number): ConfigNode {
  const at = scanner.position();
  const items: ConfigNode[] = [];
  scanner.take();
  for (;;) {
    skipBlank(scanner);
    if (scanner.peek() === ']') break;
    if (scanner.done) scanner.fail('the list is not closed by "]"', at);
    items.push(parseValue(scanner, depth + 1));
    skipBlank(scanner);
    if (scanner.peek() === ',') scanner.take();
    else if (scanner.peek() !== ']') scanner.fail(`expected "," or "]", found ${scanner.describeNext()}`);
  }
  scanner.take();
  return { kind: 'list', items, at };
}

function parseValue(scanner: Scanner, depth: number): ConfigNode {
  if (depth > MAX_DEPTH) scanner.fail(`nested more than ${MAX_DEPTH} deep`);
  const at = scanner.position();
  const char = scanner.peek();
  if (char === '{') return parseObject(scanner, depth);
  if (char === '[') return parseList(scanner, depth);
  if (char === '"') return { kind: 'scalar', value: parseQuoted(scanner), at };
  if (char === '<') return { kind: 'scalar', value: parseHeredoc(scanner), at };
  const number = scanner.takeMatch(NUMBER);
  if (number !== '') {
    if (scanner.takeMatch(AFTER_NUMBER) !== '') scanner.fail('malformed number; texts stand in double quotes', at);
    return { kind: 'scalar', value: toNumber(number), at };
  }
  const word = scanner.takeMatch(IDENT);
  if (word === 'true' || word === 'false') return { kind: 'scalar', value: word === 'true', at };
  if (word !== '') return scanner.fail(`unexpected ${JSON.stringify(word)}; texts stand in double quotes`, at);
  return scanner.fail(`expected a value, found ${scanner.describeNext()}`);
}

/** As HCL reads it: 0x is hexadecimal, a leading 0 octal. */
function toNumber(digits: string): number {
  const negative = digits.startsWith('-');
  const bare = negative ? digits.slice(1) : digits;
  const value = /^0[0-7]+$/.test(bare) ? Number.parseInt(bare, 8) : Number(bare);
  return negative ? -value : value;
}
