import type { DatacenterRotation, RotationPhase } from '../../model/ca.ts';
import type { Store } from '../../store/store.ts';
import { joinKey, type Table } from '../../store/table.ts';

/** The configuration as written, without private keys. One row. */
export interface ConfigRow {
  readonly provider: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly forceWithoutCrossSigning: boolean;
}

/**
 * - next: published, so that verifiers get it; signs nothing yet
 * - active: what the datacenter signs under
 * - old: signs nothing any more; kept while a live leaf may end in it
 */
export type RootState = 'next' | 'active' | 'old';

export interface RootRow {
  /** SHA-1 fingerprint, hex pairs with colons. */
  readonly id: string;
  readonly name: string;
  readonly serialNumber: number;
  readonly clusterId: string;
  readonly pem: string;
  /** Milliseconds since 1970, like all times here. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly keyType: string;
  readonly keyBits: number;
  readonly state: RootState;
  /** Certificates for this root's key below earlier roots, newest first. */
  readonly crossSigned: readonly string[];
  /** This datacenter's intermediate below this root; '' in the primary. */
  readonly intermediate: string;
  /** Key ID of what signs leaves under this root here. */
  readonly signingKeyId: string;
  /** Provider that made it; '' where it is not ours. */
  readonly provider: string;
  /** The root's key in `ca-keys`: SHA-256 of the public key, hex pairs with colons; '' where it is not ours. */
  readonly keyId: string;
  /** False when the operator gave the key: it is not replaced by schedule. */
  readonly generated: boolean;
  readonly createdAt: number;
  /** When it stopped being what this datacenter signs under; 0 before that. */
  readonly supersededAt: number;
  /** Longest life of any leaf issued here under it, milliseconds. */
  readonly leafTtlMs: number;
}

/** The rotation under way, or the last one. One row. */
export interface RotationRow {
  readonly phase: RotationPhase;
  readonly oldRootId: string;
  readonly newRootId: string;
  readonly startedAt: number;
  /** From then on the new root becomes active whoever has not confirmed it. */
  readonly distributeUntil: number;
}

/** Private keys. Nothing but the key store reads this table, and nothing replicates it. */
export interface KeyRow {
  readonly id: string;
  /** PEM, or sealed with the operator's encryption key. */
  readonly key: string;
}

/** What a secondary signs with now. One row. */
export interface IntermediateRow {
  readonly rootId: string;
  readonly provider: string;
  readonly pem: string;
  readonly keyId: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** What an agent last reported. */
export interface HolderRow {
  readonly holder: string;
  readonly verifiers: number;
  readonly rootIds: readonly string[];
  readonly pending: readonly string[];
  readonly leavesByRoot: Readonly<Record<string, number>>;
  /** Refreshed now and then, not with every report. */
  readonly seenAt: number;
}

/** What a secondary last reported to the primary. */
export interface DatacenterRow {
  readonly datacenter: string;
  readonly report: DatacenterRotation;
  /** When it was first seen to sign under `report.ActiveRootID`, by the primary's clock. */
  readonly activeSince: number;
}

/** An intermediate that the primary signed: its datacenter may have leaves under `rootId` until it expires. */
export interface IssuedRow {
  readonly datacenter: string;
  readonly rootId: string;
  readonly serial: string;
  readonly notAfter: number;
}

export interface CaTables {
  readonly config: Table<ConfigRow>;
  readonly roots: Table<RootRow>;
  readonly rotation: Table<RotationRow>;
  readonly keys: Table<KeyRow>;
  readonly intermediate: Table<IntermediateRow>;
  readonly holders: Table<HolderRow>;
  readonly datacenters: Table<DatacenterRow>;
  readonly issued: Table<IssuedRow>;
}

/** Key of the tables that hold one row. */
export const ONLY = 'only';

/** The table of private keys: whoever copies or shows tables leaves this one out. */
export const KEY_TABLE = 'ca-keys';

export function declareTables(store: Pick<Store, 'table'>): CaTables {
  const one = (): string => ONLY;
  return {
    config: store.table<ConfigRow>({ name: 'ca-config', key: one }),
    roots: store.table<RootRow>({ name: 'ca-roots', key: (row) => joinKey(row.id) }),
    rotation: store.table<RotationRow>({ name: 'ca-rotation', key: one }),
    keys: store.table<KeyRow>({ name: KEY_TABLE, key: (row) => row.id }),
    intermediate: store.table<IntermediateRow>({ name: 'ca-intermediate', key: one }),
    holders: store.table<HolderRow>({ name: 'ca-holders', key: (row) => joinKey(row.holder) }),
    datacenters: store.table<DatacenterRow>({ name: 'ca-datacenters', key: (row) => joinKey(row.datacenter) }),
    issued: store.table<IssuedRow>({ name: 'ca-issued', key: (row) => joinKey(row.datacenter, row.serial) }),
  };
}

export function rootKey(id: string): string {
  return joinKey(id);
}

export function allRoots(tables: CaTables): RootRow[] {
  return tables.roots.list().map((row) => row.value);
}

export function activeRoot(tables: CaTables): RootRow | undefined {
  return tables.roots.list().find((row) => row.value.state === 'active')?.value;
}

export function rotationOf(tables: CaTables): RotationRow {
  return tables.rotation.get(ONLY)?.value ?? NO_ROTATION;
}

const NO_ROTATION: RotationRow = { phase: 'idle', oldRootId: '', newRootId: '', startedAt: 0, distributeUntil: 0 };
