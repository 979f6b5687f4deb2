import { IsthmusError } from '../../lib/errors.ts';
import type { ConfigEntry, ConfigEntryKind } from '../../model/config-entry.ts';
import type { ChainArgs, ChainOverrides, DiscoveryChain, ServiceTargets } from '../../model/discovery-chain.ts';
import { decodeEntry, isKind, KINDS, requireKind, validateEntry } from '../../model/entries/registry.ts';
import { sourceTopic } from '../../model/entries/service-intentions.ts';
import type { ServiceIntentionsEntry } from '../../model/intention.ts';
import type { JwtProviderEntry } from '../../model/layer7/jwt-provider.ts';
import { foldName } from '../../model/names.ts';
import { normaliseIntentions, validateIntentions } from '../../model/service-intentions.ts';
import type { Read } from '../../store/read.ts';
import type { Store, Tx } from '../../store/store.ts';
import { joinKey, type Stored, type Table } from '../../store/table.ts';
import { canonicalEntry } from './canonical.ts';
import { compileChain } from './discovery-chain.ts';
import { filterEntries } from './entry-filter.ts';
import { KeptTargets } from './kept-targets.ts';
import { NAME_INDEX, NamedEntries, nameKey, type RenamedEntry } from './named-entries.ts';
import { CHAIN_INDEX, CHAIN_KINDS, checkServiceGraph, PROVIDER_INDEX, providerNames } from './service-graph.ts';
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
  readonly writes: { readonly 'config.apply': Entries['apply']; readonly 'config.delete': Entries['delete'] };
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
  /** Brings the names of entries that an older version wrote into their canonical form. For the primary. */
  canonicalise(signal?: AbortSignal): Promise<readonly RenamedEntry[]>;
}

/** One row, written with every change of a chain: two that only together break a chain can't both commit. */
interface GraphGuard {
  readonly changes: number;
}

const GUARD_KEY = 'guard';
/** Entries renamed in one step at most. */
const RENAMED_AT_ONCE = 100;
const INTENTIONS = 'service-intentions';
const PROVIDERS = 'jwt-provider';

/** Configuration entries: one table for all kinds, their rules, and what can be asked of them. */
export function createEntries(deps: EntriesDeps): Entries {
  const table = deps.store.table<ConfigEntry>({
    name: 'config',
    key: (entry) => joinKey(entry.Kind, entry.Name),
    indexes: {
      kind: (entry) => [entry.Kind],
      [NAME_INDEX]: (entry) => [nameKey(entry.Kind, entry.Name)],
      [CHAIN_INDEX]: (stored) => {
        const entry = canonicalEntry(stored);
        return CHAIN_KINDS.has(entry.Kind)
          ? [...new Set([entry.Name, ...(KINDS[entry.Kind].mentions?.(entry) ?? [])])]
          : [];
      },
      [PROVIDER_INDEX]: (entry) => [...providerNames(entry)],
      source: (entry) =>
        entry.Kind === INTENTIONS ? [...new Set(asIntentions(entry).Sources.map(({ Name }) => foldName(Name)))] : [],
      legacyId: (entry) =>
        entry.Kind === INTENTIONS ? asIntentions(entry).Sources.flatMap((source) => source.LegacyID ?? []) : [],
    },
    topics: (entry) => [
      kindTopic(entry.Kind),
      entryTopic(entry.Kind, entry.Name),
      ...(KINDS[entry.Kind]?.topics?.(entry) ?? []),
    ],
  });
  const named = new NamedEntries(table);
  const guard = deps.store.table<GraphGuard>({ name: 'config-graph', key: () => GUARD_KEY });

  const chainOptions = (evaluateIn: string, overrides: ChainOverrides = {}) => ({
    evaluateIn: foldName(evaluateIn),
    own: deps.datacenter,
    trustDomain: deps.trustDomain(),
    overrides,
  });

  const checkGraph = (tx: Tx, kind: ConfigEntryKind, name: string): void => {
    if (CHAIN_KINDS.has(kind)) {
      const changes = tx.get(guard, GUARD_KEY)?.changes ?? 0;
      tx.put(guard, { changes: changes + 1 });
    } else tx.get(guard, GUARD_KEY);
    checkServiceGraph(tx, table, named, kind, name, chainOptions(deps.datacenter));
  };

  const put = (tx: Tx, entry: ConfigEntry): void => {
    named.put(tx, entry);
    checkGraph(tx, entry.Kind, entry.Name);
  };

  const remove = (tx: Tx, kind: ConfigEntryKind, name: string): void => {
    if (named.delete(tx, kind, name)) checkGraph(tx, kind, foldName(name));
  };

  const readTable = (kind: ConfigEntryKind, name: string): ConfigEntry | undefined => named.get(kind, name)?.value;

  const keptTargets = new KeptTargets(readTable);

  const entries: Entries = {
    table,
    intentionEntries: intentionEntries(table, named, put),

    reads: {
      'config.get': {
        topics: ({ kind, name }) => [entryTopic(kind, name)],
        produce({ kind, name }) {
          const row = named.get(requireKind(kind), name);
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
          return filterEntries(known, filter, named.list(known).map(shown));
        },
      },
      'discoveryChain.get': {
        topics: () => [...[...CHAIN_KINDS].map(kindTopic), ...(deps.trustDomainTopics ?? [])],
        produce({ service, compileDatacenter, overrides }) {
          if (service === '') throw new IsthmusError('rejected', 'Must provide service name');
          const options = chainOptions(compileDatacenter || deps.datacenter, overrides);
          return { Chain: compileChain(readTable, foldName(service), options) };
        },
      },
    },

    serviceTargets(service, datacenter) {
      const options = chainOptions(datacenter);
      const key = joinKey(foldName(service), options.evaluateIn);
      const { targets, looked } = keptTargets.get(key, options.trustDomain, (lookup) =>
        compileTargets(lookup, foldName(service), options),
      );
      const topics = new Set(looked.map(([kind, name]) => entryTopic(kind, name)));
      return { ...targets, topics: [...topics, ...(deps.trustDomainTopics ?? [])] };
    },

    async apply({ entry: raw, cas }) {
      const entry = decodeEntry(raw);
      validateEntry(entry);
      const { result } = await deps.store.transact((tx) => {
        if (cas !== undefined && cas !== named.revision(tx, entry.Kind, entry.Name)) return false;
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
      if (raw.Kind !== decoded.Kind || foldName(raw.Name) !== decoded.Name)
        throw new IsthmusError('rejected', 'a replicated entry must spell its Kind and Name as they are stored');
      if (decoded.Kind === INTENTIONS) validateReplicatedIntentions(raw, decoded);
      else validateEntry(decoded);
      const { CreateIndex: _create, ModifyIndex: _modify, ...entry } = raw; // unknown fields and spellings survive
      tx.put(table, entry as ConfigEntry);
    },

    async canonicalise(signal) {
      const renamed: RenamedEntry[] = [];
      for (;;) {
        const { result } = await deps.store.transact((tx) => named.rename(tx, RENAMED_AT_ONCE), signal);
        if (result.length === 0) return renamed;
        renamed.push(...result);
      }
    },
    writes: {
      'config.apply': (args) => entries.apply(args),
      'config.delete': (args) => entries.delete(args),
    },
  };
  return entries;
}

function kindTopic(kind: string): string {
  return `config:${kind}`;
}

function entryTopic(kind: string, name: string): string {
  return `config:${kind}/${foldName(name)}`;
}

function shown(row: Stored<ConfigEntry>): ConfigEntry {
  return { ...row.value, CreateIndex: row.createRevision, ModifyIndex: row.modRevision };
}

function asIntentions(entry: ConfigEntry): ConfigEntry & ServiceIntentionsEntry {
  return entry as ConfigEntry & ServiceIntentionsEntry;
}

/**
 * An entry from the primary may hold sources that were written with IDs, or, by an older one, twice but for letter
 * case.
 */
function validateReplicatedIntentions(raw: ConfigEntry, decoded: ConfigEntry): void {
  if (!Array.isArray(raw.Sources)) throw new IsthmusError('rejected', 'Sources must be a list');
  validateIntentions(decoded as ConfigEntry & ServiceIntentionsEntry, { legacy: true, repeated: true });
}

function intentionEntries(table: Table<ConfigEntry>, named: NamedEntries, put: (tx: Tx, entry: ConfigEntry) => void) {
  const prefix = `${joinKey(INTENTIONS)}/`;
  const typed = (row: Stored<ConfigEntry>): Stored<ServiceIntentionsEntry> =>
    row as unknown as Stored<ServiceIntentionsEntry>;
  return {
    tableName: table.spec.name,
    get(destination: string) {
      const row = named.get(INTENTIONS, destination);
      return row === undefined ? undefined : typed(row);
    },
    list: () => named.list(INTENTIONS).map(typed),
    bySource: (source: string) => named.withNames(table.by('source', foldName(source))).map(typed),
    byLegacyId(id: string) {
      const [row] = named.withNames(table.by('legacyId', id));
      return row === undefined ? undefined : typed(row);
    },
    read: (tx: Tx, destination: string) =>
      named.read(tx, INTENTIONS, destination) as unknown as ServiceIntentionsEntry | undefined,
    write(tx: Tx, entry: ServiceIntentionsEntry, options: { readonly legacy: boolean }): void {
      if (entry.Sources.length === 0) {
        named.delete(tx, INTENTIONS, entry.Name);
        return;
      }
      const normalised = normaliseIntentions(entry, options);
      validateIntentions(normalised, options);
      put(tx, normalised as unknown as ConfigEntry);
    },
    provider: (name: string) => named.get(PROVIDERS, name)?.value as (ConfigEntry & JwtProviderEntry) | undefined,
    isProvider: (key: string) => key.startsWith(`${joinKey(PROVIDERS)}/`),
    destinationOf: (key: string) =>
      key.startsWith(prefix) ? foldName(decodeURIComponent(key.slice(prefix.length))) : undefined,
    topics: {
      all: kindTopic(INTENTIONS),
      providers: kindTopic(PROVIDERS),
      destination: (name: string) => entryTopic(INTENTIONS, name),
      source: sourceTopic,
    },
  };
}
