import { IsthmusError } from '../../lib/errors.ts';
import { isUuid } from '../../lib/ids.ts';
import type { CaRoot, CaRoots } from '../../model/ca.ts';
import { fingerprintOf, parseCertificate } from '../../pki/certificate.ts';
import type { Tx } from '../../store/store.ts';
import { type CaTables, ONLY, type RootRow, type RootState, rootKey } from './tables.ts';

/**
 * Takes the primary's roots over, keeping what is this datacenter's own: which root it signs under changes only with
 * its intermediate, so that no agent asks for a leaf under a root that can't be had here yet.
 */
export function mergeRoots(tx: Tx, tables: CaTables, roots: CaRoots, leafTtlMs: number, now: number): void {
  const current = tx.get(tables.intermediate, ONLY)?.rootId;
  const theirs = roots.Roots.find((root) => root.ID === roots.ActiveRootID);
  const wanted = new Set(roots.Roots.map((root) => root.ID));
  for (const root of roots.Roots) {
    const before = tx.get(tables.roots, rootKey(root.ID));
    const state = stateOf(root, before, current, theirs);
    const after =
      before === undefined ? newRow(root, state, leafTtlMs, now) : { ...before, ...fromPrimary(root), state };
    if (JSON.stringify(before) !== JSON.stringify(after)) tx.put(tables.roots, after);
  }
  for (const { value } of tables.roots.list()) {
    // What this datacenter still signs under stays trusted here, whatever the primary says.
    if (!wanted.has(value.id) && value.id !== current) tx.delete(tables.roots, rootKey(value.id));
  }
}

function stateOf(
  root: CaRoot,
  before: RootRow | undefined,
  current: string | undefined,
  theirs: CaRoot | undefined,
): RootState {
  if (root.ID === (current ?? theirs?.ID)) return 'active';
  if (before !== undefined && before.state !== 'active') return before.state;
  if (before !== undefined) return 'old';
  return theirs !== undefined && Date.parse(root.NotBefore) < Date.parse(theirs.NotBefore) ? 'old' : 'next';
}

/** The fields that follow the primary. */
function fromPrimary(root: CaRoot): Pick<RootRow, 'name' | 'crossSigned'> {
  return { name: root.Name, crossSigned: root.IntermediateCerts ?? [] };
}

function newRow(root: CaRoot, state: RootState, leafTtlMs: number, now: number): RootRow {
  const certificate = parseCertificate(root.RootCert);
  if (fingerprintOf(certificate) !== root.ID || !isUuid(root.ExternalTrustDomain))
    throw new IsthmusError('unavailable', `the primary sent a root that is not what its ID ${root.ID} says`);
  return {
    id: root.ID,
    serialNumber: root.SerialNumber,
    clusterId: root.ExternalTrustDomain,
    pem: root.RootCert,
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    keyType: root.PrivateKeyType,
    keyBits: root.PrivateKeyBits,
    state,
    intermediate: '',
    signingKeyId: root.SigningKeyID,
    provider: '',
    keyId: '',
    generated: false,
    createdAt: now,
    supersededAt: 0,
    leafTtlMs,
    ...fromPrimary(root),
  };
}
