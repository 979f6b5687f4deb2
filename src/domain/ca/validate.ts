import { IsthmusError } from '../../lib/errors.ts';
import { type AgentIdentity, type ServiceIdentity, trustDomainOf, tryParseSpiffe } from '../../model/spiffe.ts';
import { type Certificate, isSignedBy, parseCertificate } from '../../pki/certificate.ts';
import { type Csr, type OwnCsrs, parseCsr } from '../../pki/csr.ts';
import { KEY_USAGE } from '../../pki/oids.ts';

export interface LeafSubject {
  readonly csr: Csr;
  readonly identity: ServiceIdentity | AgentIdentity;
}

/** Checks a request for a leaf: its own signature, unless it is one of `own`, and an identity of this trust domain and datacenter. */
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
      `SPIFFE ID in CSR from a different datacenter: ${JSON.stringify(identity.datacenter)}, we are ${JSON.stringify(datacenter)}`,
    );
  return { csr, identity };
}

/** Checks a secondary's request for its intermediate. */
export function validateIntermediate(pem: string, clusterId: string): Csr {
  const csr = parseCsr(pem);
  const identity = tryParseSpiffe(csr.uri);
  if (identity?.kind !== 'signing')
    throw new IsthmusError('rejected', 'the signing request is not for the certificate of a CA');
  if (identity.trustDomain !== trustDomainOf(clusterId))
    throw new IsthmusError(
      'rejected',
      `the signing request is for trust domain ${identity.trustDomain}, we are ${trustDomainOf(clusterId)}`,
    );
  return csr;
}

/** Checks a root certificate before anything is signed under it. */
export function validateRoot(pem: string, clusterId: string, now: number): Certificate {
  const root = parseCertificate(pem);
  const problem = rootProblem(root, trustDomainOf(clusterId), now);
  if (problem !== undefined) throw new IsthmusError('rejected', `the root certificate cannot be used: ${problem}`);
  return root;
}

/** Checks what the primary answered to a request: nothing is activated that would not verify. */
export function validateSignedIntermediate(certPem: string, rootPem: string, spki: Buffer, now: number): Certificate {
  const certificate = parseCertificate(certPem);
  const root = parseCertificate(rootPem);
  const usable =
    certificate.spki.equals(spki) &&
    certificate.ca &&
    certificate.issuer.equals(root.subject) &&
    certificate.notAfter > now &&
    isSignedBy(certificate, root);
  if (!usable)
    throw new IsthmusError('unavailable', 'the primary returned an intermediate that its root does not verify');
  return certificate;
}

function rootProblem(root: Certificate, trustDomain: string, now: number): string | undefined {
  if (!root.ca || (root.keyUsage !== undefined && (root.keyUsage & KEY_USAGE.keyCertSign) === 0))
    return 'it is not that of a CA';
  if (root.pathLength === 0) return 'it allows no intermediates';
  if (!root.subject.equals(root.issuer) || !isSignedBy(root, root)) return 'it is not self-signed';
  if (root.unknownCritical.length > 0) return 'it has a critical extension that is not understood';
  if (now < root.notBefore) return 'it is not valid yet';
  if (now > root.notAfter) return 'it has expired';
  const other = root.uris.find((uri) => uri !== `spiffe://${trustDomain}`);
  return other === undefined ? undefined : `it is for ${other}, we are spiffe://${trustDomain}`;
}
