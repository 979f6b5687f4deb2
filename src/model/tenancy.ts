import { IsthmusError } from '../lib/errors.ts';

/**
 * Consul's commercial edition divides a datacenter into partitions and these into namespaces, and peers clusters. Here
 * there is one of each, "default". Consul's community edition ignores other names on most endpoints, so that a question
 * about one place is answered about another; here they are refused wherever they can be given.
 */
export type Tenancy = 'namespace' | 'partition' | 'peer' | 'sameness group';

/** Fields of bodies and files that name one, in lower case and without underscores. */
const FIELDS: ReadonlyMap<string, Tenancy> = new Map([
  ['namespace', 'namespace'],
  ['sourcens', 'namespace'],
  ['destinationns', 'namespace'],
  ['destinationnamespace', 'namespace'],
  ['partition', 'partition'],
  ['sourcepartition', 'partition'],
  ['destinationpartition', 'partition'],
  ['peer', 'peer'],
  ['peername', 'peer'],
  ['sourcepeer', 'peer'],
  ['destinationpeer', 'peer'],
  ['samenessgroup', 'sameness group'],
  ['sourcesamenessgroup', 'sameness group'],
]);

/** Parameters and headers of HTTP requests that name one. */
export const TENANCY_PARAMETERS: ReadonlyMap<string, Tenancy> = new Map([
  ['ns', 'namespace'],
  ['namespace', 'namespace'],
  ['partition', 'partition'],
  ['peer', 'peer'],
  ['sg', 'sameness group'],
  ['sameness-group', 'sameness group'],
]);
export const TENANCY_HEADERS: ReadonlyMap<string, Tenancy> = new Map([
  ['x-consul-namespace', 'namespace'],
  ['x-consul-partition', 'partition'],
]);

/** What a field of a body or a file names, by its name in any spelling; undefined for another field. */
export function tenancyOf(field: string): Tenancy | undefined {
  return FIELDS.get(field.toLowerCase().replaceAll('_', ''));
}

/**
 * Why a name can't be meant here; undefined for "default" and what says nothing. @param any true where `*` means all
 */
export function tenancyFault(tenancy: Tenancy, value: unknown, any = false): string | undefined {
  if (value === undefined || value === null || value === '' || (any && value === '*')) return undefined;
  const single = tenancy === 'namespace' || tenancy === 'partition';
  if (single && typeof value === 'string' && value.toLowerCase() === 'default') return undefined;
  return single
    ? `there is no ${tenancy} ${JSON.stringify(value)} here: a datacenter has one, "default"`
    : `there are no ${tenancy}s here: leave it out`;
}

/**
 * Throws `invalid_argument` for a name that can't be meant. @param where what names it: `-namespace`,
 * `CONSUL_NAMESPACE`
 */
export function requireDefaultTenancy(tenancy: Tenancy, value: unknown, where: string, any = false): void {
  const fault = tenancyFault(tenancy, value, any);
  if (fault !== undefined) throw new IsthmusError('invalid_argument', `${where}: ${fault}`);
}
