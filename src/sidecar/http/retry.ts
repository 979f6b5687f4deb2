import type { Retries } from '../../model/layer7/route-table.ts';
import { lineOf, type Reply } from './message.ts';

/** How an attempt came to nothing: without a connection, or on one. */
export type Failure = 'connect' | 'reset' | 'refused stream' | 'timeout';

const GRPC_STATUS: Readonly<Record<string, string>> = {
  cancelled: '1',
  'deadline-exceeded': '4',
  'resource-exhausted': '8',
  internal: '13',
  unavailable: '14',
};

/** Whether an answer is one that the route wants another attempt after. As Envoy reads its conditions. */
export function retriesReply({ on, statusCodes }: Retries, reply: Pick<Reply, 'status' | 'headers'>): boolean {
  const { status, headers } = reply;
  const grpc = lineOf(headers, 'grpc-status');
  return on.some((condition) => {
    switch (condition) {
      case '5xx':
        return status >= 500;
      case 'gateway-error':
        return status === 502 || status === 503 || status === 504;
      case 'retriable-4xx':
        return status === 409;
      case 'retriable-status-codes':
        return statusCodes.includes(status);
      case 'envoy-ratelimited':
        return lineOf(headers, 'x-envoy-ratelimited') !== undefined;
      default:
        return grpc !== undefined && grpc === GRPC_STATUS[condition];
    }
  });
}

export function retriesFailure({ on }: Retries, failure: Failure): boolean {
  return on.some((condition) => {
    switch (condition) {
      case '5xx':
      case 'gateway-error':
        return true;
      case 'connect-failure':
        return failure === 'connect';
      case 'refused-stream':
        return failure === 'refused stream';
      case 'reset':
        return failure !== 'timeout';
      default:
        return false;
    }
  });
}

/** Methods that may be sent twice (RFC 9110, 9.2.2). */
export const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);
