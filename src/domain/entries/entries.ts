import { IsthmusError } from '../../lib/errors.ts';
import type { ConfigEntry, ConfigEntryKind } from '../../model/config-entry.ts';
import type { ChainArgs, ChainOverrides, DiscoveryChain, ServiceTargets } from '../../model/discovery-chain.ts';
import type { ServiceIntentionsEntry } from '../../model/intention.ts';
import { normaliseIntentions, validateIntentions } from '../../model/service-intentions.ts';
import type { Read } from '../../store/read.ts';
import type { Store, Tx } from '../../store/store.ts';
import { joinKey, type Stored, type Table } from '../../store/table.ts';
import { compileChain, type EntryLookup } from './discovery-chain.ts';
import { filterEntries } from './entry-filter.ts';
import { decodeEntry, isKind, KINDS, requireKind, validateEntry } from './kinds/registry.ts';
import { sourceTopic } from './kinds/service-intentions.ts';
import { CHAIN_INDEX, CHAIN_KINDS, checkServiceGraph } from './service-graph.ts';
import { compileTargets } from './service-targets.ts';

export interface EntriesDeps {
  readonly store: Store;
  readonly datacenter: string;
  /** `<uuid>.consul`; '' as long as there is none. */
  readonly trustDomain: () => string;
  /** Topics that are touched when the trust domain becomes known. */
  readonly trustDomainTopics?: readonly string[];
}

/** A change of a configuration entry that another datacenter decided. */
export type ReplicatedEntry =
  | { readonly type: 'put'; readonly entry: unknown }
  | { readonly type: 'delete'; readonly kind: string; readonly name: string };

/** What the views on intentions need of the entries that hold them; `domain/intentions/entries.ts` says it in words. */
export type IntentionEntries = ReturnType<typeof intentionEntries>;

export interface EntryReads {
  readonly 'config.get': Read<{ readonly kind: string; readonly name: string }, ConfigEntry>;
  readonly 'config.list': Read<{ readonly kind: string; readonly filter?: string }, readonly ConfigEntry[]>;
  readonly 'discoveryChain.get': Read<ChainArgs, { readonly Chain: DiscoveryChain }>;
}

export interface Entries {
  readonly table: Table<ConfigEntry>;
  readonly reads: EntryReads;
  readonly intentionEntries: IntentionEntries;
  /**
   * Where connections to a service go when an application asks for it in `datacenter`. `topics` are touched when that
   * may have changed: those of the entries that were looked at.
   */
  serviceTargets(service: string, datacenter: string): ServiceTargets & { readonly topics: readonly string[] };
  /** False when `cas` did not hold. */
  apply(args: { readonly entry: unknown; readonly cas?: number }): Promise<boolean>;
  /** Deleting what does not exist is no error. */
  delete(args: { readonly kind: string; readonly name: string }): Promise<Record<never, never>>;
  /** Writes what the primary decided. Throws when the entry breaks a rule of its own: it must not be applied here. */
  applyReplicated(tx: Tx, change: ReplicatedEntry): void;
}

/** One row, written with every change of a chain: two that only together break a chain can't both commit. */
interface GraphGuard {
  readonly changes: number;
}

const GUARD_KEY = 'guard';
const INTENTIONS = 'service-intentions';

/** Configuration entries: one table for all kinds, their rules, and what can be asked of them. */
export function createEntries(deps: EntriesDeps): Entries {
  const table = deps.store.table<ConfigEntry>({
    name: 'config',
    key: (entry) => joinKey(entry.Kind, entry.Name),
    indexes: {
      kind: (entry) => [entry.Kind],
      [CHAIN_INDEX]: (entry) =>
        CHAIN_KINDS.has(entry.Kind) ? [...new Set([entry.Name, ...(KINDS[entry.Kind].mentions?.(entry) ?? [])])] : [],
      source: (entry) =>
        entry.Kind === INTENTIONS ? [...new Set(asIntentions(entry).Sources.map((source) => source.Name))] : [],
      legacyId: (entry) =>
        entry.Kind === INTENTIONS ? asIntentions(entry).Sources.flatMap((source) => source.LegacyID ?? []) : [],
    },
    topics: (entry) => [
      kindTopic(entry.Kind),
      entryTopic(entry.Kind, entry.Name),
      ...(KINDS[entry.Kind]?.topics?.(entry) ?? []),
    ],
  });
  const guard = deps.store.table<GraphGuard>({ name: 'config-graph', key: () => GUARD_KEY });

  const chainOptions = (evaluateIn: string, overrides: ChainOverrides = {}) => ({
    evaluateIn,
    own: deps.datacenter,
    trustDomain: deps.trustDomain(),
    overrides,
  });

  const checkGraph = (tx: Tx, kind: ConfigEntryKind, name: string): void => {
    if (CHAIN_KINDS.has(kind)) {
      const changes = tx.get(guard, GUARD_KEY)?.changes ?? 0;
      tx.put(guard, { changes: changes + 1 });
    } else tx.get(guard, GUARD_KEY);
    checkServiceGraph(tx, table, kind, name, chainOptions(deps.datacenter));
  };

  const put = (tx: Tx, entry: ConfigEntry): void => {
    tx.put(table, entry);
    checkGraph(tx, entry.Kind, entry.Name);
  };

  const remove = (tx: Tx, kind: ConfigEntryKind, name: string): void => {
    if (tx.row(table, joinKey(kind, name)) === undefined) return;
    tx.delete(table, joinKey(kind, name));
    checkGraph(tx, kind, name);
  };

  const readTable = (kind: ConfigEntryKind, name: string): ConfigEntry | undefined =>
    table.get(joinKey(kind, name))?.value;

  return {
    table,
    intentionEntries: intentionEntries(table, put),

    reads: {
      'config.get': {
        topics: ({ kind, name }) => [entryTopic(kind, name)],
        produce({ kind, name }) {
          const row = table.get(joinKey(requireKind(kind), name));
          if (row === undefined)
            throw new IsthmusError(
              'not_found',
              `Config entry not found for ${JSON.stringify(kind)} / ${JSON.stringify(name)}`,
            );
          return shown(row);
        },
      },
      'config.list': {
        topics: ({ kind }) => [kindTopic(kind)],
        produce({ kind, filter }) {
          const known = requireKind(kind);
          return filterEntries(known, filter, table.by('kind', known).map(shown));
        },
      },
      'discoveryChain.get': {
        topics: () => [...[...CHAIN_KINDS].map(kindTopic), ...(deps.trustDomainTopics ?? [])],
        produce({ service, compileDatacenter, overrides }) {
          if (service === '') throw new IsthmusError('rejected', 'Must provide service name');
          const options = chainOptions(compileDatacenter || deps.datacenter, overrides);
          return { Chain: compileChain(readTable, service, options) };
        },
      },
    },

    serviceTargets(service, datacenter) {
      const topics = new Set<string>();
      const lookup: EntryLookup = (kind, name) => {
        topics.add(entryTopic(kind, name));
        return readTable(kind, name);
      };
      return { ...compileTargets(lookup, service, chainOptions(datacenter)), topics: [...topics] };
    },

    async apply({ entry: raw, cas }) {
      const entry = decodeEntry(raw);
      validateEntry(entry);
      const { result } = await deps.store.transact((tx) => {
        const row = tx.row(table, joinKey(entry.Kind, entry.Name));
        if (cas !== undefined && cas !== (row?.modRevision ?? 0)) return false;
        put(tx, entry);
        return true;
      });
      return result;
    },

    async delete({ kind, name }) {
      const known = requireKind(kind);
      await deps.store.transact((tx) => remove(tx, known, name));
      return {};
    },

    applyReplicated(tx, change) {
      if (change.type === 'delete') {
        if (!isKind(change.kind)) throw new IsthmusError('rejected', `invalid config entry kind: ${change.kind}`);
        tx.delete(table, joinKey(change.kind, change.name));
        return;
      }
      const raw = change.entry as ConfigEntry;
      const decoded = decodeEntry(raw, { lenient: true });
      if (raw.Kind !== decoded.Kind || raw.Name !== decoded.Name)
        throw new IsthmusError('rejected', 'a replicated entry must spell its Kind and Name as they are stored');
      if (decoded.Kind === INTENTIONS) validateReplicatedIntentions(raw, decoded);
      else validateEntry(decoded);
      const { CreateIndex: _create, ModifyIndex: _modify, ...entry } = raw; // unknown fields survive
      tx.put(table, entry as ConfigEntry);
    },
  };
}

export function kindTopic(kind: string): string {
  return `config:${kind}`;
}

export function entryTopic(kind: string, name: string): string {
  return `config:${kind}/${name}`;
}

function shown(row: Stored<ConfigEntry>): ConfigEntry {
  return { ...row.value, CreateIndex: row.createRevision, ModifyIndex: row.modRevision };
}

function asIntentions(entry: ConfigEntry): ConfigEntry & ServiceIntentionsEntry {
  return entry as ConfigEntry & ServiceIntentionsEntry;
}

/** An entry from the primary may hold sources that were written with IDs. */
function validateReplicatedIntentions(raw: ConfigEntry, decoded: ConfigEntry): void {
  if (!Array.isArray(raw.Sources)) throw new IsthmusError('rejected', 'Sources must be a list');
  validateIntentions(decoded as ConfigEntry & ServiceIntentionsEntry, { legacy: true });
}

function intentionEntries(table: Table<ConfigEntry>, put: (tx: Tx, entry: ConfigEntry) => void) {
  const prefix = `${joinKey(INTENTIONS)}/`;
  const typed = (row: Stored<ConfigEntry>): Stored<ServiceIntentionsEntry> =>
    row as unknown as Stored<ServiceIntentionsEntry>;
  const keyOf = (destination: string): string => joinKey(INTENTIONS, destination);
  return {
    tableName: table.spec.name,
    get(destination: string) {
      const row = table.get(keyOf(destination));
      return row === undefined ? undefined : typed(row);
    },
    list: () => table.by('kind', INTENTIONS).map(typed),
    bySource: (source: string) => table.by('source', source).map(typed),
    byLegacyId(id: string) {
      const row = table.by('legacyId', id)[0];
      return row === undefined ? undefined : typed(row);
    },
    read: (tx: Tx, destination: string) =>
      tx.get(table, keyOf(destination)) as unknown as ServiceIntentionsEntry | undefined,
    write(tx: Tx, entry: ServiceIntentionsEntry, options: { readonly legacy: boolean }): void {
      if (entry.Sources.length === 0) {
        tx.delete(table, keyOf(entry.Name));
        return;
      }
      const normalised = normaliseIntentions(entry, options);
      validateIntentions(normalised, options);
      put(tx, normalised as unknown as ConfigEntry);
    },
    destinationOf: (key: string) => (key.startsWith(prefix) ? decodeURIComponent(key.slice(prefix.length)) : undefined),
    topics: {
      all: kindTopic(INTENTIONS),
      destination: (name: string) => entryTopic(INTENTIONS, name),
      source: sourceTopic,
    },
  };
}
