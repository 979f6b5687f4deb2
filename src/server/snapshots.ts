import type { Clock } from '../lib/clock.ts';
import { hasCode, IsthmusError } from '../lib/errors.ts';
import { throwIfAborted } from '../lib/signals.ts';
import type { SecretRows } from '../pki/secret-rows.ts';
import type { CallOptions } from '../rpc/contract/contract.ts';
import type {
  RestoreCallOptions,
  RestoredSnapshot,
  SavedSnapshot,
  SnapshotContract,
} from '../rpc/contract/snapshots.ts';
import { FORMAT, type KeysAtRest, type SnapshotMetadata, type StateRow } from '../snapshot/format.ts';
import { openArchive } from '../snapshot/read.ts';
import { writeArchive } from '../snapshot/write.ts';
import type { SnapshotPage } from '../store/engine.ts';
import type { Store } from '../store/store.ts';
import type { Logger, Metrics } from '../telemetry/types.ts';

export interface SnapshotsDeps {
  readonly datacenter: string;
  readonly primaryDatacenter: string;
  readonly node: string;
  readonly version: string;
  readonly store: Pick<Store, 'snapshot' | 'restore' | 'sync'>;
  readonly ca: {
    trustDomain(): string | undefined;
    readonly keys: { atRest(): KeysAtRest };
  };
  /** Tables whose secrets leave sealed. */
  readonly secrets: readonly SecretRows[];
  /** Tables of what was for its moment: not restored. */
  readonly passing?: readonly string[];
  /** Seals what is kept in the clear. */
  readonly key: { make(): Buffer; present(): Buffer | undefined };
  /** True while there is nothing to lose: the store holds only what a new server writes by itself. */
  readonly isNew: () => boolean;
  /** Throws `permission_denied` unless the token has all rights. */
  readonly authorize: (options: CallOptions) => Promise<void>;
  /** Another datacenter's snapshots; throws `no_path` when there is no way to it. */
  readonly remote: (datacenter: string) => SnapshotContract;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Clients may have seen revisions that were written after the snapshot and are lost: what is restored must be above
 * those. No store writes faster than this, revisions in a millisecond.
 */
const REVISIONS_PER_MS = 10;

/** This datacenter's store as an archive, and back. */
export class Snapshots implements SnapshotContract {
  readonly #deps: SnapshotsDeps;
  readonly #done;

  constructor(deps: SnapshotsDeps) {
    this.#deps = deps;
    this.#done = deps.metrics.counter({
      name: 'isthmus_snapshots_total',
      help: 'Snapshots saved and restored, by operation and outcome (ok or the error code)',
      labels: ['operation', 'outcome'],
    });
  }

  async save(options: CallOptions): Promise<SavedSnapshot> {
    const { datacenter } = this.#deps;
    if (isElsewhere(options, datacenter)) return this.#deps.remote(options.datacenter as string).save(options);
    try {
      await this.#deps.authorize(options);
      await this.#deps.store.sync(options.signal);
      const pages = this.#deps.store.snapshot(options.signal)[Symbol.asyncIterator]();
      const first: IteratorResult<SnapshotPage, unknown> = await pages.next();
      if (first.done === true) throw new IsthmusError('internal', 'the store gave no page');
      const { revision, epoch, rows } = first.value;
      const { secrets, key } = this.#deps;
      const sealed = (some: readonly StateRow[]): readonly StateRow[] =>
        some.map((row) => secrets.reduce((now, table) => table.leaving(now, key.make), row));
      const rest = { [Symbol.asyncIterator]: () => pages };
      const all = async function* (): AsyncGenerator<readonly StateRow[], void, void> {
        try {
          yield sealed(rows);
          for await (const page of rest) yield sealed(page.rows);
        } finally {
          await pages.return?.(undefined);
        }
      };
      const archive = writeArchive(this.#metadata(revision, epoch), all());
      return { index: revision, archive: this.#counted('save', archive) };
    } catch (error) {
      throw this.#failed('save', error);
    }
  }

  async restore(archive: AsyncIterable<Uint8Array>, options: RestoreCallOptions): Promise<RestoredSnapshot> {
    const { datacenter, store, log } = this.#deps;
    if (isElsewhere(options, datacenter))
      return this.#deps.remote(options.datacenter as string).restore(archive, options);
    try {
      await this.#deps.authorize(options);
      const { metadata, pages } = await openArchive(archive);
      const objection = options.force === true ? undefined : this.#objection(metadata);
      if (objection !== undefined)
        throw new IsthmusError(
          'rejected',
          `${objection}; nothing was changed. To restore it all the same, force it (-force)`,
        );
      const { revision } = await store.restore(this.#checked(pages, options.signal), { above: this.#above(metadata) });
      log.warn('store restored', {
        snapshot: metadata.ID,
        created: metadata.Created,
        revision,
        ...(options.force === true ? { forced: true } : {}),
      });
      this.#done.add(1, { operation: 'restore', outcome: 'ok' });
      return { index: revision };
    } catch (error) {
      // The engine's own text for keys that are not in order.
      const known = hasCode(error, 'invalid_argument')
        ? new IsthmusError('rejected', `the snapshot is damaged: ${error.message}`, { cause: error })
        : error;
      throw this.#failed('restore', known);
    }
  }

  #metadata(revision: number, epoch: string): SnapshotMetadata {
    const { datacenter, primaryDatacenter, node, version, ca, clock } = this.#deps;
    const created = clock.now();
    return {
      Format: FORMAT,
      ID: `${datacenter}-${revision}-${created}`,
      Datacenter: datacenter,
      PrimaryDatacenter: primaryDatacenter,
      TrustDomain: ca.trustDomain() ?? '',
      Node: node,
      ProgramVersion: version,
      Index: revision,
      Epoch: epoch,
      Created: new Date(created).toISOString(),
      ...keysIn(ca.keys.atRest()),
    };
  }

  /** Why the snapshot should not be restored here. */
  #objection({ Datacenter, PrimaryDatacenter, TrustDomain }: SnapshotMetadata): string | undefined {
    const { datacenter, primaryDatacenter, ca, isNew } = this.#deps;
    if (Datacenter !== datacenter)
      return `the snapshot is of datacenter "${Datacenter}" and this is datacenter "${datacenter}"`;
    if (PrimaryDatacenter !== primaryDatacenter)
      return (
        `the snapshot was taken while "${PrimaryDatacenter}" was the primary datacenter, and here ` +
        `primary_datacenter is "${primaryDatacenter}"`
      );
    const own = ca.trustDomain() ?? '';
    if (TrustDomain !== '' && own !== '' && TrustDomain !== own && !isNew())
      return (
        `the snapshot's trust domain is ${TrustDomain} and that of this datacenter is ${own}: the certificates of ` +
        `all ` +
        'services registered here would be worth nothing'
      );
    return undefined;
  }

  async *#checked(
    pages: AsyncIterable<readonly StateRow[]>,
    signal: AbortSignal,
  ): AsyncGenerator<readonly StateRow[], void, void> {
    const { secrets, key, passing = [] } = this.#deps;
    const stays = (row: StateRow): boolean => !passing.some((table) => row.key.startsWith(`${table}/`));
    const present = key.present();
    for await (const rows of pages) {
      throwIfAborted(signal);
      yield rows.filter(stays).map((row) => secrets.reduce((now, table) => table.arriving(now, present), row));
    }
    throwIfAborted(signal); // the last moment at which whoever gave up gets his way
  }

  #above({ Index, Created }: SnapshotMetadata): number {
    const age = Math.max(0, this.#deps.clock.now() - Date.parse(Created));
    return Index + Math.ceil(age) * REVISIONS_PER_MS;
  }

  async *#counted(operation: string, archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    try {
      yield* archive;
    } catch (error) {
      throw this.#failed(operation, error);
    }
    this.#done.add(1, { operation, outcome: 'ok' });
  }

  #failed(operation: string, thrown: unknown): IsthmusError {
    const error = IsthmusError.from(thrown);
    this.#done.add(1, { operation, outcome: error.code });
    return error;
  }
}

/** They never leave in the clear. */
function keysIn(store: KeysAtRest): Pick<SnapshotMetadata, 'PrivateKeys' | 'SealedWith'> {
  if (store === 'none') return { PrivateKeys: 'none' };
  return { PrivateKeys: 'sealed', SealedWith: store === 'sealed' ? 'ca_key_encryption_file' : 'snapshot.key' };
}

function isElsewhere({ datacenter }: CallOptions, own: string): boolean {
  return datacenter !== undefined && datacenter !== '' && datacenter !== own;
}
