import { IsthmusError } from '../lib/errors.ts';
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
        const reason = checkIssuer(issuer, last, path.length - 1, at);
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
  if (certificate.unknownCritical.length > 0) return 'it has a critical extension that is not understood';
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
