import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * A stream that HTTP/1.1 can be written to. Node 20 sends garbage for strings that are written to a stream of HTTP/2
 * together with other chunks: their memory is free before it was sent. Node's HTTP/1.1 writes heads as strings, so they
 * are made bytes before they reach the stream.
 */
export function bytesOnly(stream: Duplex): Duplex {
  if (stream instanceof Socket) return stream;
  const write = stream.write.bind(stream);
  stream.write = (chunk: unknown, encoding?: unknown, done?: unknown): boolean => {
    const callback = (typeof encoding === 'function' ? encoding : done) as ((error?: Error | null) => void) | undefined;
    if (typeof chunk !== 'string') return write(chunk, callback);
    const given = typeof encoding === 'string' && Buffer.isEncoding(encoding) ? encoding : 'utf8';
    return write(Buffer.from(chunk, given), callback);
  };
  return stream;
}
