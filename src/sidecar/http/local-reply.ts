import type { HeaderLine } from '../../model/layer7/request.ts';
import { lineOf } from './message.ts';
import type { ServerCall } from './server-call.ts';

/** An answer of the sidecar's own. */
export interface LocalReply {
  readonly status: number;
  readonly text: string;
  readonly headers?: readonly HeaderLine[];
}

/** As Envoy says it: dashboards and clients know the words. */
export const DENIED: LocalReply = { status: 403, text: 'RBAC: access denied' };
export const NO_INSTANCE: LocalReply = { status: 503, text: 'no healthy upstream' };
export const TOO_SLOW: LocalReply = { status: 504, text: 'upstream request timeout' };
export const TOO_MANY: LocalReply = {
  status: 429,
  text: 'local_rate_limited',
  headers: [['x-envoy-ratelimited', 'true']],
};
export const OVERLOADED: LocalReply = {
  status: 503,
  text: 'upstream connect error or disconnect/reset before headers. reset reason: overflow',
  headers: [['x-envoy-overloaded', 'true']],
};

export function disconnected(reason: string): LocalReply {
  return { status: 503, text: `upstream connect error or disconnect/reset before headers. reset reason: ${reason}` };
}

/** Status of gRPC by that of HTTP (gRPC over HTTP/2, "HTTP to gRPC status code mapping"). */
const GRPC: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};

/** Answers in the caller's manner: a call of gRPC gets gRPC's status. What was already answered is cut. */
export function answerLocally(call: ServerCall, { status, text, headers = [] }: LocalReply): void {
  if (!call.unanswered) {
    call.abort();
    return;
  }
  call.body.resume(); // what is still sent is not read by anyone
  if (lineOf(call.head.headers, 'content-type')?.startsWith('application/grpc') === true) {
    const reply = [
      ['content-type', 'application/grpc'],
      ['grpc-status', String(GRPC[status] ?? 2)],
      ['grpc-message', text.replace(/[^ -$&-~]/g, encodeURIComponent)],
    ] as const;
    call.respond({ status: 200, headers: [...reply, ...headers] }).end([]);
    return;
  }
  const body = Buffer.from(text);
  const sink = call.respond({
    status,
    headers: [['content-type', 'text/plain'], ['content-length', String(body.length)], ...headers],
  });
  if (call.head.method !== 'HEAD') sink.stream.write(body);
  sink.end([]);
}
