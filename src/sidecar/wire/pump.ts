import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '../../lib/clock.ts';

/** One end of a connection through the sidecar. */
export interface End {
  readonly stream: Duplex;
  /** Ends it so that the other side sees a failure, never a clean end. */
  reset(): void;
  /** It was reset, though its stream may say that it ended. Asked when it says so, and when it closes. */
  failed(): boolean;
  /** Its data comes in many small pieces at once, one for each record; they are worth being written together. */
  readonly gather?: boolean;
}

export interface PumpOptions {
  readonly clock: Clock;
  /** 0 is never. */
  readonly idleTimeoutMs: number;
  /** Bytes that went from `near` to `far` and back, told once at the end. */
  readonly onClose: (sent: number, received: number) => void;
}

/**
 * From this size on, chunks are collected until the event loop has read all there is, and written in one system call.
 */
const COLLECT_FROM = 8_192;

/**
 * Bytes that one direction holds for a slow reader before the sender is paused. Streams themselves ask for a pause at
 * 16 KiB: each piece that was read is then sent alone, with a turn of the event loop and four system calls between two
 * of them. From 1 MiB on little more is gained.
 */
export const HELD_BYTES = 1 << 19;

let corked: Duplex[] = [];

function uncorkAll(): void {
  const streams = corked;
  corked = [];
  for (const stream of streams) stream.uncork();
}

/** Whether more may come at once. If not, `drain` follows. */
function write(to: Duplex, chunk: Buffer, gather: boolean): boolean {
  if (gather && chunk.length >= COLLECT_FROM && to.writableCorked === 0) {
    to.cork();
    if (corked.push(to) === 1) setImmediate(uncorkAll);
  }
  return to.write(chunk) || to.writableLength < HELD_BYTES;
}

/**
 * Moves bytes both ways until both ends are closed. A half-close is passed on as one, a failure as a reset; a reader is
 * paused while the other side's writer holds too much. Both streams must be open.
 */
export function pump(near: End, far: End, options: PumpOptions): void {
  const a = near.stream;
  const b = far.stream;
  let sent = 0;
  let received = 0;
  let open = 2;
  let seen = 0;
  let timer: Timer | undefined;

  const fail = (): void => {
    if (!a.destroyed) near.reset();
    if (!b.destroyed) far.reset();
  };

  const { idleTimeoutMs, clock } = options;
  if (idleTimeoutMs > 0) {
    const check = (): void => {
      if (seen === sent + received) fail();
      else {
        seen = sent + received;
        timer = clock.after(idleTimeoutMs, check);
      }
    };
    seen = -1; // the first period always passes
    timer = clock.after(idleTimeoutMs, check);
  }

  const gatherNear = near.gather === true;
  const gatherFar = far.gather === true;
  a.on('data', (chunk: Buffer) => {
    sent += chunk.length;
    if (!write(b, chunk, gatherNear)) a.pause();
  });
  b.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (!write(a, chunk, gatherFar)) b.pause();
  });
  b.on('drain', () => a.resume());
  a.on('drain', () => b.resume());

  const wire = (end: End, to: Duplex): void => {
    const from = end.stream;
    from.on('end', () => {
      // A destroyed stream may still say `end`; only what the other side sent is one.
      if (from.destroyed || end.failed()) fail();
      else if (!to.destroyed) to.end();
    });
    from.on('error', fail);
    from.on('close', () => {
      // Closed before it said all, or before it heard all: the other side must not take that for a clean end.
      if (end.failed() || !from.readableEnded || !from.writableFinished) fail();
      open -= 1;
      if (open > 0) return;
      timer?.cancel();
      options.onClose(sent, received);
    });
  };
  wire(near, b);
  wire(far, a);
  a.resume();
  b.resume();
}
