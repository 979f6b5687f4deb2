import { execFile } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import type { JoinSource } from '../config/join-sources.ts';
import { formatAddress, parseAddress } from '../lib/address.ts';
import { IsthmusError } from '../lib/errors.ts';

/** How long a program may take, milliseconds. */
const EXEC_MS = 30_000;
/** How long a DNS server may take, milliseconds. */
const DNS_MS = 5_000;
/** Bytes that it may print. */
const EXEC_OUTPUT = 65_536;
/** Addresses that are taken from one source. */
const MAX_ADDRESSES = 64;

/** Asks a source for addresses, as `host:port`. Throws with what failed, without what a program printed. */
export async function discover(
  source: JoinSource,
  defaultPort: number,
  signal: AbortSignal,
  resolver = new Resolver({ timeout: DNS_MS, tries: 2 }),
): Promise<readonly string[]> {
  const found = source.kind === 'exec' ? await run(source, signal) : await lookUp(source, defaultPort, resolver);
  const addresses = [...new Set(found.map((text) => parseAddress(text, defaultPort)))].slice(0, MAX_ADDRESSES);
  if (addresses.length === 0) throw failure(source, 'it names no address');
  return addresses;
}

/** For logs: a program's arguments can hold secrets. */
export function nameOf(source: JoinSource): string {
  return source.kind === 'exec' ? `exec=${source.program}` : `provider=dns name=${source.name}`;
}

function run(source: JoinSource & { readonly kind: 'exec' }, signal: AbortSignal): Promise<readonly string[]> {
  const options = { timeout: EXEC_MS, maxBuffer: EXEC_OUTPUT, killSignal: 'SIGKILL', signal } as const;
  return new Promise((resolve, reject) => {
    execFile(source.program, source.args, options, (error, stdout) => {
      if (error === null) resolve(stdout.split(/\s+/).filter((word) => word !== ''));
      else reject(failure(source, why(error)));
    });
  });
}

function why(error: Error & { readonly code?: string | number | null; readonly killed?: boolean }): string {
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'it printed too much';
  if (error.killed === true) return `it took longer than ${EXEC_MS / 1_000} s`;
  if (typeof error.code === 'number') return `it ended with status ${error.code}`;
  return typeof error.code === 'string' ? error.code : 'it failed';
}

async function lookUp(
  source: JoinSource & { readonly kind: 'dns' },
  defaultPort: number,
  resolver: Resolver,
): Promise<readonly string[]> {
  const { name, port, srv } = source;
  try {
    if (srv) return (await resolver.resolveSrv(name)).map((record) => `${record.name}:${port || record.port}`);
    const [v4, v6] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const found = [v4, v6].flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (found.length === 0 && v4.status === 'rejected') throw v4.reason;
    return found.map((address) => formatAddress({ address, port: port || defaultPort }));
  } catch (cause) {
    throw failure(source, (cause as NodeJS.ErrnoException).code ?? 'the name can not be resolved');
  }
}

function failure(source: JoinSource, text: string): IsthmusError {
  return new IsthmusError('unavailable', `${nameOf(source)}: ${text}`);
}
