import type { Clock } from '../../../lib/clock.ts';
import { type CheckTls, dial } from './dial.ts';
import { dialError } from './dial-error.ts';
import { USUAL_REACH } from './reach.ts';
import type { CheckResult } from './runner.ts';
import { withinTime } from './time-limit.ts';

/** Passing when something accepts connections at `address` ("host:port"), and proves itself where TLS is wanted. */
export async function probeTcp(
  clock: Clock,
  address: string,
  timeoutMs: number,
  signal: AbortSignal,
  reach = USUAL_REACH,
  tls?: CheckTls,
): Promise<CheckResult> {
  try {
    const socket = await withinTime(clock, timeoutMs, signal, (limited) => dial(address, reach, tls, limited));
    socket.destroySoon(); // the last word of the handshake still goes out: servers would log a failed one
    return { status: 'passing', output: `TCP${tls === undefined ? '' : '+TLS'} connect ${address}: Success` };
  } catch (error) {
    return { status: 'critical', output: dialError(error, address) };
  }
}
