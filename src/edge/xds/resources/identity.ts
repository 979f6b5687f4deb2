import { create } from '@bufbuild/protobuf';
import { formatSpiffe } from '../../../model/spiffe.ts';
import { type RegexMatcher, RegexMatcherSchema } from '../gen/envoy/type/matcher/v3/regex_pb.ts';

/** Identities as Envoy matches them: the whole text of the URI in the certificate. */

export function identityOf(service: string, datacenter: string, trustDomain: string): string {
  return formatSpiffe({ kind: 'service', trustDomain, namespace: 'default', datacenter, service });
}

/** Services of a trust domain: of one name, in one datacenter, as far as these are given. */
export function identityPattern(trustDomain: string, service?: string, datacenter?: string): string {
  const known = identityOf(service ?? 'any', datacenter ?? 'any', trustDomain).split('/');
  const parts = known.map(escaped);
  if (datacenter === undefined) parts[DATACENTER] = ANY;
  if (service === undefined) parts[SERVICE] = ANY;
  return parts.join('/');
}

const ANY = '[^/]+';
/** Places in `spiffe://<trust domain>/ns/<namespace>/dc/<datacenter>/svc/<service>`, split at its slashes. */
const DATACENTER = 6;
const SERVICE = 8;

export function regex(pattern: string): RegexMatcher {
  return create(RegexMatcherSchema, { regex: pattern });
}

export function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
