import type { ServiceInstance } from '../../model/catalog.ts';
import { serviceInstanceFilter } from '../../model/filter/schemas.ts';
import type { QueryInstance, QuerySelection, QueryService } from '../../model/prepared-query.ts';

/** What a query asks of one datacenter; only what it says, so that equal questions are equal texts. */
export function selectionOf(service: QueryService, connect: boolean): QuerySelection {
  const { IgnoreCheckIDs, Tags, NodeMeta, ServiceMeta } = service;
  return {
    service: service.Service,
    ...(service.Connect || connect ? { connect: true } : {}),
    ...(service.OnlyPassing ? { onlyPassing: true } : {}),
    ...(IgnoreCheckIDs === null || IgnoreCheckIDs.length === 0 ? {} : { ignoreCheckIds: IgnoreCheckIDs }),
    ...(Tags === null || Tags.length === 0 ? {} : { tags: Tags }),
    ...(NodeMeta === null ? {} : { nodeMeta: NodeMeta }),
    ...(ServiceMeta === null ? {} : { serviceMeta: ServiceMeta }),
  };
}

/** The instances that fit. @param instances as stored, with all checks that count for them. */
export function select(instances: readonly ServiceInstance[], selection: QuerySelection): readonly QueryInstance[] {
  const ignored = new Set(selection.ignoreCheckIds);
  const wanted = (selection.tags ?? []).map((tag) => tag.toLowerCase());
  const found: QueryInstance[] = [];
  for (const { Node, Service, Checks } of serviceInstanceFilter.apply(selection.filter, instances)) {
    const healthy = Checks.every(
      ({ CheckID, Status }) =>
        ignored.has(CheckID) || (selection.onlyPassing === true ? Status === 'passing' : Status !== 'critical'),
    );
    if (!healthy || !metaFits(Node.Meta, selection.nodeMeta) || !metaFits(Service.Meta, selection.serviceMeta))
      continue;
    const tags = new Set(Service.Tags?.map((tag) => tag.toLowerCase()));
    if (!wanted.every((tag) => (tag.startsWith('!') ? !tags.has(tag.slice(1)) : tags.has(tag)))) continue;
    found.push({ Node, Service, Checks: Checks.length === 0 ? null : Checks });
  }
  return found;
}

function metaFits(meta: Readonly<Record<string, string>> | null, wanted: QuerySelection['nodeMeta']): boolean {
  return wanted === undefined || Object.entries(wanted).every(([key, value]) => meta?.[key] === value);
}
