import { IsthmusError } from '../../lib/errors.ts';
import type { ConfigEntry, ConfigEntryKind } from '../../model/config-entry.ts';
import type { ServiceIntentionsEntry } from '../../model/intention.ts';
import { isRequestProtocol } from '../../model/layer7/route-table.ts';
import { foldName } from '../../model/names.ts';
import type { Tx } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import { type ChainOptions, compileChain, type EntryLookup, protocolOf } from './discovery-chain.ts';
import type { NamedEntries } from './named-entries.ts';

/** Kinds that a discovery chain is made of. */
export const CHAIN_KINDS: ReadonlySet<ConfigEntryKind> = new Set([
  'service-defaults',
  'proxy-defaults',
  'service-router',
  'service-splitter',
  'service-resolver',
]);

/** Index of the table: the services whose chain an entry is named after or mentions. */
export const CHAIN_INDEX = 'chain';

/**
 * Refuses a change that would leave a discovery chain, or L7 permissions, that no longer make sense. Checked are only
 * the chains that the changed entry can reach; a change of proxy-defaults reaches those of all services.
 */
export function checkServiceGraph(
  tx: Tx,
  table: Table<ConfigEntry>,
  named: NamedEntries,
  kind: ConfigEntryKind,
  name: string,
  options: ChainOptions,
): void {
  const lookup: EntryLookup = (entryKind, entryName) => named.read(tx, entryKind, entryName);
  if (CHAIN_KINDS.has(kind)) {
    const services = kind === 'proxy-defaults' ? [...table.values(CHAIN_INDEX)].sort() : chainsThrough(table, name);
    for (const service of services) {
      compileChain(lookup, service, options);
      checkPermissions(lookup, service);
    }
  }
  if (kind === 'service-intentions') checkPermissions(lookup, name);
}

/** Services whose chain may pass through `service`: those that mention it, and those that mention these. */
function chainsThrough(table: Table<ConfigEntry>, service: string): readonly string[] {
  const found = new Set([service]);
  for (const name of found) {
    for (const { value } of table.by(CHAIN_INDEX, name)) found.add(foldName(value.Name)); // grows while it is walked
  }
  return [...found];
}

function checkPermissions(lookup: EntryLookup, service: string): void {
  const entry = lookup('service-intentions', service) as (ConfigEntry & ServiceIntentionsEntry) | undefined;
  if (entry?.Sources.some((source) => (source.Permissions?.length ?? 0) > 0) !== true) return;
  const protocol = protocolOf(lookup, service);
  if (!isRequestProtocol(protocol))
    throw new IsthmusError(
      'rejected',
      `service ${JSON.stringify(service)} has protocol ${JSON.stringify(protocol)}, which is incompatible with L7 intentions permissions`,
    );
}
