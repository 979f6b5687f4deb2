import { expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { networkOf, ResponseRate } from './response-rate.ts';

it.each([
  ['192.0.2.7', '192.0.2'],
  ['192.0.2.255', '192.0.2'],
  ['2001:db8:0:12ff::1', '20010db8000012'],
  ['2001:db8:0:1200:1::9', '20010db8000012'],
  ['fe80::1%eth0', 'fe800000000000'],
])('%s is in the network %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});

it('gives a network so many answers a second, others their own, and loopback all it asks for', async () => {
  const clock = new FakeClock();
  const rate = new ResponseRate(clock);
  const taken = (source: string, times: number, perSecond = 10): number =>
    Array.from({ length: times }, () => rate.take(source, perSecond)).filter(Boolean).length;
  expect([taken('192.0.2.1', 8), taken('192.0.2.99', 8), taken('192.0.3.1', 8)]).toEqual([8, 2, 8]);
  expect([taken('127.0.0.1', 100), taken('::1', 100), taken('192.0.2.1', 100, 0)]).toEqual([100, 100, 100]);
  await clock.advance(1_000);
  expect(taken('192.0.2.1', 20)).toBe(10);
});

it('counts in bounded memory, however many networks there seem to be', () => {
  const rate = new ResponseRate(new FakeClock());
  let allowed = 0;
  for (let number = 0; number < 100_000; number += 1)
    if (rate.take(`10.${number >> 16}.${(number >> 8) & 255}.1`.replace(/\.1$/, `.${number & 255}`), 1)) allowed += 1;
  for (let number = 0; number < 70_000; number += 1) if (rate.take(v6(number), 1)) allowed += 1;
  expect(allowed).toBeLessThanOrEqual(65_537);
});

function v6(number: number): string {
  return `2001:${(number >> 8).toString(16)}:0:${((number & 255) << 8).toString(16)}::1`;
}
