import packet, { type Answer } from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { question } from '../../../test/fakes/dns.ts';
import { addressBytes } from '../../lib/address.ts';
import { encodeMessage } from './encode.ts';
import { v6Text } from './names.ts';
import type { DnsRecord } from './types.ts';

describe('the encoder', () => {
  const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,12}$/);
  const name = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'));
  const small = fc.nat(65_535);
  const data: fc.Arbitrary<DnsRecord['data']> = fc.oneof(
    fc.ipV4().map((address) => ({ type: 'A' as const, address })),
    fc.record({ type: fc.constantFrom('CNAME', 'NS', 'PTR'), target: name }),
    fc.record({ type: fc.constant('SRV' as const), priority: small, weight: small, port: small, target: name }),
    fc.string({ maxLength: 600 }).map((text) => ({ type: 'TXT' as const, text })),
  );
  const record: fc.Arbitrary<DnsRecord> = fc.record({ name, ttl: fc.nat(86_400), data });

  it.each([true, false])('writes what the library reads (compressed: %s)', (compress) => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 12 }), name, (records, asked) => {
        const raw = question(asked, 'A').subarray(12);
        const bytes = encodeMessage(
          { id: 1, flags: 0x8000, question: raw, answers: records, authorities: records, additionals: [] },
          compress,
        );
        const decoded = packet.decode(bytes);
        const wanted = records.map(({ name: of, ttl, data: content }) => {
          if (content.type === 'TXT') return { of, ttl, text: content.text };
          const { type, ...rest } = content;
          if ('address' in rest) return { of, ttl, type, data: rest.address };
          return { of, ttl, type, data: type === 'SRV' ? rest : (rest as { target: string }).target };
        });
        const shape = (answer: Answer): unknown => {
          const { name: of, ttl, type, data: content } = answer as Answer & { ttl: number; data: unknown };
          if (type === 'TXT') return { of, ttl, text: Buffer.concat(content as Buffer[]).toString() };
          return { of, ttl, type, data: content };
        };
        expect(decoded.answers?.map(shape)).toEqual(wanted);
        expect(decoded.authorities?.map(shape)).toEqual(wanted);
      }),
    );
  });

  it('shortens names that came before', () => {
    const answers: DnsRecord[] = Array.from({ length: 20 }, (_, at) => ({
      name: 'db.service.consul',
      ttl: 0,
      data: { type: 'CNAME', target: `n${at}.node.dc1.consul` },
    }));
    const message = { id: 1, flags: 0, question: question('db.service.consul', 'A').subarray(12), answers };
    const rest = { authorities: [], additionals: [] };
    const short = encodeMessage({ ...message, ...rest }).length;
    expect(short).toBeLessThan(encodeMessage({ ...message, ...rest }, false).length * 0.75);
  });

  it('writes the name that was asked as it was asked', () => {
    const raw = question('dB.sErvice.CONSUL', 'A').subarray(12);
    const answers: DnsRecord[] = [{ ttl: 0, data: { type: 'A', address: '192.0.2.255' } }];
    const message = { id: 1, flags: 0, question: raw, answers, authorities: [], additionals: [] };
    for (const bytes of [encodeMessage(message), encodeMessage(message, false)])
      expect(packet.decode(bytes).answers).toMatchObject([{ name: 'dB.sErvice.CONSUL', data: '192.0.2.255' }]);
  });

  it('refuses names that are none', () => {
    const answers: DnsRecord[] = [{ name: `${'x'.repeat(64)}.consul`, ttl: 0, data: { type: 'TXT', text: '' } }];
    const message = { id: 1, flags: 0, question: question('a', 'A').subarray(12), answers };
    expect(() => encodeMessage({ ...message, authorities: [], additionals: [] })).toThrow('no DNS name');
  });

  it('writes addresses of both families', () => {
    expect(addressBytes('10.9.9.9').toString('hex')).toBe('0a090909');
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.subarray([...Array(16).keys()]),
        (bytes, zeros) => {
          const address = Buffer.from(bytes);
          for (const at of zeros) address[at] = 0;
          expect(addressBytes(v6Text(address))).toEqual(address);
        },
      ),
    );
    expect(addressBytes('::ffff:10.0.0.1').toString('hex')).toBe('00000000000000000000ffff0a000001');
  });
});
