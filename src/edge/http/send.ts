import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Clock } from '../../lib/clock.ts';
import { withDeadline } from '../../lib/signals.ts';
import type { CompiledResponse } from './compiled.ts';

/** Writes an answer. A client that does not read it within `writeMs` is cut off. */
export function sendResponse(
  response: ServerResponse,
  compiled: CompiledResponse,
  clock: Clock,
  writeMs: number,
): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(compiled.status, compiled.headers as string[]);
  response.end(compiled.body);
  // Node hands small answers to the kernel at once; only what is left over needs a guard.
  if ((response.socket?.writableLength ?? 0) > 0) guardSlowReader(response, clock, writeMs);
}

function guardSlowReader(response: ServerResponse, clock: Clock, writeMs: number): void {
  const timer = clock.after(writeMs, () => response.destroy());
  response.once('close', () => timer.cancel());
}

/**
 * Sends what an iterable yields until it ends or the client goes away or reads nothing for `writeMs`; resolves then.
 */
export async function sendStream(
  response: ServerResponse,
  compiled: CompiledResponse,
  signal: AbortSignal,
  clock: Clock,
  writeMs: number,
): Promise<void> {
  response.writeHead(compiled.status, compiled.headers as string[]);
  response.flushHeaders();
  for await (const part of compiled.stream ?? []) {
    if (response.destroyed) break;
    if (response.write(part)) continue;
    const limit = withDeadline(clock, writeMs, 'the client’s reading', signal);
    try {
      await once(response, 'drain', { signal: limit.signal });
    } finally {
      limit.release();
    }
  }
  response.end();
}
