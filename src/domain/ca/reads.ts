import { IsthmusError } from '../../lib/errors.ts';
import type { CaConfiguration, CaRoot, CaRoots, RotationStatus } from '../../model/ca.ts';
import type { CaStatus } from '../../model/requests.ts';
import { trustDomainOf } from '../../model/spiffe.ts';
import { parseCertificate } from '../../pki/certificate.ts';
import type { Read } from '../../store/read.ts';
import type { Stored } from '../../store/table.ts';
import { isoSeconds } from './inventory.ts';
import { type CaTables, ONLY, type RootRow } from './tables.ts';

type NoArgs = Record<never, never>;

export interface CaReads {
  readonly 'ca.roots': Read<NoArgs, CaRoots>;
  readonly 'ca.config': Read<NoArgs, CaConfiguration>;
  readonly 'ca.rotation': Read<NoArgs, RotationStatus>;
  readonly 'ca.status': Read<NoArgs, CaStatus>;
}

export interface ReadDeps {
  readonly tables: CaTables;
  readonly now: () => number;
  readonly rotation: () => RotationStatus;
  readonly status: () => CaStatus;
  /** Why there is no configuration yet. */
  readonly blocker: () => string;
}

const ROOTS = ['ca-roots'];
const CONFIG = ['ca-config'];
const ROTATION = ['ca-rotation', 'ca-roots', 'ca-holders', 'ca-datacenters', 'ca-issued'];
/** Seconds left change without any write: such an answer is made anew each time. */
const LIVE: readonly string[] = [];

export function createReads(deps: ReadDeps): CaReads {
  return {
    'ca.roots': { topics: () => ROOTS, produce: () => rootsAnswer(deps.tables, deps.now()) },
    'ca.config': { topics: () => CONFIG, produce: () => configAnswer(deps) },
    'ca.rotation': { topics: () => ROTATION, produce: deps.rotation },
    'ca.status': { topics: () => LIVE, produce: deps.status },
  };
}

/** Valid roots only, each with the valid certificates that belong below it, none twice. */
function rootsAnswer(tables: CaTables, now: number): CaRoots {
  const roots = tables.roots.list().filter((row) => row.value.notAfter >= now);
  const clusterId = roots[0]?.value.clusterId;
  return {
    ActiveRootID: roots.find((row) => row.value.state === 'active')?.value.id ?? '',
    TrustDomain: clusterId === undefined ? '' : trustDomainOf(clusterId),
    Roots: roots.map((row) => toApi(row, now)),
  };
}

function toApi(row: Stored<RootRow>, now: number): CaRoot {
  const root = row.value;
  const below = [...root.crossSigned, root.intermediate].filter(
    (pem) => pem !== '' && parseCertificate(pem).notAfter >= now,
  );
  return {
    ID: root.id,
    Name: root.name,
    SerialNumber: root.serialNumber,
    SigningKeyID: root.signingKeyId,
    ExternalTrustDomain: root.clusterId,
    NotBefore: isoSeconds(root.notBefore),
    NotAfter: isoSeconds(root.notAfter),
    RootCert: root.pem,
    IntermediateCerts: below.length === 0 ? null : [...new Set(below)],
    Active: root.state === 'active',
    PrivateKeyType: root.keyType,
    PrivateKeyBits: root.keyBits,
    CreateIndex: row.createRevision,
    ModifyIndex: row.modRevision,
  };
}

function configAnswer({ tables, blocker }: ReadDeps): CaConfiguration {
  const row = tables.config.get(ONLY);
  if (row === undefined) throw new IsthmusError('unavailable', `the CA is not initialized yet: ${blocker()}`);
  return {
    Provider: row.value.provider,
    Config: row.value.config,
    State: null,
    ForceWithoutCrossSigning: row.value.forceWithoutCrossSigning,
    CreateIndex: row.createRevision,
    ModifyIndex: row.modRevision,
  };
}
