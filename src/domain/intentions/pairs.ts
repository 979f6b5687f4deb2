import type { ServiceIntentionsEntry, SourceIntention } from '../../model/intention.ts';
import { foldName } from '../../model/names.ts';
import type { IntentionPair } from '../../model/requests.ts';
import { destinationsOf } from '../../model/service-intentions.ts';

/**
 * The source that decides for exactly this pair, datacenters included; an absent one means the source that names none.
 */
export function findPair(entry: ServiceIntentionsEntry, pair: IntentionPair): number {
  return entry.Sources.findIndex(
    (source) =>
      source.Name === pair.source &&
      names(source.Datacenters, pair.sourceDatacenter) &&
      names(destinationsOf(entry, source), pair.destinationDatacenter),
  );
}

function names(list: readonly string[] | undefined, datacenter: string | undefined): boolean {
  return datacenter === undefined || datacenter === '' ? list === undefined : list?.includes(datacenter) === true;
}

/** The sources without this pair: a source that names several datacenters keeps the others. */
export function withoutPair(entry: ServiceIntentionsEntry, pair: IntentionPair): readonly SourceIntention[] {
  const at = findPair(entry, pair);
  if (at === -1) return entry.Sources;
  const source = entry.Sources[at] as SourceIntention;
  const rest: SourceIntention[] = [];
  const others = source.Datacenters?.filter((name) => name !== pair.sourceDatacenter) ?? [];
  if (others.length > 0) rest.push({ ...source, Datacenters: others });
  const destinations = destinationsOf(entry, source)?.filter((name) => name !== pair.destinationDatacenter) ?? [];
  if (destinations.length > 0) {
    const datacenters = pair.sourceDatacenter ? { Datacenters: [pair.sourceDatacenter] } : {};
    rest.push({ ...source, ...datacenters, DestinationDatacenters: destinations });
  }
  return entry.Sources.toSpliced(at, 1, ...rest);
}

/** The pair in canonical names, without empty datacenters, which mean the same as absent ones. */
export function named(pair: IntentionPair): {
  readonly source: string;
  readonly destination: string;
  readonly sourceDatacenter?: string;
  readonly destinationDatacenter?: string;
} {
  return {
    source: foldName(pair.source),
    destination: foldName(pair.destination),
    ...(pair.sourceDatacenter ? { sourceDatacenter: foldName(pair.sourceDatacenter) } : {}),
    ...(pair.destinationDatacenter ? { destinationDatacenter: foldName(pair.destinationDatacenter) } : {}),
  };
}
