import type { Explanation, Intention, Verdicts } from '../../../model/intention.ts';
import type { ConnectionVerdict } from '../../../model/layer7/permissions.ts';
import type { ExplainArgs, IntentionPair } from '../../../model/requests.ts';
import type { Rights } from '../../../model/rights.ts';
import { type ReadRights, read, type WriteRights, write } from './method.ts';
import { list } from './rights.ts';
import { EVERYONE } from './roles.ts';

/** Either end's owner may see an intention. */
const seesIntention = (rights: Rights, { SourceName, DestinationName }: Intention): boolean =>
  (SourceName !== '' && rights.may('intention', SourceName, 'read')) ||
  (DestinationName !== '' && rights.may('intention', DestinationName, 'read'));

const one: ReadRights<unknown, Intention> = {
  show: (rights, intention) => (seesIntention(rights, intention) ? intention : undefined),
};
const readsDestination: ReadRights<{ readonly destination: string }, never> = {
  allow: (rights, { destination }) => rights.may('intention', destination, 'read'),
};
const writesDestination: WriteRights<{ readonly destination: string }> = (rights, { destination }) =>
  rights.may('intention', destination, 'write');

const COPIED = { answered: 'here', leader: false, madeFrom: 'config-entries', callers: EVERYONE } as const;
const PAIR = { source: 'text', destination: 'text' } as const;

export const intentionReads = {
  'intentions.list': read<{ readonly filter?: string }, readonly Intention[]>({
    ...COPIED,
    needs: {},
    rights: list(seesIntention),
  }),
  'intentions.get': read<{ readonly id: string }, Intention>({ ...COPIED, needs: { id: 'text' }, rights: one }),
  'intentions.exact': read<IntentionPair, Intention>({ ...COPIED, needs: PAIR, rights: one }),
  'intentions.match': read<
    { readonly by: 'source' | 'destination'; readonly names: readonly string[] },
    Readonly<Record<string, readonly Intention[]>>
  >({
    ...COPIED,
    needs: { by: 'text', names: 'texts' },
    rights: { allow: (rights, { names }) => names.every((name) => rights.may('intention', name, 'read')) },
  }),
  'intentions.check': read<IntentionPair, { readonly Allowed: boolean }>({
    ...COPIED,
    needs: PAIR,
    // Says no more than an attempt to connect would.
    rights: { allow: (rights, { destination }) => rights.may('service', destination, 'read') },
  }),
  /** As sidecars need it that dial: a connection on which some requests may be allowed is not ended. */
  'intentions.connection': read<IntentionPair, { readonly Verdict: ConnectionVerdict }>({
    ...COPIED,
    needs: PAIR,
    rights: { allow: (rights, { destination }) => rights.may('service', destination, 'read') },
  }),
  'intentions.explain': read<ExplainArgs, Explanation>({
    ...COPIED,
    needs: { ...PAIR, request: 'object' },
    rights: readsDestination,
  }),
  /** Compiled authorization for one destination in the answering datacenter: what sidecars follow. */
  'intentions.verdicts': read<{ readonly destination: string }, Verdicts>({
    ...COPIED,
    needs: { destination: 'text' },
    rights: readsDestination,
  }),
};

const IN_PRIMARY = {
  decided: 'primary',
  leader: false,
  repeatable: false,
  arrivesIn: 'config-entries',
  callers: EVERYONE,
} as const;
const NAMES = ['intention.ID', 'intention.SourceName', 'intention.DestinationName'] as const;

export const intentionWrites = {
  'intentions.create': write<{ readonly intention: Partial<Intention> }, { readonly ID: string }>({
    ...IN_PRIMARY,
    needs: { intention: 'object' },
    audit: NAMES,
    rights: (rights, { intention }) => rights.may('intention', intention.DestinationName ?? '', 'write'),
  }),
  'intentions.update': write<{ readonly id: string; readonly intention: Partial<Intention> }, { readonly ID: string }>({
    ...IN_PRIMARY,
    needs: { id: 'text', intention: 'object' },
    audit: ['id', ...NAMES],
    rights: (rights, { id, intention }, facts) =>
      rights.may('intention', intention.DestinationName ?? '', 'write') &&
      rights.may('intention', facts.intentionDestination(id) ?? '', 'write'),
  }),
  'intentions.upsertExact': write<IntentionPair & { readonly intention: Partial<Intention> }, true>({
    ...IN_PRIMARY,
    needs: { ...PAIR, intention: 'object' },
    audit: ['source', 'destination', ...NAMES],
    rights: writesDestination,
  }),
  'intentions.delete': write<{ readonly id: string }, true>({
    ...IN_PRIMARY,
    needs: { id: 'text' },
    audit: ['id'],
    rights: (rights, { id }, facts) => rights.may('intention', facts.intentionDestination(id) ?? '', 'write'),
  }),
  'intentions.deleteExact': write<IntentionPair, true>({
    ...IN_PRIMARY,
    needs: PAIR,
    audit: ['source', 'destination'],
    rights: writesDestination,
  }),
};
