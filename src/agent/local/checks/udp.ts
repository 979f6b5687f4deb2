import { createSocket } from 'node:dgram';
import type { Clock } from '../../../lib/clock.ts';
import { checkAddress } from './dial.ts';
import { dialError, timeoutError } from './dial-error.ts';
import { resolveWithin, USUAL_REACH } from './reach.ts';
import type { CheckResult } from './runner.ts';
import { withinTime } from './time-limit.ts';

/**
 * Sends an empty datagram. UDP has no handshake, so that silence is all that can be wanted: an answer, or none within
 * the time, is passing; critical is what the other machine says of a port that nothing listens on.
 */
export async function probeUdp(
  clock: Clock,
  address: string,
  timeoutMs: number,
  signal: AbortSignal,
  reach = USUAL_REACH,
): Promise<CheckResult> {
  const passing = { status: 'passing', output: `UDP connect ${address}: Success` } as const;
  try {
    const { host, port } = checkAddress(address, 'udp');
    const { address: ip, family } = await resolveWithin(host, reach);
    return await withinTime(clock, timeoutMs, signal, (limited) => exchange(ip, port, family, limited, passing));
  } catch (error) {
    return { status: 'critical', output: dialError(error, address, 'udp') };
  }
}

function exchange(
  ip: string,
  port: number,
  family: number,
  signal: AbortSignal,
  passing: CheckResult,
): Promise<CheckResult> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    const finish = (settle: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.close();
      settle();
    };
    const onAbort = (): void =>
      finish(() => (isTimeout(signal.reason) ? resolve(passing) : reject(signal.reason as Error)));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', (error) => finish(() => reject(error)));
    socket.once('message', () => finish(() => resolve(passing)));
    socket.connect(port, ip, (() => socket.send(Buffer.alloc(0))) as () => void);
  });
}

function isTimeout(reason: unknown): boolean {
  return (reason as NodeJS.ErrnoException).code === (timeoutError() as NodeJS.ErrnoException).code;
}
