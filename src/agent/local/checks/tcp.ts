import { connect } from 'node:net';
import type { Clock } from '../../../lib/clock.ts';
import { dialError, timeoutError } from './dial-error.ts';
import { lookupFor, requireReach, USUAL_REACH } from './reach.ts';
import type { CheckResult } from './runner.ts';

/** Passing when something accepts connections at `address` ("host:port"). */
export function probeTcp(
  clock: Clock,
  address: string,
  timeoutMs: number,
  signal: AbortSignal,
  reach = USUAL_REACH,
): Promise<CheckResult> {
  return new Promise((resolve) => {
    const at = address.lastIndexOf(':');
    const host = address.slice(0, Math.max(0, at)).replace(/^\[(.*)\]$/, '$1');
    const port = Number(address.slice(at + 1));
    if (at < 0 || !Number.isInteger(port) || port < 1 || port > 65_535) {
      const fault = at < 0 ? 'missing port in address' : 'invalid port';
      resolve({ status: 'critical', output: `dial tcp: address ${address}: ${fault}` });
      return;
    }
    try {
      requireReach(host, reach);
    } catch (error) {
      resolve({ status: 'critical', output: dialError(error, address) });
      return;
    }
    const lookup = lookupFor(reach);
    const name = host === '' ? 'localhost' : host;
    const socket = connect({ host: name, port, ...(lookup === undefined ? {} : { lookup }) });
    const finish = (result: CheckResult): void => {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(result);
    };
    const fail = (error: unknown): void => finish({ status: 'critical', output: dialError(error, address) });
    const onAbort = (): void => fail(signal.reason);
    const timer = clock.after(timeoutMs, () => fail(timeoutError()));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', fail);
    socket.once('connect', () => finish({ status: 'passing', output: `TCP connect ${address}: Success` }));
  });
}
