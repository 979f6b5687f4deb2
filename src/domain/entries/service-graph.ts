import { IsthmusError } from '../../lib/errors.ts';
import type { ConfigEntry, ConfigEntryKind } from '../../model/config-entry.ts';
import { MESH_NAME } from '../../model/entries/mesh.ts';
import type { ServiceIntentionsEntry } from '../../model/intention.ts';
import type { MeshEntry } from '../../model/layer7/mesh-settings.ts';
import { isRequestProtocol } from '../../model/layer7/route-table.ts';
import { foldName } from '../../model/names.ts';
import { WILDCARD } from '../../model/service-intentions.ts';
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
  if (kind === 'service-intentions') {
    checkPermissions(lookup, name);
    checkProviders(lookup, name);
  }
  if (kind === 'jwt-provider' && lookup(kind, name) === undefined)
    for (const { value } of table.by(PROVIDER_INDEX, foldName(name)))
      if (providerNames(lookup('service-intentions', value.Name)).includes(name))
        throw new IsthmusError(
          'rejected',
          `cannot delete jwt provider config entry referenced by an intention. Provider name: ${name}, intention ` +
            `name: ${value.Name}`,
        );
  if (kind === 'mesh' || kind === 'proxy-defaults' || kind === 'service-defaults')
    checkPermissive(lookup, table, kind, name);
}

/** Index of the table: the issuers of tokens that an entry of intentions names. */
export const PROVIDER_INDEX = 'provider';

/** Names of the `jwt-provider` entries that an entry of intentions needs. */
export function providerNames(entry: ConfigEntry | undefined): readonly string[] {
  if (entry?.Kind !== 'service-intentions') return [];
  const { JWT, Sources = [] } = entry as ConfigEntry & ServiceIntentionsEntry;
  const tokens = [JWT, ...Sources.flatMap(({ Permissions = [] }) => Permissions.map((permission) => permission.JWT))];
  return [...new Set(tokens.flatMap((token) => token?.Providers ?? []).map(({ Name = '' }) => foldName(Name)))];
}

function checkProviders(lookup: EntryLookup, service: string): void {
  for (const name of providerNames(lookup('service-intentions', service)))
    if (lookup('jwt-provider', name) === undefined)
      throw new IsthmusError('rejected', `Referenced JWT Provider does not exist. Provider Name: ${name}`);
}

/** Plain text beside mutual TLS needs the mesh's leave. */
function checkPermissive(lookup: EntryLookup, table: Table<ConfigEntry>, kind: ConfigEntryKind, name: string): void {
  const mesh = lookup('mesh', MESH_NAME) as (ConfigEntry & MeshEntry) | undefined;
  if (mesh?.AllowEnablingPermissiveMutualTLS === true) return;
  const changed =
    kind === 'mesh' ? [...table.by('kind', 'proxy-defaults'), ...table.by('kind', 'service-defaults')] : [];
  const entries = kind === 'mesh' ? changed.map(({ value }) => lookup(value.Kind, value.Name)) : [lookup(kind, name)];
  const permissive = entries.find((entry) => entry?.MutualTLSMode === 'permissive');
  if (permissive !== undefined)
    throw new IsthmusError(
      'rejected',
      `cannot set MutualTLSMode=permissive in ${permissive.Kind}/${permissive.Name} because ` +
        `AllowEnablingPermissiveMutualTLS=false in the mesh config entry`,
    );
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
  const byRequest = entry?.JWT !== undefined || entry?.Sources.some(({ Permissions = [] }) => Permissions.length > 0);
  if (byRequest !== true) return;
  if (service === WILDCARD) return; // a token is asked for where there are requests, others are refused
  const protocol = protocolOf(lookup, service);
  if (!isRequestProtocol(protocol))
    throw new IsthmusError(
      'rejected',
      `service ${JSON.stringify(service)} has protocol ${JSON.stringify(protocol)}, which is incompatible with L7 ` +
        `intentions permissions`,
    );
}
