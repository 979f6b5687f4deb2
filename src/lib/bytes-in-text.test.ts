import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOfText, canonicalText, textOfBytes } from './bytes-in-text.ts';

describe('bytes in a text', () => {
  it('come back as they were, also over JSON', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (array) => {
        const bytes = Buffer.from(array);
        const sent = JSON.parse(JSON.stringify(textOfBytes(bytes))) as string;
        expect(bytesOfText(sent)).toEqual(bytes);
      }),
    );
  });

  it('are plain where they are UTF-8', () => {
    expect(textOfBytes(Buffer.from('a/é/😀'))).toBe('a/é/😀');
    expect(textOfBytes(Buffer.from([0x61, 0xff, 0xc3, 0xa9, 0xc3]))).toBe('a\udcffé\udcc3');
  });

  it('have one canonical text, whatever text was sent for them', () => {
    expect(canonicalText('\udcc3\udca9')).toBe('é');
    expect(canonicalText('\ud800')).toBe('\ufffd');
    expect(canonicalText('😀é')).toBe('😀é');
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 12 }), (text) => {
        const canonical = canonicalText(text);
        expect(bytesOfText(canonical)).toEqual(bytesOfText(text));
        expect(canonicalText(canonical)).toBe(canonical);
      }),
    );
  });
});
