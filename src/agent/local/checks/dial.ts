import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type CheckReach, lookupFor, requireReach } from './reach.ts';

export interface CheckAddress {
  readonly host: string;
  readonly port: number;
}

/** What a check wants of TLS; absent: none. */
export interface CheckTls {
  /** Default: the host that is dialled. */
  readonly serverName?: string;
  readonly skipVerify: boolean;
  readonly alpn?: readonly string[];
}

/** "host:port"; '' as host is this machine. Throws an error with Consul's text. */
export function checkAddress(address: string, network: string): CheckAddress {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, Math.max(0, at)).replace(/^\[(.*)\]$/, '$1');
  const port = Number(address.slice(at + 1));
  if (at < 0 || !Number.isInteger(port) || port < 1 || port > 65_535) {
    const fault = at < 0 ? 'missing port in address' : 'invalid port';
    throw new Error(`dial ${network}: address ${address}: ${fault}`);
  }
  return { host: host === '' ? 'localhost' : host, port };
}

/** The name that a certificate is looked at for; undefined for an address, which has none in SNI. */
export function serverNameOf(host: string, { serverName }: CheckTls): string | undefined {
  if (serverName) return serverName;
  return isIP(host) === 0 ? host : undefined;
}

/** A connection, with TLS once the other side has proved itself. The caller destroys it. */
export function dial(
  address: string,
  reach: CheckReach,
  tls: CheckTls | undefined,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const { host, port } = checkAddress(address, 'tcp');
    requireReach(host, reach);
    const lookup = lookupFor(reach);
    const to = { host, port, ...(lookup === undefined ? {} : { lookup }) };
    const name = tls === undefined ? undefined : serverNameOf(host, tls);
    const socket =
      tls === undefined
        ? connect(to)
        : connectTls({
            ...to,
            rejectUnauthorized: !tls.skipVerify,
            ...(name === undefined ? {} : { servername: name }),
            ...(tls.alpn === undefined ? {} : { ALPNProtocols: [...tls.alpn] }),
          });
    const fail = (error: unknown): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', fail); // stays: a later error of a connection that serves no more ends nothing
    socket.once('close', () => fail(Object.assign(new Error('EOF'), { code: 'ECONNRESET' })));
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      signal.removeEventListener('abort', onAbort);
      resolve(socket);
    });
  });
}
