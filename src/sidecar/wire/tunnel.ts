import { constants, type Http2Stream, type Settings } from 'node:http2';
import type { RefusalReason } from '../refusals.ts';
import type { End } from './pump.ts';

/** What two built-in sidecars agree on: HTTP/2 (RFC 9113) where each CONNECT stream is one connection. */

/** ALPN name. Not `h2`: nothing but tunnels is spoken here, and no other peer may take it for a web server. */
export const TUNNEL_PROTOCOL = 'isthmus-tunnel/1';

/** Bytes that one stream may have in flight; also what a slow reader can make this side hold. */
const STREAM_WINDOW = 1 << 20;
/** Bytes in flight over all streams of a tunnel. */
export const SESSION_WINDOW = 1 << 25;
/** Streams that the accepting side allows in one tunnel. */
const MAX_STREAMS = 1_000;

export const TUNNEL_SETTINGS: Settings = {
  enablePush: false,
  initialWindowSize: STREAM_WINDOW,
  maxFrameSize: 1 << 16,
  maxConcurrentStreams: MAX_STREAMS,
};

/** Megabytes that Node lets a session hold before it refuses streams; windows and stream limits bound it before. */
export const SESSION_MEMORY_MB = 1_024;

/** A stream that was reset by its application (RFC 9113, 7). */
const RESET_CODE = constants.NGHTTP2_CONNECT_ERROR;
/** Answers to CONNECT, each with the reason that its status stands for. */
export const STATUS = {
  connected: 200,
  badRequest: 400,
  expired: 401,
  denied: 403,
  limit: 429,
  localUnreachable: 502,
  stopping: 503,
} as const;

export const HEADER_REASON = 'isthmus-reason';
/** Refusal details, JSON. */
export const HEADER_DETAILS = 'isthmus-details';

export function reasonOf(status: number): RefusalReason {
  switch (status) {
    case STATUS.denied:
      return 'denied';
    case STATUS.expired:
      return 'expired';
    case STATUS.limit:
      return 'limit';
    case STATUS.localUnreachable:
      return 'local_unreachable';
    case STATUS.stopping:
      return 'stopping';
    default:
      return 'bad_request';
  }
}

/** Only RST_STREAM goes out: left to itself, Node ends the stream first, and the other side sees a clean end. */
export function resetStream(stream: Http2Stream): void {
  if (stream.closed || stream.destroyed) return;
  stream._final = (done) => done();
  stream.close(RESET_CODE);
}

/** A stream as one end of a connection. `reset` says how it is reset. */
export function streamEnd(stream: Http2Stream, reset: () => void): End {
  return { stream, reset, failed: () => stream.rstCode !== constants.NGHTTP2_NO_ERROR, gather: true };
}
