import { IsthmusError } from '../../lib/errors.ts';
import { canonicalDatacenter } from '../../model/names.ts';
import { type AgentIdentity, type ServiceIdentity, trustDomainOf, tryParseSpiffe } from '../../model/spiffe.ts';
import { type Certificate, isSignedBy, parseCertificate } from '../../pki/certificate.ts';
import { permitsUri, signsFor, verifyChain } from '../../pki/chain.ts';
import { type Csr, type OwnCsrs, parseCsr } from '../../pki/csr.ts';
import { KEY_USAGE } from '../../pki/oids.ts';

export interface LeafSubject {
  readonly csr: Csr;
  readonly identity: ServiceIdentity | AgentIdentity;
}

/**
 * Checks a request for a leaf: its own signature, unless it is one of `own`, and an identity of this trust domain and
 * datacenter.
 */
export function validateLeaf(pem: string, clusterId: string, datacenter: string, own?: OwnCsrs): LeafSubject {
  const csr = own?.take(pem) ?? parseCsr(pem);
  const identity = tryParseSpiffe(csr.uri);
  if (
    identity === undefined ||
    identity.kind === 'signing' ||
    (identity.kind === 'service' && identity.namespace !== 'default')
  )
    throw new IsthmusError('rejected', 'URI must be either service or agent');
  const ours = trustDomainOf(clusterId);
  if (identity.trustDomain !== ours)
    throw new IsthmusError(
      'rejected',
      `SPIFFE ID in CSR from a different trust domain: ${identity.trustDomain}, we are ${ours}`,
    );
  if (identity.datacenter !== datacenter)
    throw new IsthmusError(
      'rejected',
      `SPIFFE ID in CSR from a different datacenter: ${JSON.stringify(identity.datacenter)}, we are ` +
        `${JSON.stringify(datacenter)}`,
    );
  return { csr, identity };
}

export interface IntermediateSubject {
  readonly csr: Csr;
  readonly datacenter: string;
}

/** Checks a secondary's request for its intermediate: it is for the datacenter that asks, and not for the primary's. */
export function validateIntermediate(
  pem: string,
  clusterId: string,
  asking: string,
  primary: string,
): IntermediateSubject {
  const csr = parseCsr(pem);
  const datacenter = canonicalDatacenter(asking);
  const identity = tryParseSpiffe(csr.uri);
  if (identity?.kind !== 'signing')
    throw new IsthmusError('rejected', 'the signing request is not for the certificate of a CA');
  if (identity.trustDomain !== trustDomainOf(clusterId))
    throw new IsthmusError(
      'rejected',
      `the signing request is for trust domain ${identity.trustDomain}, we are ${trustDomainOf(clusterId)}`,
    );
  if (datacenter === primary)
    throw new IsthmusError(
      'permission_denied',
      `${JSON.stringify(primary)} signs under its root and has no intermediate`,
    );
  if (identity.datacenter !== undefined && identity.datacenter !== datacenter)
    throw new IsthmusError(
      'permission_denied',
      `the signing request is for datacenter ${JSON.stringify(identity.datacenter)}, and ` +
        `${JSON.stringify(datacenter)} asks`,
    );
  return { csr, datacenter };
}

/** Checks a root certificate before anything is signed under it. */
export function validateRoot(pem: string, clusterId: string, now: number): Certificate {
  const root = parseCertificate(pem);
  const problem = rootProblem(root, trustDomainOf(clusterId), now);
  if (problem !== undefined) throw new IsthmusError('rejected', `the root certificate cannot be used: ${problem}`);
  return root;
}

/** Checks what the primary answered to a request: nothing is activated that would not verify. */
export function validateSignedIntermediate(
  certPem: string,
  rootPem: string,
  wanted: { readonly spki: Buffer; readonly datacenter: string },
  now: number,
): Certificate {
  const certificate = parseCertificate(certPem);
  const problem = certificate.spki.equals(wanted.spki)
    ? intermediateProblem(certificate, parseCertificate(rootPem), wanted.datacenter, now)
    : 'it is for another key';
  if (problem !== undefined)
    throw new IsthmusError('unavailable', `the primary returned an intermediate that does not verify: ${problem}`);
  return certificate;
}

/** Why leaves of this datacenter that it signs would not verify; undefined when they will. */
export function intermediateProblem(
  certificate: Certificate,
  root: Certificate,
  datacenter: string,
  now: number,
): string | undefined {
  if (!certificate.ca) return 'it is not that of a CA';
  const named = signsFor(certificate); // those of earlier versions name none
  if (named !== undefined && named !== datacenter) return `it is for datacenter "${named}", we are "${datacenter}"`;
  try {
    verifyChain([certificate], [root], now);
    return undefined;
  } catch (error) {
    return IsthmusError.from(error).message;
  }
}

function rootProblem(root: Certificate, trustDomain: string, now: number): string | undefined {
  if (!root.ca || (root.keyUsage !== undefined && (root.keyUsage & KEY_USAGE.keyCertSign) === 0))
    return 'it is not that of a CA';
  if (root.pathLength === 0) return 'it allows no intermediates';
  if (!root.subject.equals(root.issuer) || !isSignedBy(root, root)) return 'it is not self-signed';
  const { uriHosts, more } = root.nameConstraints ?? { more: false };
  if (more || (uriHosts !== undefined && !permitsUri(uriHosts, `spiffe://${trustDomain}/`)))
    return 'it constrains the names below it to others than those of services here';
  if (root.unknownCritical.length > 0) return 'it has a critical extension that is not understood';
  if (now < root.notBefore) return 'it is not valid yet';
  if (now > root.notAfter) return 'it has expired';
  const other = root.uris.find((uri) => uri !== `spiffe://${trustDomain}`);
  return other === undefined ? undefined : `it is for ${other}, we are spiffe://${trustDomain}`;
}
