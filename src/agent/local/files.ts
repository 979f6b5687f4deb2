import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskReason } from '../../lib/disk-error.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { CheckType } from '../../model/registration/definitions.ts';
import type { ServiceForm } from '../../model/service-form.ts';
import type { CheckForm } from './registry.ts';

/** What is kept of a registration over a restart. Tokens are in it, so only the owner may read the files. */
export interface SavedService {
  readonly form: ServiceForm;
  readonly token: string;
  readonly sidecarOf?: string;
}

export interface SavedCheck {
  readonly form: CheckForm;
  readonly type?: CheckType;
  readonly token: string;
}

/** The last report to a TTL check, and until when it holds. Milliseconds since the Unix epoch. */
export interface SavedTtl {
  readonly id: string;
  readonly status: string;
  readonly output: string;
  readonly expires: number;
}

type Kind = 'services' | 'checks' | 'checks/state';

/**
 * One file for each registration under `services/`, `checks/` and `checks/state/` of the data directory, replaced by
 * renaming so that a crash leaves the old or the new one. Writes to one file keep their order; without a directory
 * nothing is kept.
 */
export class RegistrationFiles {
  readonly #dir: string | undefined;
  readonly #onBroken: (file: string, error: IsthmusError) => void;
  readonly #last = new Map<string, Promise<void>>();

  /** @param onBroken called for a file that cannot be read; it is left where it is. */
  constructor(dir: string | undefined, onBroken: (file: string, error: IsthmusError) => void) {
    this.#dir = dir;
    this.#onBroken = onBroken;
  }

  saveService(service: SavedService): Promise<void> {
    return this.#save('services', service.form.ID, service, true);
  }

  saveCheck(check: SavedCheck): Promise<void> {
    return this.#save('checks', check.form.CheckID, check, true);
  }

  /**
   * Not forced to the disk: a heartbeat may come every second, and the worst is a check that is critical for a while.
   */
  saveTtl(ttl: SavedTtl): Promise<void> {
    return this.#save('checks/state', ttl.id, ttl, false);
  }

  removeService(id: string): Promise<void> {
    return this.#remove('services', id);
  }

  /** Forgets the registration, not the last report to its TTL check. */
  forgetCheck(id: string): Promise<void> {
    return this.#remove('checks', id);
  }

  async removeCheck(id: string): Promise<void> {
    await this.#remove('checks', id);
    await this.#remove('checks/state', id);
  }

  async load(): Promise<{
    readonly services: readonly SavedService[];
    readonly checks: readonly SavedCheck[];
    readonly ttls: ReadonlyMap<string, SavedTtl>;
  }> {
    const services = await this.#load<SavedService>('services', (saved) => typeof saved.form?.ID === 'string');
    const checks = await this.#load<SavedCheck>('checks', (saved) => typeof saved.form?.CheckID === 'string');
    const ttls = await this.#load<SavedTtl>('checks/state', (saved) => typeof saved.expires === 'number');
    return { services, checks, ttls: new Map(ttls.map((ttl) => [ttl.id, ttl])) };
  }

  /** Resolves once all that was begun is done. */
  async settle(): Promise<void> {
    while (this.#last.size > 0) await Promise.allSettled([...this.#last.values()]);
  }

  #save(kind: Kind, id: string, value: unknown, durable: boolean): Promise<void> {
    return this.#inOrder(kind, id, async (dir, file) => {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      const temporary = `${file}.tmp`;
      try {
        const handle = await open(temporary, 'w', 0o600);
        try {
          await handle.writeFile(JSON.stringify(value));
          if (durable) await handle.sync();
        } finally {
          await handle.close();
        }
        await rename(temporary, file);
      } catch (error) {
        await rm(temporary, { force: true }).catch(() => undefined); // the first error is the one worth telling
        throw error;
      }
    });
  }

  #remove(kind: Kind, id: string): Promise<void> {
    return this.#inOrder(kind, id, (_dir, file) => rm(file, { force: true }));
  }

  #inOrder(kind: Kind, id: string, work: (dir: string, file: string) => Promise<void>): Promise<void> {
    if (this.#dir === undefined) return Promise.resolve();
    const dir = join(this.#dir, kind);
    const file = join(dir, createHash('sha256').update(id).digest('hex'));
    const before = this.#last.get(file) ?? Promise.resolve();
    const done = before
      .catch(() => undefined)
      .then(() => work(dir, file))
      .catch((cause: unknown) => {
        throw notKept(kind, id, cause);
      });
    const tracked = done
      .catch(() => undefined)
      .then(() => {
        if (this.#last.get(file) === tracked) this.#last.delete(file);
      });
    this.#last.set(file, tracked);
    return done;
  }

  async #load<T>(kind: Kind, fits: (value: Partial<T>) => boolean): Promise<T[]> {
    if (this.#dir === undefined) return [];
    const dir = join(this.#dir, kind);
    const names = await readdir(dir, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    const loaded: T[] = [];
    for (const entry of names) {
      if (!entry.isFile() || entry.name.endsWith('.tmp')) continue;
      const file = join(dir, entry.name);
      try {
        const value = JSON.parse(await readFile(file, 'utf8')) as Partial<T>;
        if (!fits(value)) throw new IsthmusError('invalid_argument', 'it does not hold a registration');
        loaded.push(value as T);
      } catch (error) {
        this.#onBroken(file, IsthmusError.from(error));
      }
    }
    return loaded;
  }
}

function notKept(kind: Kind, id: string, cause: unknown): IsthmusError {
  const why = diskReason(cause) ?? (cause as NodeJS.ErrnoException).code ?? String(cause);
  return new IsthmusError(
    'unavailable',
    `${id} is in effect and not on disk (${kind} in data_dir: ${why}), so that a restart forgets the change; try it ` +
      `again`,
    { cause },
  );
}
