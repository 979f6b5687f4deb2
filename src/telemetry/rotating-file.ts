import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import type { Clock } from '../lib/clock.ts';

export interface RotationOptions {
  readonly path: string;
  /** A file that would grow above this is put aside first; 0: never. */
  readonly maxBytes: number;
  /** A file is put aside at this age, milliseconds; 0: never. */
  readonly maxAgeMs: number;
  /** Files put aside that are kept; 0: all. */
  readonly maxFiles: number;
  /** Permissions of the file. Default 0600. */
  readonly mode?: number;
  readonly clock: Clock;
}

interface Open {
  readonly fd: number;
  readonly since: number;
  size: number;
}

/**
 * A file of lines that is put aside when it is too large or too old: `audit.json` becomes `audit-<milliseconds>.json`.
 */
export class RotatingFile {
  readonly #options: RotationOptions;
  #open: Open | undefined;
  /** True: the last line may have been written in part. */
  #torn = false;

  constructor(options: RotationOptions) {
    this.#options = options;
  }

  /** Writes whole lines at once. Throws as node:fs does; the next write opens the file anew. */
  write(text: string): void {
    const bytes = Buffer.from(this.#torn && text !== '' ? `\n${text}` : text);
    try {
      const open = this.#ready(bytes.length);
      for (let at = 0; at < bytes.length; ) at += writeSync(open.fd, bytes, at);
      open.size += bytes.length;
      this.#torn = false;
    } catch (error) {
      this.#torn = true;
      this.close();
      throw error;
    }
  }

  close(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined) closeSync(open.fd);
  }

  #ready(more: number): Open {
    const { maxBytes, maxAgeMs, clock } = this.#options;
    const open = this.#open ?? this.#openFile();
    const full = maxBytes > 0 && open.size > 0 && open.size + more > maxBytes;
    const old = maxAgeMs > 0 && open.size > 0 && clock.now() - open.since >= maxAgeMs;
    if (!full && !old) return open;
    this.close();
    this.#putAside();
    return this.#openFile();
  }

  #openFile(): Open {
    const { path, mode = 0o600, clock } = this.#options;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openSync(path, 'a', mode);
    const { size, birthtimeMs } = fstatSync(fd);
    this.#open = { fd, size, since: size === 0 ? clock.now() : birthtimeMs };
    return this.#open;
  }

  #putAside(): void {
    const { path, maxFiles, clock } = this.#options;
    const extension = extname(path);
    const name = basename(path, extension);
    const folder = dirname(path);
    const stampOf = (file: string): number =>
      file.startsWith(`${name}-`) && file.endsWith(extension)
        ? Number(/^\d{13,}$/.exec(file.slice(name.length + 1, file.length - extension.length))?.[0] ?? 0)
        : 0;
    const aside = (): string[] =>
      readdirSync(folder)
        .filter((file) => stampOf(file) > 0)
        .sort((one, other) => stampOf(one) - stampOf(other));
    // Two within a millisecond keep their order.
    const stamp = Math.max(clock.now(), stampOf(aside().at(-1) ?? '') + 1);
    renameSync(path, join(folder, `${name}-${stamp}${extension}`));
    if (maxFiles > 0) for (const file of aside().slice(0, -maxFiles)) rmSync(join(folder, file), { force: true });
  }
}
