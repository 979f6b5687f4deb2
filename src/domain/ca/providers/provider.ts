import type { Clock } from '../../../lib/clock.ts';
import type { CaSettings } from '../../../model/ca-config.ts';
import type { Certificate } from '../../../pki/certificate.ts';
import type { CaRequest, LeafRequest, Signed } from '../../../pki/issuer.ts';
import type { KeySpec } from '../../../pki/keys.ts';
import type { Logger } from '../../../telemetry/types.ts';
import type { RootTemplate } from '../template.ts';

/** A CA certificate and what is needed to sign under it. */
export interface CertificateIssuer {
  readonly certificate: Certificate;
  signLeaf(request: LeafRequest): Signed | Promise<Signed>;
  signCa(request: CaRequest): Signed | Promise<Signed>;
}

/** Capability: certifies another root's key, so that the old root's verifiers accept the new one. */
export interface CrossSigner {
  crossSign(
    root: Certificate,
    validity: { readonly notBefore: number; readonly notAfter: number },
  ): Signed | Promise<Signed>;
}

export function canCrossSign(issuer: CertificateIssuer): issuer is CertificateIssuer & CrossSigner {
  return 'crossSign' in issuer && typeof issuer.crossSign === 'function';
}

/** A CA certificate as a provider made it. */
export interface NewAuthority {
  readonly certPem: string;
  /** What the provider needs to sign again after a restart; kept by the key store, sealed. */
  readonly secret: string;
  readonly key: KeySpec;
  readonly generated: boolean;
}

/** Key and request of an intermediate. */
export interface IntermediateRequest {
  readonly csr: string;
  readonly spki: Buffer;
  readonly secret: string;
}

/** What the provider's configuration asks for, checked. */
export interface ProviderConfig {
  readonly settings: CaSettings;
  /** Key ID (SHA-256 of the public key, hex pairs with colons) that the root must have; '' when any will do. */
  readonly requiredKeyId: string;
  /** PEM of the root that must be used; '' when any will do. */
  readonly requiredRoot: string;
  /** Makes the root that the configuration asks for. */
  createRoot(template: RootTemplate): Promise<NewAuthority>;
}

/** What providers are made with. */
export interface ProviderDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** The way to an authority elsewhere. */
  readonly http: typeof fetch;
}

export type CaProviderFactory = (deps: ProviderDeps) => CaProvider;

/** Where CA keys live and sign. The table in `providers.ts` has them all. */
export interface CaProvider {
  /** As the configuration names it. */
  readonly name: string;
  /** For who holds a session or renews a token of its own; before anything is signed. */
  start?(signal: AbortSignal): Promise<void>;
  stop?(): Promise<void>;
  /** Why it can't sign now, for the status; '' when it can. Absent: it always can. */
  problem?(): string;
  /** Throws `rejected` with what is wrong. */
  configure(config: Readonly<Record<string, unknown>>): ProviderConfig;
  /** A new key and the request that the primary shall sign. */
  requestIntermediate(settings: CaSettings, uri: string): Promise<IntermediateRequest>;
  /** Ready to sign; throws when the secret does not belong to the certificate. */
  issuer(certPem: string, secret: string): CertificateIssuer;
}
