import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IsthmusError } from '../errors.ts';
import { parseJson } from './json.ts';
import { type ObjectNode, toPlain } from './node.ts';
import { parseHcl } from './parser.ts';

const plain = (text: string): unknown => JSON.parse(JSON.stringify(toPlain(parseHcl(text, 'a.hcl'))));
const failure = (parse: (text: string, file: string) => ObjectNode, text: string): string => {
  try {
    parse(text, 'a.hcl');
  } catch (error) {
    expect(error).toBeInstanceOf(IsthmusError);
    return (error as IsthmusError).message;
  }
  return 'parsed';
};

describe('parseHcl', () => {
  it('reads entries, blocks, labels, lists and comments', () => {
    const text = `
# a comment
datacenter = "dc1" // another
/* and
   one more */
ports { http = 8500, https = -1 grpc = 0x10 }
retry_join = ["a", "b",]
"quoted" = true
service "web" "x" { port = 1.5 }
list = [{ a = 1 }, { a = 2 }]
`;
    expect(plain(text)).toEqual({
      datacenter: 'dc1',
      ports: { http: 8500, https: -1, grpc: 16 },
      retry_join: ['a', 'b'],
      quoted: true,
      service: { web: { x: { port: 1.5 } } },
      list: [{ a: 1 }, { a: 2 }],
    });
  });

  it('turns repeated blocks into a list and lets the last scalar win', () => {
    expect(plain('s { a = 1 }\ns { a = 2 }\ns { a = 3 }\nx = 1\nx = 2')).toEqual({
      s: [{ a: 1 }, { a: 2 }, { a: 3 }],
      x: 2,
    });
  });

  it('reads escapes and keeps interpolations as written', () => {
    expect(plain('a = "x\\n\\"\\u00e9\\x41\\101"')).toEqual({ a: 'x\n"éAA' });
    expect(plain('a = "$' + '{f("x", {y})} $5"')).toEqual({ a: '$' + '{f("x", {y})} $5' });
  });

  it('reads heredocs', () => {
    expect(plain('a = <<EOF\n  one\n two\nEOF\nb = 1')).toEqual({ a: '  one\n two\n', b: 1 });
    expect(plain('a = <<-EOF\n    one\n\n      two\n    EOF\n')).toEqual({ a: 'one\n\n  two\n' });
    expect(plain('a = <<EOF\r\none\r\nEOF\r\n')).toEqual({ a: 'one\r\n' });
    expect(plain('a = [<<E\nx\nE\n, "y"]')).toEqual({ a: ['x\n', 'y'] });
  });

  it('reads JSON when the text starts with a brace', () => {
    expect(plain(' {"a": {"b": [1, "x", null]}}')).toEqual({ a: { b: [1, 'x', null] } });
  });

  it('keeps positions', () => {
    const root = parseHcl('a = 1\n\n  b {\n    c = [\n 2]\n}', 'a.hcl');
    expect(root.entries.map((entry) => entry.at)).toEqual([
      { line: 1, column: 1 },
      { line: 3, column: 3 },
    ]);
    const block = root.entries[1]!.value as ObjectNode;
    expect(block.entries[0]!.at).toEqual({ line: 4, column: 5 });
  });

  it('keeps hostile keys as mere keys', () => {
    const value = toPlain(parseHcl('__proto__ { polluted = true }\nconstructor = 1', 'a.hcl')) as Record<
      string,
      unknown
    >;
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it.each([
    ['a = ', 'a.hcl:1: expected a value, found the end of the file'],
    ['a\n= 1\nb', 'a.hcl:3: key "b": expected "=" or "{", found the end of the file'],
    ['x = 1\na = "open\n', 'a.hcl:2: the text is not closed by a double quote'],
    ['a {\n b = 1\n', 'a.hcl:1: the block is not closed by "}"'],
    ['a = [1 2]', 'a.hcl:1: expected "," or "]", found "2"'],
    ['a = [1', 'a.hcl:1: expected "," or "]", found the end of the file'],
    ['a = [', 'a.hcl:1: the list is not closed by "]"'],
    ['}', 'a.hcl:1: unexpected "}"'],
    ['a = dc1', 'a.hcl:1: unexpected "dc1"; texts stand in double quotes'],
    ['a = 10s', 'a.hcl:1: malformed number; texts stand in double quotes'],
    ['a "b" = 1', 'a.hcl:1: a key with a label takes a block "{ ... }", not "="'],
    ['a = <<EOF\nx\n', 'a.hcl:1: the heredoc is not closed by a line with EOF'],
    ['/* x', 'a.hcl:1: the comment is not closed by "*/"'],
    ['a = "\\q"', 'a.hcl:1: unknown escape \\q'],
    ['a = "\\UFFFFFFFF"', 'a.hcl:1: unknown escape \\U'],
    ['= 1', 'a.hcl:1: expected a key, found "="'],
    ['{"a": 1', 'a.hcl:1: expected "," or "}", found the end of the file'],
  ])('refuses %j', (text, message) => {
    expect(failure(parseHcl, text)).toBe(message);
  });

  it('refuses deep nesting', () => {
    expect(failure(parseHcl, `a = ${'['.repeat(100_000)}`)).toMatch(/nested more than 64 deep/);
    expect(failure(parseHcl, 'a {\n'.repeat(100_000))).toMatch(/nested more than 64 deep/);
    expect(failure(parseHcl, `${'a '.repeat(10_000)}{}`)).toMatch(/nested more than 64 deep/);
    expect(failure(parseJson, `{"a":${'['.repeat(100_000)}`)).toMatch(/nested more than 64 deep/);
  });
});

describe('parseJson', () => {
  it.each([
    ['{"a": 1,}', 'a.hcl:1: a comma before "}" is not allowed in JSON'],
    ['{\n"a" 1}', 'a.hcl:2: expected ":" after key "a", found "1"'],
    ['{a: 1}', 'a.hcl:1: expected a key in double quotes, found "a"'],
    ['[1]', 'a.hcl:1: expected "{", found "["'],
    ['{} x', 'a.hcl:1: unexpected "x" after the end of the object'],
    ['{"a": tru}', 'a.hcl:1: unexpected "tru"; texts stand in double quotes'],
    ['{"a": "\\u12"}', 'a.hcl:1: expected four hex digits after \\u'],
    ['', 'a.hcl:1: expected "{", found the end of the file'],
  ])('refuses %j', (text, message) => {
    expect(failure(parseJson, text)).toBe(message);
  });

  it('reads what JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), (value) => {
        const text = JSON.stringify(value, null, 1);
        const read = JSON.parse(JSON.stringify(toPlain(parseJson(text, 'x'))));
        expect(read).toEqual(JSON.parse(text));
      }),
    );
  });
});

describe('any input', () => {
  const words = [
    'a',
    '"',
    '{',
    '}',
    '[',
    ']',
    '=',
    ',',
    '\n',
    '<<E',
    'E',
    '#',
    '/*',
    '*/',
    '$',
    '\\',
    '1',
    '-',
    '0x',
    'true',
    ' ',
    '😀',
  ];
  const soup = fc.array(fc.constantFrom(...words), { maxLength: 60 }).map((parts) => parts.join(''));

  it.each([
    ['parseHcl', parseHcl],
    ['parseJson', parseJson],
  ])('%s parses or throws a typed error with a line', (_name, parse) => {
    fc.assert(
      fc.property(fc.oneof(soup, fc.string({ maxLength: 80, unit: 'binary' })), (text) => {
        try {
          expect(parse(text, 'f').kind).toBe('object');
        } catch (error) {
          expect(error).toBeInstanceOf(IsthmusError);
          expect((error as IsthmusError).code).toBe('invalid_argument');
          expect((error as IsthmusError).message).toMatch(/^f:[1-9][0-9]*: /);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('reads back any text that is written with escapes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const escaped = JSON.stringify(text).replaceAll('$', '\\x24').replaceAll('\\/', '/');
        expect(plain(`a = ${escaped}`)).toEqual({ a: text });
      }),
    );
  });
});
