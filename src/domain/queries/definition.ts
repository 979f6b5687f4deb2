import { tryParseDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { metadataFault } from '../../model/metadata.ts';
import { HIDDEN_TOKEN, type PreparedQuery, type QueryRequest } from '../../model/prepared-query.ts';

/** What is stored: without indexes, which are the row's revisions. */
export type QueryEntity = Omit<PreparedQuery, 'CreateIndex' | 'ModifyIndex'>;

export function rejected(message: string): IsthmusError {
  return new IsthmusError('rejected', message);
}

/** The query with everything that was left out. */
export function complete(id: string, request: QueryRequest): QueryEntity {
  const { Template: template, Service: service, DNS: dns } = request;
  const failover = service?.Failover;
  return {
    ID: id,
    Name: request.Name ?? '',
    Session: request.Session ?? '',
    Token: request.Token ?? '',
    Template: {
      Type: template?.Type ?? '',
      Regexp: template?.Regexp ?? '',
      RemoveEmptyTags: template?.RemoveEmptyTags ?? false,
    },
    Service: {
      Service: service?.Service ?? '',
      Failover: {
        NearestN: failover?.NearestN ?? 0,
        Datacenters: failover?.Datacenters ?? null,
        ...(failover?.Targets === undefined || failover.Targets.length === 0 ? {} : { Targets: failover.Targets }),
      },
      OnlyPassing: service?.OnlyPassing ?? false,
      IgnoreCheckIDs: service?.IgnoreCheckIDs ?? null,
      Near: service?.Near ?? '',
      Tags: service?.Tags ?? null,
      NodeMeta: service?.NodeMeta ?? null,
      ServiceMeta: service?.ServiceMeta ?? null,
      Connect: service?.Connect ?? false,
    },
    DNS: { TTL: dns?.TTL ?? '' },
  };
}

/** Throws `rejected` with Consul's texts. */
export function validate(query: QueryEntity): void {
  const fault = faultOf(query);
  if (fault !== undefined) throw rejected(`Invalid prepared query: ${fault}`);
}

function faultOf({ Name, Session, Token, Template, Service, DNS }: QueryEntity): string | undefined {
  if (Name === '' && Template.Type === '' && Session === '') return 'Must be bound to a session';
  if (Token === HIDDEN_TOKEN)
    return `Bad Token '${Token}', it looks like a query definition with a redacted token was submitted`;
  if (Service.Service === '') return 'Must provide a Service name to query';
  const { NearestN, Datacenters, Targets } = Service.Failover;
  if (NearestN < 0) return `Bad NearestN '${NearestN}', must be >= 0`;
  if (Targets !== undefined && (NearestN > 0 || (Datacenters?.length ?? 0) > 0))
    return 'Targets cannot be populated with NearestN or Datacenters';
  const meta = metadataFault(Service.NodeMeta ?? {}, true);
  if (meta !== undefined) return meta;
  if (DNS.TTL === '') return undefined;
  const ttl = tryParseDuration(DNS.TTL);
  if (ttl === undefined) return `Bad DNS TTL '${DNS.TTL}': time: invalid duration ${JSON.stringify(DNS.TTL)}`;
  return ttl < 0 ? `DNS TTL '${DNS.TTL}', must be >=0` : undefined;
}

/** There are no sessions here, so that a query can't be bound to one. */
export function refuseSession({ Session }: QueryEntity): void {
  if (Session === '') return;
  throw rejected(
    Session.length === 36 ? 'invalid session' : 'invalid session: index error: UUID must be 36 characters',
  );
}
