import { connect } from 'node:net';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';

const PROBE_MS = 5_000;
/** The LAN port of an address that names none. */
export const DEFAULT_LAN_PORT = 8301;

/** Consul's words for why a connection could not be made. */
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  ETIMEDOUT: 'i/o timeout',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
};

/** Resolves when something listens at a LAN address; otherwise throws Consul's text. */
export async function probeLan(address: string, clock: Clock): Promise<void> {
  const [host = '', port] = splitPort(address);
  const failure = await new Promise<string | undefined>((resolve) => {
    const socket = connect({ host, port });
    const timer = clock.after(PROBE_MS, () => finish('i/o timeout'));
    const finish = (reason: string | undefined): void => {
      timer.cancel();
      socket.destroy();
      resolve(reason);
    };
    socket.on('connect', () => finish(undefined));
    socket.on('error', (error: NodeJS.ErrnoException) => finish(REASONS[error.code ?? ''] ?? error.message));
  });
  if (failure === undefined) return;
  throw new IsthmusError(
    'rejected',
    `1 error occurred:\n\t* Failed to join ${host}: dial tcp ${host}:${port}: ${failure}\n\n`,
  );
}

function splitPort(address: string): [string, number] {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(address);
  if (match === null) return [address, DEFAULT_LAN_PORT];
  return [match[1] ?? match[2] ?? '', match[3] === undefined ? DEFAULT_LAN_PORT : Number(match[3])];
}
