import { createHash } from 'node:crypto';
import { FilterCompiler } from '../../model/filter/filter.ts';
import { list, NUMBER, TEXT, TEXT_MAP } from '../../model/filter/schema.ts';
import type { Intention, ServiceIntentionsEntry, SourceIntention } from '../../model/intention.ts';
import { compareIntentions, intentionsOf } from '../../model/service-intentions.ts';
import type { Stored } from '../../store/table.ts';

const FILTER = new FilterCompiler<Intention>({
  ID: TEXT,
  Description: TEXT,
  SourceNS: TEXT,
  SourceName: TEXT,
  SourceDatacenter: TEXT,
  DestinationNS: TEXT,
  DestinationName: TEXT,
  DestinationDatacenter: TEXT,
  SourceType: TEXT,
  Action: TEXT,
  Permissions: list({ Action: TEXT }),
  Meta: TEXT_MAP,
  Precedence: NUMBER,
});

/** The intentions that an entry stands for; with `wanted`, of those sources only. */
export function viewEntry(
  row: Stored<ServiceIntentionsEntry>,
  wanted: (source: SourceIntention) => boolean = () => true,
): readonly Intention[] {
  const revisions = { CreateIndex: row.createRevision, ModifyIndex: row.modRevision };
  return row.value.Sources.filter(wanted).flatMap((source) => intentionsOf(row.value, source, revisions).map(withHash));
}

export function sortIntentions(intentions: readonly Intention[]): readonly Intention[] {
  return intentions.toSorted(compareIntentions);
}

export function filterIntentions(expression: string | undefined, all: readonly Intention[]): readonly Intention[] {
  return FILTER.apply(expression, all);
}

/** Those with an ID have a hash over what a caller may set: equal hashes, equal intentions. */
function withHash(intention: Intention): Intention {
  const { ID } = intention;
  if (ID === undefined) return intention;
  const { CreateIndex, ModifyIndex, ...fields } = intention;
  const meta = Object.entries(fields.Meta ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash('sha256').update(
    JSON.stringify([
      ID,
      fields.Description,
      fields.SourceName,
      fields.SourceDatacenter,
      fields.DestinationName,
      fields.DestinationDatacenter,
      fields.SourceType,
      fields.Action,
      fields.Precedence,
      meta,
    ]),
  );
  return { ...fields, Hash: hash.digest('base64'), CreateIndex, ModifyIndex };
}
