import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import type { AddressInfo, Server } from 'node:net';
import { IsthmusError } from '../../lib/errors.ts';
import { codeOf, hostPort } from './sockets.ts';

/** Listens and returns the bound port; rejects with `unavailable` when the address can't be had. */
export function listen(server: Server, address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (cause: Error): void => {
      server.removeListener('listening', onListening);
      const where = hostPort(address, port);
      reject(new IsthmusError('unavailable', `cannot listen on ${where}: ${codeOf(cause)}`, { cause }));
    };
    const onListening = (): void => {
      server.removeListener('error', onError);
      resolve((server.address() as AddressInfo).port); // an AddressInfo: it was given a host and a port
    };
    server.once('error', onError);
    server.once('listening', onListening);
    server.listen({ host: address === '' ? '127.0.0.1' : address, port, backlog: 1_024 });
  });
}

/** Listens at a Unix socket, in the place of what an earlier process left there. @param mode permissions in octal */
export async function listenAtSocket(server: Server, path: string, mode: string | undefined): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path);
  await new Promise<void>((resolve, reject) => {
    const onError = (cause: Error): void =>
      reject(new IsthmusError('unavailable', `cannot listen on ${path}: ${codeOf(cause)}`, { cause }));
    server.once('error', onError);
    server.listen({ path, backlog: 1_024 }, () => {
      server.removeListener('error', onError);
      resolve();
    });
  });
  if (mode !== undefined) chmodSync(path, Number.parseInt(mode, 8));
}

/** No new connections from here on; resolves once those that exist are gone too. */
export function stopListening(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve()); // its error only says that it did not listen
  });
}
