import { IsthmusError } from '../../lib/errors.ts';
import type { Explanation, Intention, Verdicts } from '../../model/intention.ts';
import { compilePermissions } from '../../model/layer7/compile-permissions.ts';
import { type ConnectionVerdict, connectionVerdict } from '../../model/layer7/permissions.ts';
import { foldName } from '../../model/names.ts';
import type { ExplainArgs, IntentionPair } from '../../model/requests.ts';
import { WILDCARD } from '../../model/service-intentions.ts';
import { decide } from '../../model/verdicts.ts';
import type { Read } from '../../store/read.ts';
import type { CompiledVerdicts } from './compiled.ts';
import type { EntryStore } from './entries.ts';
import { explain } from './explain.ts';
import { findPair, named } from './pairs.ts';
import { requireReadableId } from './validate.ts';
import { filterIntentions, sortIntentions, viewEntry } from './view.ts';

export interface MatchArgs {
  readonly by: 'source' | 'destination';
  readonly names: readonly string[];
}

export interface IntentionReads {
  readonly 'intentions.list': Read<{ readonly filter?: string }, readonly Intention[]>;
  readonly 'intentions.get': Read<{ readonly id: string }, Intention>;
  readonly 'intentions.exact': Read<IntentionPair, Intention>;
  readonly 'intentions.match': Read<MatchArgs, Readonly<Record<string, readonly Intention[]>>>;
  readonly 'intentions.check': Read<IntentionPair, { readonly Allowed: boolean }>;
  readonly 'intentions.connection': Read<IntentionPair, { readonly Verdict: ConnectionVerdict }>;
  readonly 'intentions.explain': Read<ExplainArgs, Explanation>;
  readonly 'intentions.verdicts': Read<{ readonly destination: string }, Verdicts>;
}

export interface IntentionReadsDeps {
  readonly entries: EntryStore;
  readonly datacenter: string;
  readonly compiled: CompiledVerdicts;
}

/** What can be asked of the intentions. */
export function createIntentionReads(deps: IntentionReadsDeps): IntentionReads {
  const { entries, datacenter, compiled } = deps;
  const decisive = (destination: string): readonly string[] => [
    entries.topics.destination(destination),
    entries.topics.destination(WILDCARD),
  ];
  const verdictsFor = (pair: IntentionPair): Verdicts =>
    compiled.get(foldName(pair.destination), foldName(pair.destinationDatacenter || datacenter));

  return {
    'intentions.list': {
      topics: () => [entries.topics.all],
      produce({ filter }) {
        const all = entries.list().flatMap((row) => viewEntry(row));
        return sortIntentions(filterIntentions(filter, all));
      },
    },
    'intentions.get': {
      topics: () => [entries.topics.all],
      produce({ id }) {
        requireReadableId(id);
        const row = entries.byLegacyId(id);
        const found = row && viewEntry(row, (source) => source.LegacyID === id)[0];
        if (found === undefined) throw notFound();
        return found;
      },
    },
    'intentions.exact': {
      topics: ({ destination }) => [entries.topics.destination(destination)],
      produce(given) {
        const pair = named(given);
        const row = entries.get(pair.destination);
        const source = row?.value.Sources[findPair(row.value, pair)];
        const found =
          row &&
          source &&
          viewEntry(row, (other) => other === source).find(
            (intention) =>
              intention.SourceDatacenter === pair.sourceDatacenter &&
              intention.DestinationDatacenter === pair.destinationDatacenter,
          );
        if (found === undefined) throw notFound();
        return found;
      },
    },
    'intentions.match': {
      topics: ({ by, names }) =>
        by === 'destination'
          ? [...names, WILDCARD].map(entries.topics.destination)
          : [...names, WILDCARD].map(entries.topics.source),
      produce({ by, names }) {
        const matches = by === 'destination' ? matchDestination : matchSource;
        return Object.fromEntries(names.map((name) => [name, sortIntentions(matches(entries, foldName(name)))]));
      },
    },
    'intentions.check': {
      topics: ({ destination }) => decisive(destination),
      produce: (pair) => ({
        Allowed: decide(verdictsFor(pair), pair.source, pair.sourceDatacenter || undefined).allowed,
      }),
    },
    'intentions.connection': {
      topics: ({ destination }) => decisive(destination),
      produce: (pair) => ({
        Verdict: connectionVerdict(
          compilePermissions(verdictsFor(pair)),
          pair.source,
          pair.sourceDatacenter || undefined,
        ),
      }),
    },
    'intentions.explain': {
      topics: ({ destination }) => decisive(destination),
      produce: (pair) =>
        explain(
          named(pair),
          {
            verdicts: verdictsFor(pair),
            datacenter,
            entryDatacenters: entries.get(pair.destination)?.value.Datacenters,
          },
          pair.request,
        ),
    },
    'intentions.verdicts': {
      topics: ({ destination }) => [...decisive(destination), entries.topics.providers],
      produce: ({ destination }) => compiled.get(foldName(destination), datacenter),
    },
  };
}

/** '*' and the name itself; asked for '*', only the wildcard's own. */
function bothNames(name: string): readonly string[] {
  return name === WILDCARD ? [WILDCARD] : [name, WILDCARD];
}

function matchDestination(entries: EntryStore, name: string): readonly Intention[] {
  return bothNames(name).flatMap((destination) => {
    const row = entries.get(destination);
    return row === undefined ? [] : viewEntry(row);
  });
}

function matchSource(entries: EntryStore, name: string): readonly Intention[] {
  return bothNames(name).flatMap((wanted) =>
    entries.bySource(wanted).flatMap((row) => viewEntry(row, (source) => source.Name === wanted)),
  );
}

function notFound(): IsthmusError {
  return new IsthmusError('not_found', 'Intention not found');
}
