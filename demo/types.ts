export type { AclToken } from '../src/model/acl.ts';
export type { CaRoots, RotationStatus } from '../src/model/ca.ts';
export type { Explanation } from '../src/model/intention.ts';
export type { QueryExecution, QueryForecast, QueryOutcome } from '../src/model/prepared-query.ts';
export type { CaStatus } from '../src/model/requests.ts';
export type { ListedInvitation } from '../src/model/transport.ts';

/** The part of /v1/agent/self that is shown. */
export interface Self {
  readonly Stats: { readonly tls?: Readonly<Record<string, string>> };
}
