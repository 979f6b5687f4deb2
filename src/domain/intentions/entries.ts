import type { ServiceIntentionsEntry } from '../../model/intention.ts';
import type { JwtProviderEntry } from '../../model/layer7/jwt-provider.ts';
import type { AppliedCommit, TransactResult, Tx } from '../../store/store.ts';
import type { Stored } from '../../store/table.ts';

/** The configuration entries that hold the intentions, as far as they are needed here. */
export interface EntryStore {
  get(destination: string): Stored<ServiceIntentionsEntry> | undefined;
  list(): readonly Stored<ServiceIntentionsEntry>[];
  /** Entries that have the source. */
  bySource(source: string): readonly Stored<ServiceIntentionsEntry>[];
  byLegacyId(id: string): Stored<ServiceIntentionsEntry> | undefined;
  /** The entry as this transaction sees it. */
  read(tx: Tx, destination: string): ServiceIntentionsEntry | undefined;
  /** Normalises, validates and writes; an entry without sources is deleted. */
  write(tx: Tx, entry: ServiceIntentionsEntry, options: { readonly legacy: boolean }): void;
  /** The `jwt-provider` entry of that name. */
  provider(name: string): JwtProviderEntry | undefined;
  /** Whether a row of the table is a `jwt-provider` entry. */
  isProvider(key: string): boolean;
  /** Name of the table that holds them. */
  readonly tableName: string;
  /** Destination of a row of that table, or undefined when it holds no intentions. */
  destinationOf(key: string): string | undefined;
  readonly topics: {
    readonly all: string;
    /** Touched by every change of a `jwt-provider` entry. */
    readonly providers: string;
    destination(name: string): string;
    source(name: string): string;
  };
}

/** What is needed of the store itself. */
export interface IntentionStore {
  transact<R>(step: (tx: Tx) => R): Promise<TransactResult<R>>;
  onCommit(listener: (commit: AppliedCommit) => void): () => void;
}
