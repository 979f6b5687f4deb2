import { IsthmusError } from '../lib/errors.ts';
import { tryParseSpiffe } from '../model/spiffe.ts';
import { type Certificate, isSignedBy } from './certificate.ts';
import { KEY_USAGE } from './oids.ts';

export interface VerifiedChain {
  /** From the leaf to the root, the root included. */
  readonly path: readonly Certificate[];
  readonly root: Certificate;
}

/** Longest path that is tried: leaf, intermediate, cross-signed root, root, and one to spare. */
const MAX_PATH = 5;

/**
 * Finds a path from `chain[0]` over the rest of `chain` to one of `roots`, all valid at `at` (milliseconds since
 * 1970), as RFC 5280 section 6 asks for what the mesh uses. Throws `invalid_argument` with the reason of the first
 * dead end.
 */
export function verifyChain(chain: readonly Certificate[], roots: readonly Certificate[], at: number): VerifiedChain {
  const [leaf, ...others] = chain;
  if (leaf === undefined) throw refused('the chain is empty');
  const reasons: string[] = [];
  const own = checkOne(leaf, at);
  if (own !== undefined) throw refused(own);

  const extend = (path: readonly Certificate[]): VerifiedChain | undefined => {
    const last = path[path.length - 1] as Certificate;
    for (const candidates of [roots, others]) {
      for (const issuer of candidates) {
        if (!names(issuer, last) || path.includes(issuer)) continue;
        const reason = checkIssuer(issuer, last, path.length - 1, at) ?? checkNames(issuer, path);
        if (reason !== undefined) {
          reasons.push(reason);
          continue;
        }
        if (candidates === roots) return { path: [...path, issuer], root: issuer };
        if (path.length + 1 >= MAX_PATH) continue;
        const found = extend([...path, issuer]);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  };

  const found = extend([leaf]);
  if (found === undefined) throw refused(reasons[0] ?? 'no trusted root is its issuer');
  return found;
}

function checkOne(certificate: Certificate, at: number): string | undefined {
  if (at < certificate.notBefore) return 'it is not valid yet';
  if (at > certificate.notAfter + 999) return 'it has expired'; // the last second is valid as a whole
  if (certificate.unknownCritical.length > 0 || certificate.nameConstraints?.more === true)
    return 'it has a critical extension that is not understood';
  return undefined;
}

/** @param below CA certificates between `issuer` and the leaf. */
function checkIssuer(issuer: Certificate, subject: Certificate, below: number, at: number): string | undefined {
  const own = checkOne(issuer, at);
  if (own !== undefined) return `its issuer: ${own}`;
  if (!issuer.ca) return 'its issuer is no CA';
  if (issuer.keyUsage !== undefined && (issuer.keyUsage & KEY_USAGE.keyCertSign) === 0)
    return 'its issuer may not sign certificates';
  if (issuer.pathLength !== undefined && issuer.pathLength < below) return 'the chain is longer than its issuer allows';
  if (!isSignedBy(subject, issuer)) return 'its signature is not that of its issuer';
  return undefined;
}

/**
 * The names of all certificates below an issuer are those that it may give: by its name constraints (RFC 5280,
 * 4.2.1.10), and, where it is the intermediate of one datacenter, identities of that datacenter alone.
 */
function checkNames(issuer: Certificate, below: readonly Certificate[]): string | undefined {
  return foreignDatacenter(issuer, below) ?? forbiddenName(issuer, below);
}

/** Name constraints can't say it: they match the host of a URI, and the datacenter stands in its path. */
function foreignDatacenter(issuer: Certificate, below: readonly Certificate[]): string | undefined {
  const own = signsFor(issuer);
  if (own === undefined) return undefined;
  for (const { uris } of below)
    for (const uri of uris) {
      const datacenter = tryParseSpiffe(uri)?.datacenter;
      if (datacenter !== own)
        return datacenter === undefined
          ? `its identity is of no datacenter, and its issuer may sign for "${own}" alone`
          : `its identity is of datacenter "${datacenter}", and its issuer may sign for "${own}" alone`;
    }
  return undefined;
}

/** The only datacenter that a CA certificate may sign for; undefined: any, as a root may. */
export function signsFor(certificate: Certificate): string | undefined {
  for (const uri of certificate.uris) {
    const identity = tryParseSpiffe(uri);
    if (identity?.kind === 'signing' && identity.datacenter !== undefined) return identity.datacenter;
  }
  return undefined;
}

function forbiddenName({ nameConstraints }: Certificate, below: readonly Certificate[]): string | undefined {
  if (nameConstraints === undefined) return undefined;
  const { dns, uriHosts } = nameConstraints;
  const permitted = below.every(
    (certificate) =>
      (dns === undefined || certificate.dnsNames.every((name) => dns.some((one) => isWithin(name, one)))) &&
      (uriHosts === undefined || certificate.uris.every((uri) => permitsUri(uriHosts, uri))),
  );
  return permitted ? undefined : 'it has a name that its issuer may not give';
}

function isWithin(name: string, domain: string): boolean {
  const folded = name.toLowerCase();
  return folded === domain || folded.endsWith(`.${domain}`);
}

/** A host of a constraint is that host alone; one that begins with a dot is everything below it. */
export function permitsUri(hosts: readonly string[], uri: string): boolean {
  const host = /^[a-z][a-z0-9+.-]*:\/\/([^/?#@:]+)(?:[/?#]|$)/i.exec(uri)?.[1]?.toLowerCase() ?? '';
  return hosts.some((one) => (one.startsWith('.') ? host.endsWith(one) : host === one));
}

function names(issuer: Certificate, subject: Certificate): boolean {
  if (!issuer.subject.equals(subject.issuer)) return false;
  const { authorityKeyId } = subject;
  return (
    authorityKeyId === undefined || issuer.subjectKeyId === undefined || issuer.subjectKeyId.equals(authorityKeyId)
  );
}

function refused(reason: string): IsthmusError {
  return new IsthmusError('invalid_argument', `the certificate is not trusted: ${reason}`);
}
