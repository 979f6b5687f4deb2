import { parseDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { ConfigEntry } from '../config-entry.ts';
import type { FailoverPolicyFields, LoadBalancerFields, PrioritizeByLocalityFields } from '../discovery-chain.ts';
import { serviceInstanceFilter } from '../filter/schemas.ts';
import { type KindSpec, rejected, requireName, validateMeta } from './kind.ts';
import { LOAD_BALANCER, validateLoadBalancer } from './load-balancer.ts';
import {
  FAILOVER_POLICY,
  PRIORITIZE_BY_LOCALITY,
  validateFailoverPolicy,
  validatePrioritizeByLocality,
} from './locality.ts';
import { DURATION, FLAG, NAME, NAMES, TEXT } from './schema.ts';

export interface Redirect {
  readonly Service?: string;
  readonly ServiceSubset?: string;
  readonly Namespace?: string;
  readonly Datacenter?: string;
}

export interface Failover {
  readonly Service?: string;
  readonly ServiceSubset?: string;
  readonly Namespace?: string;
  readonly Datacenters?: readonly string[];
  /** Instead of all of these: each in its order. */
  readonly Targets?: readonly Redirect[];
  readonly Policy?: FailoverPolicyFields;
}

export interface Subset {
  readonly Filter?: string;
  readonly OnlyPassing?: boolean;
}

export interface ServiceResolver extends ConfigEntry {
  readonly Kind: 'service-resolver';
  readonly ConnectTimeout?: string;
  /** Below zero: for ever. */
  readonly RequestTimeout?: string;
  readonly DefaultSubset?: string;
  readonly Subsets?: Readonly<Record<string, Subset>>;
  readonly Redirect?: Redirect;
  readonly Failover?: Readonly<Record<string, Failover>>;
  readonly LoadBalancer?: LoadBalancerFields;
  readonly PrioritizeByLocality?: PrioritizeByLocalityFields;
}

/** A subset's name becomes part of a DNS name. */
const SUBSET_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

/** Where instances of a service are found: subsets, another service or datacenter, failover. */
export const serviceResolver: KindSpec<ServiceResolver> = {
  kind: 'service-resolver',
  fields: {
    DefaultSubset: TEXT,
    Subsets: { type: 'map', of: { Filter: TEXT, OnlyPassing: FLAG } },
    Redirect: {
      type: 'object',
      fields: {
        Service: NAME,
        ServiceSubset: TEXT,
        Namespace: TEXT,
        Datacenter: NAME,
      },
    },
    Failover: {
      type: 'map',
      of: {
        Service: NAME,
        ServiceSubset: TEXT,
        Namespace: TEXT,
        Datacenters: NAMES,
        Targets: {
          type: 'list',
          of: { Service: NAME, ServiceSubset: TEXT, Namespace: TEXT, Datacenter: NAME },
        },
        Policy: FAILOVER_POLICY,
      },
    },
    ConnectTimeout: DURATION,
    RequestTimeout: DURATION,
    LoadBalancer: LOAD_BALANCER,
    PrioritizeByLocality: PRIORITIZE_BY_LOCALITY,
  },
  normalise: (entry) => entry,
  validate(entry) {
    requireName(entry);
    validateMeta(entry.Meta);
    const isSubset = (name: string): boolean => entry.Subsets !== undefined && Object.hasOwn(entry.Subsets, name);
    for (const [name, { Filter = '' }] of Object.entries(entry.Subsets ?? {})) {
      if (name === '') throw rejected('Subset defined with empty name');
      if (!SUBSET_NAME.test(name))
        throw rejected(
          `Subset ${quote(name)} is invalid: must be 63 characters or fewer and match [a-z0-9]([a-z0-9-]*[a-z0-9])?`,
        );
      if (Filter !== '') validateFilter(name, Filter);
    }
    if (entry.DefaultSubset !== undefined && !isSubset(entry.DefaultSubset))
      throw rejected(`DefaultSubset ${quote(entry.DefaultSubset)} is not a valid subset`);
    if (entry.Redirect !== undefined) validateRedirect(entry, entry.Redirect, isSubset);
    for (const [subset, failover] of Object.entries(entry.Failover ?? {}))
      validateFailover(entry, subset, failover, isSubset);
    if (entry.LoadBalancer !== undefined) validateLoadBalancer(entry.LoadBalancer);
    validatePrioritizeByLocality(entry.PrioritizeByLocality);
    if (entry.ConnectTimeout !== undefined && parseDuration(entry.ConnectTimeout) < 0)
      throw rejected(`Bad ConnectTimeout '${entry.ConnectTimeout}', must be >= 0`);
  },
  mentions(entry) {
    const names = new Set<string>();
    if (entry.Redirect?.Service !== undefined) names.add(entry.Redirect.Service);
    for (const { Service, Targets = [] } of Object.values(entry.Failover ?? {}))
      for (const target of [{ Service }, ...Targets]) if (target.Service !== undefined) names.add(target.Service);
    return [...names];
  },
};

/** Also refused is what Consul would only find when it looks for instances: a field that they don't have. */
function validateFilter(subset: string, filter: string): void {
  try {
    serviceInstanceFilter.compile(filter);
  } catch (error) {
    throw rejected(`Filter for subset ${quote(subset)} is not a valid expression: ${IsthmusError.from(error).message}`);
  }
}

function validateRedirect(entry: ServiceResolver, redirect: Redirect, isSubset: (name: string) => boolean): void {
  if (entry.Failover !== undefined) throw rejected('Redirect and Failover cannot both be set');
  const { Service, ServiceSubset, Namespace, Datacenter } = redirect;
  if (Service === undefined) {
    if (ServiceSubset === undefined && Namespace === undefined && Datacenter === undefined)
      throw rejected('Redirect is empty');
    if (ServiceSubset !== undefined) throw rejected('Redirect.ServiceSubset defined without Redirect.Service');
    if (Namespace !== undefined) throw rejected('Redirect.Namespace defined without Redirect.Service');
  } else if (Service === entry.Name && ServiceSubset !== undefined && !isSubset(ServiceSubset))
    throw rejected(`Redirect.ServiceSubset ${quote(ServiceSubset)} is not a valid subset of ${quote(Service)}`);
}

function validateFailover(
  entry: ServiceResolver,
  subset: string,
  failover: Failover,
  isSubset: (name: string) => boolean,
): void {
  const where = `Bad Failover[${quote(subset)}]`;
  if (subset !== '*' && !isSubset(subset)) throw rejected(`${where}: not a valid subset`);
  const { Service, ServiceSubset, Namespace, Datacenters, Targets } = failover;
  validateFailoverPolicy(failover.Policy, where);
  if (Targets !== undefined) {
    for (const [name, value] of Object.entries({ Service, ServiceSubset, Namespace, Datacenters }))
      if (value !== undefined) throw rejected(`${where}: Targets cannot be set with ${name}`);
    for (const [at, target] of Targets.entries()) validateTarget(entry, target, `${where}.Targets[${at}]`, isSubset);
    return;
  }
  if (Service === undefined && ServiceSubset === undefined && Namespace === undefined && Datacenters === undefined)
    throw rejected(`${where} one of Service, ServiceSubset, Namespace, or Datacenters is required`);
  const own = Service === undefined || Service === entry.Name;
  if (ServiceSubset !== undefined && own && !isSubset(ServiceSubset))
    throw rejected(`${where}.ServiceSubset ${quote(ServiceSubset)} is not a valid subset of ${quote(entry.Name)}`);
  if (Datacenters?.includes('')) throw rejected(`${where}.Datacenters: found empty datacenter`);
}

function validateTarget(
  entry: ServiceResolver,
  { Service = entry.Name, ServiceSubset, Datacenter }: Redirect,
  where: string,
  isSubset: (name: string) => boolean,
): void {
  if (Service === entry.Name && ServiceSubset === undefined && Datacenter === undefined)
    throw rejected(`${where}: one of Service, ServiceSubset, or Datacenter is required`);
  if (ServiceSubset !== undefined && Service === entry.Name && !isSubset(ServiceSubset))
    throw rejected(`${where}.ServiceSubset ${quote(ServiceSubset)} is not a valid subset of ${quote(Service)}`);
}

function quote(text: string): string {
  return JSON.stringify(text);
}
