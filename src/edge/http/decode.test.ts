import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IsthmusError } from '../../lib/errors.ts';
import {
  asAny,
  asBool,
  asDuration,
  asInt,
  asList,
  asMap,
  asString,
  asStruct,
  decodeBody,
  parseBody,
} from './decode.ts';
import { scanValue } from './json-scan.ts';

const INNER = asStruct('structs.Inner', { Port: asInt, Name: asString });
const OUTER = asStruct(
  'structs.Outer',
  {
    Node: asString,
    On: asBool,
    Inner: INNER,
    List: asList(INNER, '[]structs.Inner'),
    Meta: asMap(asString),
    Every: asDuration,
    Any: asAny,
  },
  { aliases: { the_node: 'Node' } },
);

function decode(text: string): unknown {
  return decodeBody({ body: Buffer.from(text) }, OUTER);
}

function failure(text: string): string {
  try {
    decode(text);
  } catch (error) {
    expect(error).toBeInstanceOf(IsthmusError);
    expect((error as IsthmusError).code).toBe('invalid_argument');
    return (error as IsthmusError).message.replace('Request decode failed: ', '');
  }
  throw new Error(`decoded: ${text}`);
}

describe('decoding a body', () => {
  it('takes names in any case, aliases, null as unset, and ignores what follows the value', () => {
    expect(decode('{"node":"a","INNER":{"port":1},"Meta":null,"On":true} trailing')).toEqual({
      Node: 'a',
      Inner: { Port: 1 },
      On: true,
    });
    expect(decode('{"the_node":"b"}')).toEqual({ Node: 'b' });
    expect(decode('null')).toEqual({});
    expect(decode('{"Every":"1m30s"}')).toEqual({ Every: 90_000 });
    expect(decode('{"Every":1000000}')).toEqual({ Every: 1 });
  });

  it.each([
    ['', 'EOF'],
    ['  \n', 'EOF'],
    ['{"Node":', 'unexpected EOF'],
    ['{"Node":"a"', 'unexpected EOF'],
    ['{"Node":"a', 'unexpected EOF'],
    ['tru', 'unexpected EOF'],
    ['x', "invalid character 'x' looking for beginning of value"],
    ["'", `invalid character '\\'' looking for beginning of value`],
    ['{x', "invalid character 'x' looking for beginning of object key string"],
    ['{"Node":"a",}', "invalid character '}' looking for beginning of object key string"],
    ['{"Node" 1}', "invalid character '1' after object key"],
    ['{"Node":"a" "b"}', `invalid character '"' after object key:value pair`],
    ['[1 2]', "invalid character '2' after array element"],
    ['{"Node":"a\nb"}', "invalid character '\\n' in string literal"],
    ['{"Node":"\\q"}', "invalid character 'q' in string escape code"],
    ['{"Node":"\\u12x4"}', "invalid character 'x' in \\u hexadecimal character escape"],
    ['{"On":trux}', "invalid character 'x' in literal true (expecting 'e')"],
    ['{"Any":-x}', "invalid character 'x' in numeric literal"],
    ['{"Any":01}', "invalid character '1' after object key:value pair"],
    ['\uFEFF{}', "invalid character 'ï' looking for beginning of value"],
    ['{"Node":1}', 'json: cannot unmarshal number into Go struct field Outer.Node of type string'],
    ['{"On":"yes"}', 'json: cannot unmarshal string into Go struct field Outer.On of type bool'],
    ['{"Inner":{"Port":"1"}}', 'json: cannot unmarshal string into Go struct field Inner.Inner.Port of type int'],
    ['{"Inner":{"Port":1.5}}', 'json: cannot unmarshal number 1.5 into Go struct field Inner.Inner.Port of type int'],
    ['{"Inner":[]}', 'json: cannot unmarshal array into Go struct field Outer.Inner of type structs.Inner'],
    ['{"List":{}}', 'json: cannot unmarshal object into Go struct field Outer.List of type []structs.Inner'],
    ['{"Meta":{"a":true}}', 'json: cannot unmarshal bool into Go struct field Outer.Meta of type string'],
    ['[]', 'json: cannot unmarshal array into Go value of type structs.Outer'],
    ['{"Every":"abc"}', 'time: invalid duration "abc"'],
  ])('says of %j what is wrong with it', (text, expected) => {
    expect(failure(text)).toBe(expected);
  });

  it('does not let a key reach a prototype', () => {
    const decoded = decode('{"Meta":{"__proto__":"x","constructor":"y"}}') as { Meta: Record<string, string> };
    expect(Object.entries(decoded.Meta)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    expect(decode('{"__proto__":{"Node":"x"}}')).toEqual({});
  });

  it('passes over unknown fields with their paths, refuses them where it must, ignores what is only shown', () => {
    const named: string[] = [];
    const request = (text: string) => ({ body: Buffer.from(text), passOver: (path: string) => void named.push(path) });
    expect(decodeBody(request('{"Bogus":1,"Inner":{"Port":1,"Odd":{}},"List":[{"Odd":1}]}'), OUTER)).toEqual({
      Inner: { Port: 1 },
      List: [{}],
    });
    expect(named.splice(0)).toEqual(['Bogus', 'Inner.Odd', 'List.Odd']);
    const strict = asStruct('structs.Strict', { Name: asString }, { unknown: 'refuse', harmless: ['Note'] });
    expect(decodeBody(request('{"Name":"a","Note":"b"}'), strict)).toEqual({ Name: 'a' });
    expect(named.splice(0)).toEqual(['Note']);
    expect(() => decodeBody(request('{"Name":"a","Odd":1}'), strict)).toThrow('json: unknown field "Odd"');
    const shown = asStruct('structs.Shown', { Name: asString }, { unknown: 'ignore' });
    expect(decodeBody(request('{"Odd":1}'), shown)).toEqual({});
    expect(named).toEqual([]);
  });

  it('refuses values nested too deep', () => {
    expect(failure(`{"Any":${'['.repeat(200_000)}${']'.repeat(200_000)}}`)).toBe('exceeded max depth');
    expect(failure(`{"Any":${'{"a":'.repeat(100_000)}`)).toBe('exceeded max depth');
  });

  it('agrees with JSON.parse about what is valid', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(scanValue(Buffer.from(text).toString('latin1'), 1_000)).toEqual({ end: Buffer.byteLength(text) });
        expect(parseBody(Buffer.from(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  it('answers any damaged text with a text of its own, never with another error', () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), fc.string(), (text, at, noise) => {
        const damaged = text.slice(0, at % (text.length + 1)) + noise;
        try {
          parseBody(Buffer.from(damaged));
        } catch (error) {
          expect(error).toBeInstanceOf(IsthmusError);
        }
      }),
    );
  });
});
