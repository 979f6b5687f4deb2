/** API types of the certificate authority. PEM texts end with a newline. */

export interface CaRoot {
  /** SHA-1 fingerprint of the root certificate, hex pairs with colons (as Consul names roots). */
  readonly ID: string;
  readonly Name: string;
  readonly SerialNumber: number;
  /** Subject key ID of the certificate that signs leaves in the answering datacenter, hex pairs with colons. */
  readonly SigningKeyID: string;
  /** The trust domain's UUID, without ".consul". */
  readonly ExternalTrustDomain: string;
  readonly NotBefore: string;
  readonly NotAfter: string;
  readonly RootCert: string;
  /** PEMs that belong into every chain below this root: the datacenter's intermediate, cross-signed roots. */
  readonly IntermediateCerts: readonly string[] | null;
  readonly Active: boolean;
  readonly PrivateKeyType: string;
  readonly PrivateKeyBits: number;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

export interface CaRoots {
  readonly ActiveRootID: string;
  /** `<uuid>.consul` */
  readonly TrustDomain: string;
  readonly Roots: readonly CaRoot[];
}

export interface CaConfiguration {
  readonly Provider: string;
  readonly Config: Readonly<Record<string, unknown>>;
  readonly State: Readonly<Record<string, string>> | null;
  readonly ForceWithoutCrossSigning: boolean;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

/** A signed leaf without its private key: what the CA returns for a CSR. */
export interface IssuedCert {
  /** Hex pairs with colons, lower case, as Consul writes serial numbers. */
  readonly SerialNumber: string;
  /** The leaf, then every intermediate that a verifier may need. */
  readonly CertPEM: string;
  readonly Service: string;
  readonly ServiceURI: string;
  readonly ValidAfter: string;
  readonly ValidBefore: string;
  /** Root that the chain ends in. */
  readonly RootID: string;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

/** What /v1/agent/connect/ca/leaf returns. */
export interface LeafCert {
  readonly SerialNumber: string;
  readonly CertPEM: string;
  readonly PrivateKeyPEM: string;
  readonly Service: string;
  readonly ServiceURI: string;
  readonly ValidAfter: string;
  readonly ValidBefore: string;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

/**
 * - idle: one root
 * - distributing: a new root is published, not yet used; every verifier gets it
 * - moving: the new root is active; intermediates and leaves move to it
 * - draining: all known leaves have moved; the old root stays until its last live leaf is gone
 */
export type RotationPhase = 'idle' | 'distributing' | 'moving' | 'draining';

/** What one datacenter reports of a rotation: its verifiers and its leaves. */
export interface DatacenterRotation {
  readonly Datacenter: string;
  /** Roots that every verifier of the datacenter holds. */
  readonly RootIDs: readonly string[];
  /** Root that the datacenter signs under now. */
  readonly ActiveRootID: string;
  /** Verifiers (sidecars, agents) that the datacenter knows. */
  readonly Holders: number;
  /** Verifiers that have not confirmed the newest set of roots. */
  readonly Pending: readonly string[];
  /** Live leaves by the root that they end in. */
  readonly LeavesByRoot: Readonly<Record<string, number>>;
  /** When the report was made, ISO 8601. */
  readonly ReportedAt: string;
}

/** GET /v1/connect/ca/rotation */
export interface RotationStatus {
  readonly Phase: RotationPhase;
  readonly OldRootID: string;
  readonly NewRootID: string;
  readonly StartedAt: string;
  readonly Datacenters: readonly DatacenterRotation[];
  /** Share of the whole done, 0 to 1. */
  readonly Progress: number;
  readonly LeavesTotal: number;
  readonly LeavesMoved: number;
  /** Why the rotation does not go on, one sentence each; empty when nothing holds it. */
  readonly Holds: readonly string[];
}

/** What an agent tells its server about the roots and leaves that it and its sidecars hold. */
export interface HolderReport {
  /** The agent's node name. */
  readonly Holder: string;
  /** Verifiers behind this agent (sidecars and the agent itself). */
  readonly Verifiers: number;
  /** Roots that every one of them holds. */
  readonly RootIDs: readonly string[];
  /** Names of those that have not confirmed the agent's newest set of roots. */
  readonly Pending: readonly string[];
  readonly LeavesByRoot: Readonly<Record<string, number>>;
}
