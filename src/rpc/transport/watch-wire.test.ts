import { fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { type WatchReply, WatchReplySchema } from '../gen/isthmus/v1/isthmus_pb.ts';
import { knownDigest, WatchDecoder, WatchEncoder } from './watch-wire.ts';

const text = (value: unknown): string => JSON.stringify(value);

/** As it arrives at the other end, and how long it was. */
function carry(reply: WatchReply): { reply: WatchReply; bytes: number } {
  const bytes = toBinary(WatchReplySchema, reply);
  return { reply: fromBinary(WatchReplySchema, bytes), bytes: bytes.length };
}

interface Instance {
  readonly Node: { readonly Node: string; readonly Address: string };
  readonly Service: { readonly ID: string; readonly Port: number };
  readonly Checks: readonly { readonly CheckID: string; readonly Status: string }[];
}

const instance = (n: number, status = 'passing'): Instance => ({
  Node: { Node: `node-${n}`, Address: `10.0.${n >> 8}.${n & 255}` },
  Service: { ID: `web-${n}`, Port: 8_080 },
  Checks: [
    { CheckID: 'serfHealth', Status: 'passing' },
    { CheckID: `service:web-${n}`, Status: status },
  ],
});

it('puts every answer together again, whatever changed, with rising indexes', () => {
  const change = fc.tuple(
    fc.constantFrom('come', 'go', 'status', 'all'),
    fc.nat(199),
    fc.constantFrom('passing', 'critical'),
  );
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), fc.array(fc.boolean()), (changes, skipped) => {
      let value: readonly Instance[] = Array.from({ length: 20 }, (_, n) => instance(n));
      const encoder = new WatchEncoder(true);
      const decoder = new WatchDecoder<readonly Instance[]>();
      let shown = 0;
      for (const [step, [what, n, status]] of changes.entries()) {
        if (what === 'come') value = [...value, instance(n)].sort((a, b) => (a.Service.ID < b.Service.ID ? -1 : 1));
        if (what === 'go') value = value.filter((_, at) => at !== n);
        if (what === 'status') value = value.map((one, at) => (at === n % 20 ? instance(at, status) : one));
        if (what === 'all') value = value.map((_, at) => instance(at + n, status));
        if (skipped[step] === true) continue; // a slow watcher misses states in between
        const update = decoder.decode(carry(encoder.encode({ index: step + 1, value })).reply);
        expect(text(update.value)).toBe(text(value));
        expect(update.index).toBeGreaterThan(shown);
        shown = update.index;
      }
    }),
    { numRuns: 300 },
  );
});

it.each([100, 1_000, 5_000])('one change beside %i instances is one message of the same size', (count) => {
  const before = Array.from({ length: count }, (_, n) => instance(n));
  const after = before.map((one, n) => (n === 42 ? instance(n, 'critical') : one));
  const encoder = new WatchEncoder(true);
  expect(carry(encoder.encode({ index: 1, value: before })).bytes).toBeGreaterThan(count * 100);
  expect(carry(encoder.encode({ index: 2, value: after })).bytes).toBeLessThan(100);
});

it('tells what changed apart once for all who watch the answer, and makes no text of the whole', () => {
  const before = Array.from({ length: 1_000 }, (_, n) => instance(n));
  const after = before.map((one, n) => (n === 42 ? instance(n, 'critical') : one));
  const encoders = Array.from({ length: 50 }, () => new WatchEncoder(true));
  for (const encoder of encoders) encoder.encode({ index: 1, value: before });
  const stringify = vi.spyOn(JSON, 'stringify');
  try {
    const replies = encoders.map((encoder) => encoder.encode({ index: 2, value: after }));
    expect(new Set(replies.map(({ deltaJson }) => deltaJson)).size).toBe(1);
    expect(stringify).toHaveBeenCalledTimes(1);
    expect(String(stringify.mock.results[0]?.value).length).toBeLessThan(100);
  } finally {
    stringify.mockRestore();
  }
});

it('sends whole answers to a watcher of before, and reads those of a server of before', () => {
  const encoder = new WatchEncoder(false);
  const decoder = new WatchDecoder<readonly Instance[]>();
  for (let n = 1; n < 4; n += 1) {
    const value = Array.from({ length: 20 }, (_, at) => instance(at + n));
    const { reply } = carry(encoder.encode({ index: n, value }));
    expect(reply.deltaJson.length).toBe(0);
    expect(decoder.decode(reply)).toEqual({ index: n, value });
  }
});

it('sends nothing again that the watcher has from a watch before, and else the whole', () => {
  const value = Array.from({ length: 1_000 }, (_, n) => instance(n));
  const had: unknown = JSON.parse(text(value));
  const again = carry(new WatchEncoder(true, knownDigest(had)).encode({ index: 7, value }));
  expect(again.bytes).toBeLessThan(50);
  const decoder = new WatchDecoder(had);
  expect(decoder.decode(again.reply)).toEqual({ index: 7, value });
  const changed = value.map((one, n) => (n === 3 ? instance(n, 'critical') : one));
  const encoder = new WatchEncoder(true, knownDigest(had));
  const whole = carry(encoder.encode({ index: 8, value: changed }));
  expect(whole.bytes).toBeGreaterThan(100_000);
  const other = new WatchDecoder(had);
  expect(other.decode(whole.reply).value).toEqual(changed);
  expect(other.decode(carry(encoder.encode({ index: 9, value })).reply).value).toEqual(value);
  expect([knownDigest(undefined), knownDigest([1])].map(({ length }) => length)).toEqual([0, 0]);
});

it('refuses a change that belongs to another answer, so that the watch starts over', () => {
  const encoder = new WatchEncoder(true);
  const before = Array.from({ length: 20 }, (_, n) => instance(n));
  encoder.encode({ index: 1, value: before });
  const { reply } = carry(encoder.encode({ index: 2, value: before.slice(1) }));
  const decoder = new WatchDecoder();
  expect(() => decoder.decode(reply)).toThrowError(expect.objectContaining({ code: 'unavailable' }));
});
