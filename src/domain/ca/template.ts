import { randomBytes } from 'node:crypto';
import { formatSpiffe, type SpiffeIdentity, trustDomainOf } from '../../model/spiffe.ts';
import type { Csr } from '../../pki/csr.ts';
import type { CaRequest, LeafRequest } from '../../pki/issuer.ts';
import { agentCommonName, caCommonName, leafCommonName } from '../../pki/names.ts';
import type { IntermediateSubject } from './validate.ts';

/** Certificates are valid from a minute ago: clocks of machines differ. */
const BACKDATE_MS = 60_000;
/** Of a cross-signature; a root may live shorter. */
const CROSS_LIFE_MS = 87_600 * 3_600_000;

export interface RootTemplate {
  readonly commonName: string;
  readonly uri: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** A leaf for a validated identity: the name in the certificate is written anew, never copied from the request. */
export function leafTemplate(csr: Csr, identity: SpiffeIdentity, now: number, ttlMs: number): LeafRequest {
  const { trustDomain } = identity;
  const commonName =
    identity.kind === 'service'
      ? leafCommonName(identity.service, trustDomain)
      : agentCommonName(identity.kind === 'agent' ? identity.node : '', trustDomain);
  return {
    spki: csr.spki,
    uri: formatSpiffe(identity),
    commonName,
    notBefore: now - BACKDATE_MS,
    notAfter: now + ttlMs,
  };
}

/** A datacenter's intermediate: it signs leaves of that datacenter and nothing else, and says so. */
export function intermediateTemplate(
  { csr, datacenter }: IntermediateSubject,
  clusterId: string,
  now: number,
  ttlMs: number,
): CaRequest {
  const trustDomain = trustDomainOf(clusterId);
  return {
    spki: csr.spki,
    uri: formatSpiffe({ kind: 'signing', trustDomain, datacenter }),
    commonName: caCommonName('sec', randomLabel(), trustDomain),
    notBefore: now - BACKDATE_MS,
    notAfter: now + ttlMs,
    pathLength: 0,
    permittedUriHost: trustDomain,
  };
}

export function rootTemplate(clusterId: string, now: number, ttlMs: number): RootTemplate {
  const trustDomain = trustDomainOf(clusterId);
  return {
    commonName: caCommonName('pri', randomLabel(), trustDomain),
    uri: formatSpiffe({ kind: 'signing', trustDomain }),
    notBefore: now - BACKDATE_MS,
    notAfter: now + ttlMs,
  };
}

/** A cross-signature is valid as long as the root below which it stands: `Issuer` cuts it to that. */
export function crossTemplate(now: number): { readonly notBefore: number; readonly notAfter: number } {
  return { notBefore: now - BACKDATE_MS, notAfter: now + CROSS_LIFE_MS };
}

/** Eight characters that tell CA certificates apart. */
function randomLabel(): string {
  return randomBytes(5).toString('hex').slice(0, 8);
}
