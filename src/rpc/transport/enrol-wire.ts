import type { Socket } from 'node:net';
import type { Clock } from '../../lib/clock.ts';
import { ERROR_CODES, type ErrorCode, IsthmusError } from '../../lib/errors.ts';

/**
 * How certificates are asked for on the server ports, told apart from everything else by ALPN: one JSON line there, one
 * back, on a TLS connection of its own. Whoever has no certificate yet can speak nothing else.
 */
export const ENROL_ALPN = 'isthmus-enrol/1';

export type EnrolRequest =
  /** Uses an invitation. */
  | {
      readonly op: 'join';
      readonly secret: string;
      readonly datacenter: string;
      readonly node: string;
      readonly csr: string;
    }
  /** Asks for another certificate in place of the one that the connection shows. */
  | { readonly op: 'renew'; readonly csr: string; readonly proof?: RenewalProof };

/** Of a datacenter: that it has the authority that it asks to renew. */
export interface RenewalProof {
  readonly authority: string;
  readonly signature: string;
}

export interface EnrolReply {
  /** PEM: the certificate, and what stands between it and the root. */
  readonly chain: string;
  readonly root: string;
  /** For replication, where the one who answers has access control on; '' otherwise. */
  readonly token: string;
}

/** A line is at most this long, bytes. */
const MAX_LINE = 64 * 1024;

/** The other side's line, as JSON. Throws `invalid_argument`, or `unavailable` when none came in time. */
export function readLine(socket: Socket, clock: Clock, limitMs: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (): void => {
      timer.cancel();
      socket.removeListener('data', onData);
      socket.removeListener('end', onEnd);
      socket.removeListener('close', onEnd);
    };
    const fail = (error: IsthmusError): void => {
      settle();
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      const end = chunk.indexOf(0x0a);
      chunks.push(end === -1 ? chunk : chunk.subarray(0, end));
      size += chunk.length;
      if (size > MAX_LINE) fail(new IsthmusError('too_large', 'the message is too long'));
      else if (end !== -1) {
        settle();
        try {
          resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')));
        } catch {
          reject(new IsthmusError('invalid_argument', 'the message is not JSON'));
        }
      }
    };
    const onEnd = (): void => fail(new IsthmusError('unavailable', 'the connection was closed before an answer'));
    const timer = clock.after(limitMs, () => fail(new IsthmusError('deadline', `no message within ${limitMs} ms`)));
    socket.on('data', onData);
    socket.once('end', onEnd);
    socket.once('close', onEnd);
  });
}

export function toLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

/** Of what a stranger sent; throws `invalid_argument`. */
export function asRequest(value: unknown): EnrolRequest {
  const { op, secret, datacenter, node, csr, proof } = record(value);
  if (op === 'join' && isText(secret) && isText(datacenter) && isText(node) && isText(csr))
    return { op, secret, datacenter, node, csr };
  if (op === 'renew' && isText(csr) && proof === undefined) return { op, csr };
  const { authority, signature } = record(proof);
  if (op === 'renew' && isText(csr) && isText(authority) && isText(signature))
    return { op, csr, proof: { authority, signature } };
  throw new IsthmusError('invalid_argument', 'the request is not understood: are both sides of the same version?');
}

/** Of what a server sent; its refusals are thrown as it meant them. */
export function asReply(value: unknown): EnrolReply {
  const { chain, root, token, error } = record(value);
  if (error !== undefined) {
    const { code, message } = record(error);
    const known = ERROR_CODES.find((one) => one === code) as ErrorCode | undefined;
    throw new IsthmusError(known ?? 'internal', isText(message) ? message : 'the other side failed');
  }
  if (isText(chain) && isText(root) && typeof token === 'string') return { chain, root, token };
  throw new IsthmusError('internal', 'the answer is not understood: are both sides of the same version?');
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
