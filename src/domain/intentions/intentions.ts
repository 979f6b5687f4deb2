import type { Clock } from '../../lib/clock.ts';
import { newUuid } from '../../lib/ids.ts';
import type { Intention, IntentionAction, ServiceIntentionsEntry, SourceIntention } from '../../model/intention.ts';
import { foldName } from '../../model/names.ts';
import type { IntentionPair } from '../../model/requests.ts';
import { CompiledVerdicts } from './compiled.ts';
import type { EntryStore, IntentionStore } from './entries.ts';
import { findPair, named, withoutPair } from './pairs.ts';
import { createIntentionReads, type IntentionReads } from './reads.ts';
import { rejected, requireWritableId, validateIntention } from './validate.ts';

export interface IntentionsDeps {
  readonly store: IntentionStore;
  readonly entries: EntryStore;
  readonly datacenter: string;
  /** What holds when no intention matches. */
  readonly defaultPolicy: IntentionAction;
  readonly clock: Clock;
}

export interface IntentionWrites {
  readonly 'intentions.create': Intentions['create'];
  readonly 'intentions.update': Intentions['update'];
  readonly 'intentions.upsertExact': Intentions['upsertExact'];
  readonly 'intentions.delete': Intentions['delete'];
  readonly 'intentions.deleteExact': Intentions['deleteExact'];
}

export interface Intentions {
  readonly reads: IntentionReads;
  readonly writes: IntentionWrites;
  create(args: { readonly intention: Partial<Intention> }): Promise<{ readonly ID: string }>;
  update(args: { readonly id: string; readonly intention: Partial<Intention> }): Promise<{ readonly ID: string }>;
  upsertExact(args: IntentionPair & { readonly intention: Partial<Intention> }): Promise<true>;
  delete(args: { readonly id: string }): Promise<true>;
  /** Deleting what does not exist is no error. */
  deleteExact(args: IntentionPair): Promise<true>;
}

/** Intentions are views on the `service-intentions` entries: who may connect to whom, by name and datacenter. */
export function createIntentions(deps: IntentionsDeps): Intentions {
  const { entries, store } = deps;
  const compiled = new CompiledVerdicts(entries, deps.defaultPolicy);
  store.onCommit((commit) => compiled.onCommit(commit));
  const intentions: Intentions = {
    reads: createIntentionReads({ entries, datacenter: deps.datacenter, compiled }),

    async create({ intention }) {
      if (intention.ID !== undefined && intention.ID !== '')
        throw rejected('ID must be empty when creating a new intention');
      const wanted = withType(intention);
      validateIntention(wanted);
      refusePermissions(wanted);
      const id = newUuid();
      const now = new Date(deps.clock.now()).toISOString();
      const source: SourceIntention = {
        ...sourceOf(wanted),
        LegacyID: id,
        LegacyCreateTime: now,
        LegacyUpdateTime: now,
      };
      await store.transact((tx) => {
        const entry = entries.read(tx, wanted.DestinationName) ?? emptyEntry(wanted.DestinationName);
        requireDestination(entry, wanted.DestinationDatacenter);
        entries.write(tx, { ...entry, Sources: [...entry.Sources, source] }, { legacy: true });
      });
      return { ID: id };
    },

    async update({ id, intention }) {
      requireWritableId(id);
      const wanted = withType(intention);
      validateIntention(wanted);
      refusePermissions(wanted);
      const now = new Date(deps.clock.now()).toISOString();
      await store.transact((tx) => {
        const destination = entries.byLegacyId(id)?.value.Name;
        const entry = destination === undefined ? undefined : entries.read(tx, destination);
        const at = entry?.Sources.findIndex((source) => source.LegacyID === id) ?? -1;
        const before = entry?.Sources[at];
        if (entry === undefined || before === undefined)
          throw rejected(`Cannot modify non-existent intention: '${id}'`);
        if (wanted.DestinationName !== entry.Name)
          throw rejected('Cannot modify DestinationNS or DestinationName for an intention once it exists.');
        requireDestination(entry, wanted.DestinationDatacenter);
        const source: SourceIntention = {
          ...sourceOf(wanted),
          LegacyID: id,
          LegacyCreateTime: before.LegacyCreateTime ?? now,
          LegacyUpdateTime: now,
        };
        entries.write(tx, { ...entry, Sources: entry.Sources.with(at, source) }, { legacy: true });
      });
      return { ID: id };
    },

    async upsertExact({ intention, ...given }) {
      const pair = named(given);
      const wanted = withType({
        ...intention,
        SourceName: pair.source,
        DestinationName: pair.destination,
        SourceDatacenter: pair.sourceDatacenter,
        DestinationDatacenter: pair.destinationDatacenter,
      });
      validateIntention(wanted);
      await store.transact((tx) => {
        const entry = entries.read(tx, pair.destination) ?? emptyEntry(pair.destination);
        requireDestination(entry, pair.destinationDatacenter);
        const at = findPair(entry, pair);
        const rest = withoutPair(entry, pair);
        const place = at === -1 ? rest.length : at;
        entries.write(tx, { ...entry, Sources: rest.toSpliced(place, 0, sourceOf(wanted)) }, { legacy: false });
      });
      return true;
    },

    async delete({ id }) {
      requireWritableId(id);
      await store.transact((tx) => {
        const destination = entries.byLegacyId(id)?.value.Name;
        const entry = destination === undefined ? undefined : entries.read(tx, destination);
        const rest = entry?.Sources.filter((source) => source.LegacyID !== id);
        if (entry === undefined || rest === undefined || rest.length === entry.Sources.length)
          throw rejected(`Cannot delete non-existent intention: '${id}'`);
        entries.write(tx, { ...entry, Sources: rest }, { legacy: true });
      });
      return true;
    },

    async deleteExact(given) {
      const pair = named(given);
      await store.transact((tx) => {
        const entry = entries.read(tx, pair.destination);
        if (entry === undefined || findPair(entry, pair) === -1) return;
        // Legacy fields of the other sources stay: deleting one intention must not lose another's ID.
        entries.write(tx, { ...entry, Sources: withoutPair(entry, pair) }, { legacy: true });
      });
      return true;
    },
    writes: {
      'intentions.create': (args) => intentions.create(args),
      'intentions.update': (args) => intentions.update(args),
      'intentions.upsertExact': (args) => intentions.upsertExact(args),
      'intentions.delete': (args) => intentions.delete(args),
      'intentions.deleteExact': (args) => intentions.deleteExact(args),
    },
  };
  return intentions;
}

type Wanted = Partial<Intention> & Pick<Intention, 'SourceName' | 'DestinationName' | 'SourceType'>;

function withType(intention: Loose<Intention>): Wanted {
  return {
    ...(intention as Partial<Intention>),
    SourceName: foldName(intention.SourceName ?? ''),
    DestinationName: foldName(intention.DestinationName ?? ''),
    SourceType: intention.SourceType || 'consul',
  };
}

type Loose<T> = { readonly [K in keyof T]?: T[K] | undefined };

function refusePermissions(intention: Partial<Intention>): void {
  if ((intention.Permissions?.length ?? 0) > 0)
    throw rejected('1 error occurred:\n\t* Permissions must not be set when using the legacy APIs\n\n');
}

function sourceOf(intention: Wanted): SourceIntention {
  const { Action, Permissions, Description, Meta, SourceDatacenter, DestinationDatacenter } = intention;
  return {
    Name: intention.SourceName,
    ...(Action ? { Action } : {}),
    ...(Permissions && Permissions.length > 0 ? { Permissions } : {}),
    Precedence: 0, // computed when the entry is normalised
    Type: 'consul',
    ...(Description ? { Description } : {}),
    ...(Meta ? { LegacyMeta: Meta } : {}),
    ...(SourceDatacenter ? { Datacenters: [foldName(SourceDatacenter)] } : {}),
    ...(DestinationDatacenter ? { DestinationDatacenters: [foldName(DestinationDatacenter)] } : {}),
  };
}

function emptyEntry(destination: string): ServiceIntentionsEntry {
  return { Kind: 'service-intentions', Name: destination, Sources: [] };
}

/** In an entry that is limited to datacenters, an intention without one would silently mean less than it says. */
function requireDestination(entry: ServiceIntentionsEntry, datacenter: string | undefined): void {
  if (entry.Datacenters !== undefined && !datacenter)
    throw rejected(
      `the intentions of ${JSON.stringify(entry.Name)} are limited to ${entry.Datacenters.join(', ')}; name one of ` +
        `these as destination datacenter`,
    );
}
