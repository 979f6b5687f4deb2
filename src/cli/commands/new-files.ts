import { IsthmusError } from '../../lib/errors.ts';
import type { Io } from '../command.ts';

/** Writes a certificate and its key, which only its owner may read; neither may be there yet. */
export function savePair(io: Io, cert: readonly [path: string, pem: string], key: readonly [string, string]): void {
  saveNew(io, cert[0], cert[1], 0o644);
  saveNew(io, key[0], key[1], 0o600);
}

/** Writes a file that must not be there yet. */
export function saveNew(io: Io, path: string, content: string | Uint8Array, mode: number): void {
  try {
    io.createFile(path, content, mode);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw code === 'EEXIST'
      ? new IsthmusError('conflict', `${path} already exists.`, { cause })
      : new IsthmusError('rejected', `${path} can't be written: ${code ?? String(cause)}`, { cause });
  }
}

/** A life in days as the ends of a certificate, beginning a minute ago: clocks differ. */
export function validity(now: number, days: number): { readonly notBefore: number; readonly notAfter: number } {
  return { notBefore: now - 60_000, notAfter: now + days * 86_400_000 };
}
