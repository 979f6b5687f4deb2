import type { Socket } from 'node:net';
import type { Clock } from './clock.ts';

/**
 * What the other side says first; the bytes stay in the socket for the one who will read it. Undefined when it closed
 * before, or said nothing for `limitMs`.
 */
export function peekFirstBytes(socket: Socket, clock: Clock, limitMs: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const finish = (bytes: Buffer | undefined): void => {
      timer.cancel();
      socket.removeListener('readable', onReadable);
      socket.removeListener('close', onEnd);
      socket.removeListener('end', onEnd);
      if (bytes !== undefined) socket.unshift(bytes);
      resolve(bytes);
    };
    const onReadable = (): void => {
      const bytes = socket.read() as Buffer | null;
      if (bytes !== null) finish(bytes);
    };
    const onEnd = (): void => finish(undefined);
    const timer = clock.after(limitMs, onEnd);
    socket.on('readable', onReadable);
    socket.once('close', onEnd);
    socket.once('end', onEnd);
    if (socket.destroyed) onEnd();
  });
}
