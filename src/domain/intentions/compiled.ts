import type { IntentionAction, ServiceIntentionsEntry, Verdicts } from '../../model/intention.ts';
import { compilePermissions } from '../../model/layer7/compile-permissions.ts';
import { providersOf } from '../../model/layer7/permissions.ts';
import { WILDCARD } from '../../model/service-intentions.ts';
import { compileVerdicts } from '../../model/verdicts.ts';
import type { AppliedCommit } from '../../store/store.ts';
import type { Stored } from '../../store/table.ts';
import type { EntryStore } from './entries.ts';

/** Destinations kept compiled; the oldest goes first. Checks may name anything, so there must be a limit. */
const MAX_KEPT = 10_000;

/** Verdicts by destination, compiled when first asked for and kept until an entry that they came from changes. */
export class CompiledVerdicts {
  readonly #entries: EntryStore;
  readonly #defaultAction: IntentionAction;
  /** By destination, then by the destination's datacenter. */
  readonly #kept = new Map<string, Map<string, Verdicts>>();

  constructor(entries: EntryStore, defaultAction: IntentionAction) {
    this.#entries = entries;
    this.#defaultAction = defaultAction;
  }

  get(destination: string, destinationDatacenter: string): Verdicts {
    let kept = this.#kept.get(destination);
    const known = kept?.get(destinationDatacenter);
    if (known !== undefined) return known;
    if (kept === undefined) {
      kept = new Map();
      this.#kept.set(destination, kept);
      if (this.#kept.size > MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value as string);
    }
    const verdicts = this.#compile(destination, destinationDatacenter);
    kept.set(destinationDatacenter, verdicts);
    return verdicts;
  }

  /** Forgets what a commit made stale. */
  onCommit(commit: AppliedCommit): void {
    for (const change of commit.changes) {
      if (change.table !== this.#entries.tableName) continue;
      const destination = this.#entries.destinationOf(change.key);
      if (destination === WILDCARD || this.#entries.isProvider(change.key)) this.#kept.clear();
      else if (destination !== undefined) this.#kept.delete(destination);
    }
  }

  #compile(destination: string, destinationDatacenter: string): Verdicts {
    const rows: (Stored<ServiceIntentionsEntry> | undefined)[] = [this.#entries.get(destination)];
    if (destination !== WILDCARD) rows.push(this.#entries.get(WILDCARD));
    const verdicts = compileVerdicts({
      destination,
      destinationDatacenter,
      entries: rows.flatMap((row) => (row === undefined ? [] : [{ entry: row.value, revision: row.modRevision }])),
      defaultAction: this.#defaultAction,
    });
    const names = providersOf(compilePermissions(verdicts));
    if (names.length === 0) return verdicts;
    return { ...verdicts, providers: names.flatMap((name) => this.#entries.provider(name) ?? []) };
  }
}
