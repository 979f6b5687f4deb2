import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IsthmusError } from '../../lib/errors.ts';
import { FilterCompiler } from './filter.ts';
import { parseExpression } from './parser.ts';
import { BOOL, list, map, NUMBER, struct, TEXT, TEXT_MAP, TEXTS } from './schema.ts';
import { nodeFilter } from './schemas.ts';

const FIELDS = {
  Name: TEXT,
  Port: NUMBER,
  Native: BOOL,
  Tags: TEXTS,
  Meta: TEXT_MAP,
  Checks: list({ Status: TEXT, Count: NUMBER }),
  Addresses: map(struct({ Address: TEXT, Port: NUMBER })),
  Weights: struct({ Passing: NUMBER }),
};

interface Sample {
  readonly Name?: string;
  readonly Port?: number;
  readonly Native?: boolean;
  readonly Tags?: readonly string[] | null;
  readonly Meta?: { readonly [name: string]: string; readonly a?: string } | null;
  readonly Checks?: readonly { readonly Status: string; readonly Count?: number }[];
  readonly Addresses?: Readonly<Record<string, { readonly Address: string; readonly Port: number }>>;
  readonly Weights?: { readonly Passing: number };
}

const filter = new FilterCompiler<Sample>(FIELDS);

function fault(expression: string): string {
  try {
    filter.compile(expression);
  } catch (error) {
    if (!(error instanceof IsthmusError)) throw error;
    expect(error.code).toBe('rejected');
    return error.message.replace('Failed to create boolean expression evaluator: ', '');
  }
  return 'no fault';
}

describe('the grammar', () => {
  it.each([
    ['bogus', '1:6 (5): no match found, expected: "!=", ".", "==", "[", [ \\t\\r\\n] or [a-zA-Z0-9_]'],
    ['foo == "12x', '1:12 (11): rule "string": Unterminated string literal'],
    ['foo == `12x', '1:12 (11): rule "string": Unterminated string literal'],
    ['foo == 3x', '1:9 (8): rule "number": Invalid number literal'],
    ['foo[3] == abc', '1:5 (4): rule "index": Invalid index'],
    ['x in foo["abc"', '1:15 (14): rule "index": Unclosed index expression'],
    ['foo["abc" == 3', '1:11 (10): rule "index": Unclosed index expression'],
    ['x in 32', '1:6 (5): rule "match": Invalid selector'],
    ['32 == 32', '1:4 (3): no match found, expected: "in", "not" or [ \\t\\r\\n]'],
    ['32 is empty', '1:4 (3): no match found, expected: "in", "not" or [ \\t\\r\\n]'],
    ['x in foo abc', '1:10 (9): no match found, expected: "and", "or", [ \\t\\r\\n] or EOF'],
    [
      'x in foo and ',
      '1:14 (13): no match found, expected: "(", "-", "0", "\\"", "`", "not", [ \\t\\r\\n], [1-9] or [a-zA-Z]',
    ],
    [
      'x in foo or not ',
      '1:17 (16): no match found, expected: "!=", "(", "-", "0", "==", "\\"", "`", "contains", "in", "is", ' +
        '"matches", "not", [ \\t\\r\\n], [1-9] or [a-zA-Z]',
    ],
    ['(foo == 4', '1:10 (9): rule "grouping": Unmatched parentheses'],
    ['foo ==\n"\\q"', '2:1 (7): rule "string": invalid syntax'],
  ])('refuses %j as Consul does', (expression, message) => {
    expect(fault(expression)).toBe(message);
  });

  it('reads selectors, values and white space in every form', () => {
    const match = { type: 'match', selector: ['foo', 'bar', 'meta', 'ENV x'], operator: 'In', value: 'a.b' };
    expect(parseExpression('a.b in foo.bar["meta"][\t`ENV x` ]')).toEqual(match);
    expect(parseExpression('\t\r\n ( foo.bar["meta"]["ENV\\x20x"] \n contains \r "a\\u002eb" ) \n')).toEqual(match);
    expect(parseExpression('foo==-0.25')).toEqual({
      type: 'match',
      selector: ['foo'],
      operator: 'Equal',
      value: '-0.25',
    });
  });

  it('binds not before and before or', () => {
    const leaf = (name: string): unknown => ({ type: 'match', selector: [name], operator: 'Is Empty' });
    expect(parseExpression('not a is empty and b is empty or not not c is empty')).toEqual({
      type: 'or',
      parts: [{ type: 'and', parts: [{ type: 'not', operand: leaf('a') }, leaf('b')] }, leaf('c')],
    });
    expect(parseExpression('not (a is empty or b is empty)')).toEqual({
      type: 'not',
      operand: { type: 'or', parts: [leaf('a'), leaf('b')] },
    });
  });

  it('accepts words of the grammar as names', () => {
    expect(parseExpression('not in not')).toEqual({ type: 'match', selector: ['not'], operator: 'In', value: 'not' });
    expect(parseExpression('is is empty')).toEqual({ type: 'match', selector: ['is'], operator: 'Is Empty' });
  });
});

describe('selectors and values', () => {
  it.each([
    ['Nope == 1', 'Selector "Nope" is not valid'],
    ['Meta.a.b == 1', 'Selector "Meta.a.b" is not valid'],
    ['Weights.toString == 1', 'Selector "Weights.toString" is not valid'],
    ['Tags == a', 'Invalid match operator "Equal" for selector "Tags"'],
    ['Port is empty', 'Invalid match operator "Is Empty" for selector "Port"'],
    [
      'Port == abc',
      'Failed to coerce value "abc" for selector "Port": strconv.ParseInt: parsing "abc": invalid syntax',
    ],
    [
      'Weights.Passing == 99999999999999999999',
      'Failed to coerce value "99999999999999999999" for selector "Weights.Passing": strconv.ParseInt: parsing ' +
        '"99999999999999999999": value out of range',
    ],
    [
      'Native == yes',
      'Failed to coerce value "yes" for selector "Native": strconv.ParseBool: parsing "yes": invalid syntax',
    ],
    ['Name matches "[a"', 'Failed to compile regular expression "[a": error parsing regexp: missing closing ]: `[a`'],
  ])('refuses %j as Consul does', (expression, message) => {
    expect(fault(expression)).toBe(message);
  });

  const web: Sample = {
    Name: 'web',
    Port: 8080,
    Native: true,
    Tags: ['v1', 'blue'],
    Meta: { env: 'prod', 'a-b': '' },
    Checks: [{ Status: 'passing' }, { Status: 'critical', Count: 3 }],
    Addresses: { lan: { Address: '10.0.0.1', Port: 1 } },
    Weights: { Passing: 10 },
  };

  it.each([
    ['Name == web', true],
    ['Name == "WEB"', false],
    ['Port == 8080 and Native == true', true],
    ['Port == "0x1F90"', true],
    ['v1 in Tags', true],
    ['Tags not contains "v2"', true],
    ['Tags is empty', false],
    ['Meta.env == prod', true],
    ['Meta["a-b"] == ""', true],
    ['Meta.none == ""', false],
    ['Meta.none != x', true],
    ['Meta.none matches ".*"', false],
    ['Meta.none not matches ".*"', true],
    ['Meta.none not in Meta', true],
    ['env in Meta', true],
    ['e in Name', true],
    ['Checks.Status == critical', true],
    ['Checks.Status != critical', true],
    ['not Checks.Status == critical', false],
    ['Checks.Count == 0', true],
    ['Checks is not empty', true],
    ['Addresses.lan.Port == 1', true],
    ['Addresses.wan.Port == 1', false],
    ['Weights.Passing != 10', false],
    ['Name matches "^w.b$"', true],
    ['Name matches "(?i)W"', true],
    ['Name not matches `^a`', true],
  ])('%s is %s', (expression, wanted) => {
    expect(filter.compile(expression)(web)).toBe(wanted);
  });

  it('takes what is left out as zero', () => {
    for (const expression of [
      'Name == ""',
      'Port == 0',
      'Native == false',
      'Tags is empty',
      'Meta is empty',
      'Checks is empty',
      'Weights.Passing == 0',
      'not x in Tags',
      'Checks.Status != x or true in Name or Name == ``',
    ])
      expect(filter.compile(expression)({ Tags: null, Meta: null }), expression).toBe(true);
  });

  it('does not see inherited names', () => {
    expect(filter.compile('constructor in Meta')({ Meta: {} })).toBe(false);
    expect(filter.compile('Meta.constructor != x')({ Meta: {} })).toBe(true);
    expect(filter.compile('Meta.constructor == ""')({ Meta: {} })).toBe(false);
  });

  it('has the fields of the catalog', () => {
    const node = {
      ID: '',
      Node: 'n1',
      Address: '1.2.3.4',
      Datacenter: 'dc1',
      TaggedAddresses: null,
      Meta: { rack: 'a' },
    };
    const row = { ...node, CreateIndex: 1, ModifyIndex: 1 };
    expect(nodeFilter.apply('Meta.rack==a', [row])).toEqual([row]);
    expect(nodeFilter.apply('', [row])).toEqual([row]);
    expect(() => nodeFilter.compile('CreateIndex == 1')).toThrow('Selector "CreateIndex" is not valid');
  });
});

describe('bounds', () => {
  it('refuses what is too long or too deep', () => {
    expect(fault(`Name == "${'x'.repeat(20_000)}"`)).toBe('longer than 16384 bytes');
    expect(fault(`${'('.repeat(2_000)}Name == x${')'.repeat(2_000)}`)).toBe('more than 100 nested parentheses');
  });

  it('reads the longest chains and the worst ways back in little work', () => {
    const chain = Array.from({ length: 900 }, (_, i) => `Name == a${i}`).join(' or ');
    expect(filter.compile(chain)({ Name: 'a899' })).toBe(true);
    expect(fault(`${'not '.repeat(4_000)}x`)).toContain('no match found');
    expect(fault(`${'('.repeat(99)}Name == x`)).toContain('Unmatched parentheses');
    expect(fault('('.repeat(99) + ' '.repeat(15_000))).toContain('no match found');
  });

  it('a hostile pattern takes time in proportion to pattern and text', () => {
    const evil = filter.compile('Name matches "^(a+)+$"');
    expect(evil({ Name: `${'a'.repeat(5_000)}b` })).toBe(false);
    expect(fault('Name matches "((a{1000}){1000}){1000}"')).toContain('expression too large');
    expect(filter.compile('Name matches "(((){1000}){1000}){1000}"')({ Name: '' })).toBe(true);
  });

  it('never throws anything but a refusal, whatever the text', () => {
    const token = fc.constantFrom(
      '(',
      ')',
      'not',
      ' ',
      'and',
      'or',
      '==',
      '"',
      '`',
      '[',
      ']',
      'Name',
      '.',
      '1',
      '-',
      'in',
      '\n',
      'é',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(token, { maxLength: 30 }).map((parts) => parts.join('')),
          fc.string(),
        ),
        (text) => {
          expect(typeof fault(text)).toBe('string');
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('against a second implementation', () => {
  type Tree =
    | { readonly kind: 'leaf'; readonly text: string; readonly holds: (value: Sample) => boolean }
    | { readonly kind: 'not'; readonly of: Tree }
    | { readonly kind: 'and' | 'or'; readonly left: Tree; readonly right: Tree };

  const word = fc.constantFrom('a', 'b', 'web', 'x1');
  const quoted = (value: string, style: number): string => [value, `"${value}"`, `\`${value}\``][style % 3] as string;
  const leaf: fc.Arbitrary<Tree> = fc
    .tuple(word, fc.nat(2), fc.nat(9), fc.integer({ min: 0, max: 3 }))
    .map(([value, style, which, port]): Tree => {
      const text = quoted(value, style);
      const leaves: readonly [string, (sample: Sample) => boolean][] = [
        [`Name == ${text}`, (s) => s.Name === value],
        [`Name!=${text}`, (s) => s.Name !== value],
        [`${text} in Tags`, (s) => s.Tags?.includes(value) === true],
        [`Tags not contains ${text}`, (s) => s.Tags?.includes(value) !== true],
        ['Tags is empty', (s) => (s.Tags ?? []).length === 0],
        [`Port == ${port}`, (s) => (s.Port ?? 0) === port],
        [`Meta.a == ${text}`, (s) => s.Meta?.a === value],
        [`Meta["a"] != ${text}`, (s) => s.Meta?.a !== value],
        [`Checks.Status == ${text}`, (s) => s.Checks?.some((check) => check.Status === value) === true],
        [`Name matches ${text}`, (s) => (s.Name ?? '').includes(value)],
      ];
      const [expression, holds] = leaves[which] as (typeof leaves)[number];
      return { kind: 'leaf', text: expression, holds };
    });
  const tree = fc.letrec<{ tree: Tree }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      leaf,
      tie('tree').map((of): Tree => ({ kind: 'not', of })),
      fc
        .tuple(fc.constantFrom('and' as const, 'or' as const), tie('tree'), tie('tree'))
        .map(([kind, left, right]): Tree => ({ kind, left, right })),
    ),
  })).tree;

  const print = (node: Tree): string => {
    if (node.kind === 'leaf') return node.text;
    if (node.kind === 'not') return `not (${print(node.of)})`;
    return `(${print(node.left)}) ${node.kind} (${print(node.right)})`;
  };
  const holds = (node: Tree, value: Sample): boolean => {
    if (node.kind === 'leaf') return node.holds(value);
    if (node.kind === 'not') return !holds(node.of, value);
    if (node.kind === 'and') return holds(node.left, value) && holds(node.right, value);
    return holds(node.left, value) || holds(node.right, value);
  };

  const sample: fc.Arbitrary<Sample> = fc.record(
    {
      Name: word,
      Port: fc.integer({ min: 0, max: 3 }),
      Tags: fc.option(fc.array(word, { maxLength: 3 })),
      Meta: fc.dictionary(fc.constantFrom('a', 'b'), word),
      Checks: fc.array(fc.record({ Status: word }), { maxLength: 2 }),
    },
    { requiredKeys: [] },
  );

  it('gives the same verdict', () => {
    fc.assert(
      fc.property(tree, fc.array(sample, { minLength: 1, maxLength: 5 }), (expression, values) => {
        const compiled = filter.compile(print(expression));
        for (const value of values) expect(compiled(value)).toBe(holds(expression, value));
      }),
      { numRuns: 1_000 },
    );
  });
});
