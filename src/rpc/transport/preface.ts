import type { Socket } from 'node:net';
import type { Clock } from '../../lib/clock.ts';

/** What an HTTP/2 client sends first (RFC 9113, section 3.4). */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
/** What an HTTP/1 client sends first. */
const HTTP1 = /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE) /;
/** First byte of a TLS record that holds a handshake. */
const TLS_HANDSHAKE = 0x16;

export type PrefaceVerdict = 'http2' | 'http1' | 'tls' | 'garbage' | 'silent' | 'closed';

/** Looks at what a new connection speaks, without taking it from the one who will serve it. */
export function inspectPreface(socket: Socket, clock: Clock, limitMs: number): Promise<PrefaceVerdict> {
  return new Promise((resolve) => {
    let seen = Buffer.alloc(0);
    const finish = (verdict: PrefaceVerdict): void => {
      timer.cancel();
      socket.removeListener('readable', onReadable);
      socket.removeListener('close', onClose);
      socket.removeListener('end', onClose);
      if (verdict === 'http2') socket.unshift(seen);
      resolve(verdict);
    };
    const onClose = (): void => finish(seen.length === 0 ? 'closed' : 'garbage');
    const onReadable = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      seen = Buffer.concat([seen, chunk]);
      const common = Math.min(seen.length, PREFACE.length);
      if (seen.compare(PREFACE, 0, common, 0, common) === 0) {
        if (common === PREFACE.length) finish('http2');
        return;
      }
      if (seen[0] === TLS_HANDSHAKE) finish('tls');
      else finish(HTTP1.test(seen.toString('latin1', 0, 8)) ? 'http1' : 'garbage');
    };
    const timer = clock.after(limitMs, () => finish('silent'));
    socket.on('readable', onReadable);
    socket.once('close', onClose);
    socket.once('end', onClose);
  });
}
