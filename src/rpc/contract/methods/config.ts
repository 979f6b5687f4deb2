import type { ConfigEntry } from '../../../model/config-entry.ts';
import type { ChainArgs, DiscoveryChain } from '../../../model/discovery-chain.ts';
import type { Rights } from '../../../model/rights.ts';
import { type NoArgs, read, write } from './method.ts';
import { list, textOf } from './rights.ts';
import { EVERYONE } from './roles.ts';

function seesEntry(rights: Rights, { Kind, Name }: { readonly Kind: string; readonly Name: string }): boolean {
  if (Kind === 'proxy-defaults' || Kind === 'mesh') return true;
  if (Kind === 'jwt-provider') return rights.may('mesh', '', 'read');
  return rights.may(Kind === 'service-intentions' ? 'intention' : 'service', Name, 'read');
}

function mayWriteEntry(rights: Rights, kind: string, name: string): boolean {
  if (kind === 'service-intentions') return rights.may('intention', name, 'write');
  if (/^service-(?:defaults|router|splitter|resolver)$/.test(kind)) return rights.may('service', name, 'write');
  return rights.may('mesh', '', 'write');
}

const COPIED = { answered: 'here', leader: false, madeFrom: 'config-entries' } as const;

export const configReads = {
  'config.get': read<{ readonly kind: string; readonly name: string }, ConfigEntry>({
    ...COPIED,
    needs: { kind: 'text', name: 'text' },
    callers: EVERYONE,
    rights: { allow: (rights, { kind, name }) => seesEntry(rights, { Kind: kind, Name: name }) },
  }),
  'config.list': read<{ readonly kind: string; readonly filter?: string }, readonly ConfigEntry[]>({
    ...COPIED,
    needs: { kind: 'text' },
    callers: EVERYONE,
    rights: list<ConfigEntry>(seesEntry),
  }),
  'discoveryChain.get': read<ChainArgs, { readonly Chain: DiscoveryChain }>({
    ...COPIED,
    needs: { service: 'text' },
    callers: EVERYONE,
    rights: { allow: (rights, { service }) => rights.may('service', service, 'read') },
  }),
};

const IN_PRIMARY = { decided: 'primary', leader: false, repeatable: false, arrivesIn: 'config-entries' } as const;

export const configWrites = {
  /**
   * `cas`: only if the entry's ModifyIndex is this (0: only if it doesn't exist); the value says whether it was
   * written.
   */
  'config.apply': write<{ readonly entry: unknown; readonly cas?: number }, boolean>({
    ...IN_PRIMARY,
    needs: {},
    audit: ['entry.Kind', 'entry.Name'],
    callers: EVERYONE,
    rights: (rights, { entry }) => mayWriteEntry(rights, textOf(entry, 'kind'), textOf(entry, 'name')),
  }),
  'config.delete': write<{ readonly kind: string; readonly name: string }, NoArgs>({
    ...IN_PRIMARY,
    needs: { kind: 'text', name: 'text' },
    audit: ['kind', 'name'],
    callers: EVERYONE,
    rights: (rights, { kind, name }) => mayWriteEntry(rights, kind, name),
  }),
};
