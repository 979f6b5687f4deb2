import { connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import type { Clock } from '../../../lib/clock.ts';
import { type CheckTls, dial } from './dial.ts';
import { dialError } from './dial-error.ts';
import { USUAL_REACH } from './reach.ts';
import type { CheckResult } from './runner.ts';
import { withinTime } from './time-limit.ts';

/** Passing when a server of HTTP/2 at `address` ("host:port") answers a ping. */
export async function probeH2Ping(
  clock: Clock,
  address: string,
  timeoutMs: number,
  signal: AbortSignal,
  reach = USUAL_REACH,
  tls?: CheckTls,
): Promise<CheckResult> {
  return await withinTime(clock, timeoutMs, signal, async (limited) => {
    let socket: Socket;
    try {
      socket = await dial(address, reach, tls && { ...tls, alpn: ['h2'] }, limited);
    } catch (error) {
      return critical(`Failed to dial to ${address}: ${dialError(error, address)}`);
    }
    try {
      await ping(socket, limited);
      return { status: 'passing', output: 'HTTP2 ping was successful' };
    } catch (error) {
      return critical(
        `HTTP2 ping failed: ${limited.aborted ? 'context deadline exceeded' : dialError(error, address)}`,
      );
    } finally {
      socket.destroy();
    }
  });
}

function critical(output: string): CheckResult {
  return { status: 'critical', output };
}

function ping(socket: Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2('http://h2ping', { createConnection: () => socket });
    const finish = (settle: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      session.destroy();
      settle();
    };
    const onAbort = (): void => finish(() => reject(signal.reason as Error));
    signal.addEventListener('abort', onAbort, { once: true });
    session.on('error', (error) => finish(() => reject(error)));
    session.once('close', () => finish(() => reject(new Error('the connection was closed'))));
    session.once('connect', () => session.ping((error) => finish(() => (error === null ? resolve() : reject(error)))));
  });
}
