import { expect, it } from 'vitest';
import { grpcMessage } from '../../../test/fakes/http2-frames.ts';
import { MessageReader } from './message-reader.ts';

const messages = ['', 'a', 'x'.repeat(300)].map((text) => Buffer.from(text));
const wire = Buffer.concat(messages.map(grpcMessage));

function readAll(reader: MessageReader): Buffer[] {
  const found: Buffer[] = [];
  for (let message = reader.next(); message !== undefined; message = reader.next()) found.push(message);
  return found;
}

it('finds the messages however they are cut', () => {
  for (const size of [1, 2, 5, 6, 7, 100, wire.length]) {
    const reader = new MessageReader(300);
    const found: Buffer[] = [];
    for (let at = 0; at < wire.length; at += size) {
      reader.add(wire.subarray(at, at + size));
      found.push(...readAll(reader));
    }
    expect(found, `pieces of ${size}`).toEqual(messages);
    expect(reader.next()).toBeUndefined();
  }
});

it('refuses a message that is too long as soon as its head is there, and a compressed one', () => {
  const long = new MessageReader(299);
  long.add(Buffer.from([0, 0, 0, 1, 44]));
  expect(() => long.next()).toThrow('299 bytes');
  const compressed = new MessageReader(299);
  compressed.add(Buffer.from([1, 0, 0, 0, 1, 0]));
  expect(() => compressed.next()).toThrow('compressed');
});
