import { EventEmitter } from 'node:events';
import type { Http2Session, ServerHttp2Stream } from 'node:http2';
import { expect, it } from 'vitest';
import { grpcMessage } from '../../../test/fakes/http2-frames.ts';
import { Intake } from './intake.ts';

class Stream extends EventEmitter {
  readonly session: Http2Session;
  readonly destroyed = false;
  closed = false;

  constructor(session: object) {
    super();
    this.session = session as Http2Session;
  }

  close(): void {
    this.closed = true;
    this.emit('close');
  }

  data(piece: Buffer): void {
    this.emit('data', piece);
  }
}

function begin(intake: Intake, session: object): Stream {
  const stream = new Stream(session);
  intake.follow(stream as unknown as ServerHttp2Stream);
  return stream;
}

const make = (perConnection = 10_000, total = 15_000): Intake =>
  new Intake({ perMessage: () => 1_000_000, perConnection, total });

it('counts what is unfinished, however it is cut, and nothing once it is whole', () => {
  const intake = make(100_000, 100_000);
  const stream = begin(intake, {});
  const messages = Buffer.concat([
    grpcMessage(Buffer.alloc(300)),
    grpcMessage(Buffer.alloc(0)),
    grpcMessage(Buffer.alloc(70)),
  ]);
  for (const size of [1, 2, 5, 7, 100, messages.length]) {
    for (let at = 0; at < messages.length; at += size) stream.data(messages.subarray(at, at + size));
    expect(intake.held, `pieces of ${size}`).toBe(0);
  }
  stream.data(messages.subarray(0, 200));
  expect(intake.held).toBe(456);
  stream.close();
  expect(intake.held).toBe(0);
});

it('ends the call that goes over its connection’s bound, and beyond that of all the largest of the heaviest', () => {
  const intake = make();
  const part = grpcMessage(Buffer.alloc(900_000)).subarray(0, 4_000);
  const [first, second] = [{}, {}];
  const calls = [begin(intake, first), begin(intake, first), begin(intake, first)];
  for (const call of calls) call.data(part);
  expect(calls.map(({ closed }) => closed)).toEqual([false, false, true]);
  const other = begin(intake, second);
  other.data(part);
  other.data(part);
  expect(other.closed).toBe(false);
  expect(calls.filter(({ closed }) => closed)).toHaveLength(2);
});
