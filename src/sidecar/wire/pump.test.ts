import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.ts';
import { type End, HELD_BYTES, pump } from './pump.ts';

const PIECE = 65_536;

/** One end in memory: what it reads is pushed by the test, and what is written to it waits until the test takes it. */
class MemoryEnd extends Duplex implements End {
  readonly stream: Duplex = this;
  written = 0;
  #waiting: (() => void)[] = [];

  constructor() {
    super({ allowHalfOpen: true });
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written += chunk.length;
    this.#waiting.push(done);
  }

  /** What was written before goes out. */
  release(): void {
    for (const done of this.#waiting.splice(0)) done();
  }

  reset(): void {
    this.destroy();
  }

  failed(): boolean {
    return false;
  }
}

function pumped(): { near: MemoryEnd; far: MemoryEnd } {
  const ends = { near: new MemoryEnd(), far: new MemoryEnd() };
  pump(ends.near, ends.far, { clock: systemClock, idleTimeoutMs: 0, onClose: () => undefined });
  return ends;
}

it('reads on while the other side holds less than the bound, and no further', async () => {
  const { near, far } = pumped();
  let sent = 0;
  while (!near.isPaused()) {
    near.push(Buffer.alloc(PIECE));
    sent += PIECE;
    await turn();
    expect(sent).toBeLessThanOrEqual(HELD_BYTES + PIECE);
  }
  expect(far.writableLength).toBeGreaterThanOrEqual(HELD_BYTES);
  for (let more = 0; more < 10; more += 1) near.push(Buffer.alloc(PIECE)); // stays where it came from
  await turn();
  expect(far.writableLength).toBe(sent);
});

it('goes on when the other side has taken all, and loses nothing', async () => {
  const { near, far } = pumped();
  const pieces = 40;
  for (let n = 0; n < pieces; n += 1) near.push(Buffer.alloc(PIECE));
  while (far.written < pieces * PIECE) {
    far.release();
    await turn();
  }
  far.release();
  await turn();
  expect(near.isPaused()).toBe(false);
  near.push(null);
  await turn();
  expect(far.writableEnded).toBe(true);
});
