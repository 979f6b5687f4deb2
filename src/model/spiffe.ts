import { IsthmusError } from '../lib/errors.ts';
import { canonicalDatacenter, canonicalNodeName, canonicalServiceName, tryDatacenter, tryName } from './names.ts';

/**
 * SPIFFE identities of the mesh:
 * - service: `spiffe://<trust-domain>/ns/<namespace>/dc/<dc>/svc/<service>`
 * - agent: `spiffe://<trust-domain>/agent/client/dc/<dc>/id/<node>`
 * - signing (CA certificates): `spiffe://<trust-domain>` of a root, which may sign for every datacenter;
 *   `spiffe://<trust-domain>/ca/dc/<dc>` of a datacenter's intermediate, which may sign for that one alone
 * Path segments are percent-encoded; the segments here are decoded, and names are in their canonical form: identities
 * that differ in case alone are the same one.
 */
export interface ServiceIdentity {
  readonly kind: 'service';
  readonly trustDomain: string;
  readonly namespace: string;
  readonly datacenter: string;
  readonly service: string;
}

export interface AgentIdentity {
  readonly kind: 'agent';
  readonly trustDomain: string;
  readonly datacenter: string;
  readonly node: string;
}

export interface SigningIdentity {
  readonly kind: 'signing';
  readonly trustDomain: string;
  /** The only datacenter that it may sign for; absent: any. */
  readonly datacenter?: string;
}

export type SpiffeIdentity = ServiceIdentity | AgentIdentity | SigningIdentity;

/** A SPIFFE ID is at most 2,048 bytes (SPIFFE-ID, section 2.3). */
const MAX_URI = 2_048;
/** A trust domain is at most 255 bytes (SPIFFE-ID, section 2.1). */
const MAX_TRUST_DOMAIN = 255;
const TRUST_DOMAIN = /^[a-z0-9][a-z0-9._-]*$/;
/** What a segment may hold unescaped (RFC 3986 pchar without the escapes). */
const PCHARS = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+$/;

/** `undefined` when `uri` is not an identity of the mesh. */
export function tryParseSpiffe(uri: string): SpiffeIdentity | undefined {
  if (uri.length > MAX_URI || !uri.startsWith('spiffe://')) return undefined;
  const slash = uri.indexOf('/', 9);
  const trustDomain = slash === -1 ? uri.slice(9) : uri.slice(9, slash);
  if (trustDomain.length > MAX_TRUST_DOMAIN || !TRUST_DOMAIN.test(trustDomain)) return undefined;
  if (slash === -1) return { kind: 'signing', trustDomain };
  const parts = uri.slice(slash + 1).split('/');
  if (parts.length === 3 && parts[0] === 'ca' && parts[1] === 'dc') {
    const datacenter = decodeSegment(parts[2] as string, tryDatacenter);
    return datacenter === undefined ? undefined : { kind: 'signing', trustDomain, datacenter };
  }
  if (parts.length !== 6) return undefined;
  const [kind, first, dc, second, label, third] = parts as [string, string, string, string, string, string];
  if (kind === 'ns' && dc === 'dc' && label === 'svc') {
    const namespace = decodeSegment(first, tryName);
    const datacenter = decodeSegment(second, tryDatacenter);
    const service = decodeSegment(third, tryName);
    if (namespace === undefined || datacenter === undefined || service === undefined) return undefined;
    return { kind: 'service', trustDomain, namespace, datacenter, service };
  }
  if (kind === 'agent' && first === 'client' && dc === 'dc' && label === 'id') {
    const datacenter = decodeSegment(second, tryDatacenter);
    const node = decodeSegment(third, tryName);
    if (datacenter === undefined || node === undefined) return undefined;
    return { kind: 'agent', trustDomain, datacenter, node };
  }
  return undefined;
}

/** As {@link tryParseSpiffe}, but throws `invalid_argument`. */
export function parseSpiffe(uri: string): SpiffeIdentity {
  const identity = tryParseSpiffe(uri);
  if (identity === undefined)
    throw new IsthmusError('invalid_argument', 'the URI is not a SPIFFE identity of a service, an agent or a CA');
  return identity;
}

/** The one way to write an identity; throws `invalid_argument` for names that no identity can hold. */
export function formatSpiffe(identity: SpiffeIdentity): string {
  const { trustDomain } = identity;
  if (trustDomain.length > MAX_TRUST_DOMAIN || !TRUST_DOMAIN.test(trustDomain))
    throw new IsthmusError('invalid_argument', 'the trust domain is not a lower-case host name of at most 255 bytes');
  const uri = `spiffe://${trustDomain}${path(identity)}`;
  if (uri.length > MAX_URI) throw new IsthmusError('invalid_argument', `the identity is longer than ${MAX_URI} bytes`);
  return uri;
}

/** The trust domain of a cluster ID: `<uuid>.consul`. */
export function trustDomainOf(clusterId: string): string {
  return `${clusterId}.consul`;
}

function path(identity: SpiffeIdentity): string {
  switch (identity.kind) {
    case 'service': {
      const namespace = encodeURIComponent(canonicalServiceName(identity.namespace));
      const service = encodeURIComponent(canonicalServiceName(identity.service));
      return `/ns/${namespace}/dc/${canonicalDatacenter(identity.datacenter)}/svc/${service}`;
    }
    case 'agent': {
      const node = encodeURIComponent(canonicalNodeName(identity.node));
      return `/agent/client/dc/${canonicalDatacenter(identity.datacenter)}/id/${node}`;
    }
    case 'signing':
      return identity.datacenter === undefined ? '' : `/ca/dc/${canonicalDatacenter(identity.datacenter)}`;
  }
}

/** The canonical form of a name, from a segment as it stands in the URI. */
function decodeSegment(text: string, canonical: (name: string) => string | undefined): string | undefined {
  if (text === '' || !PCHARS.test(text)) return undefined;
  try {
    return canonical(decodeURIComponent(text));
  } catch {
    return undefined; // escapes that are no UTF-8
  }
}
