import { IsthmusError } from '../../lib/errors.ts';
import { parseCertificate } from '../../pki/certificate.ts';
import { joinPem } from '../../pki/pem.ts';
import type { KeyStore } from './keystore.ts';
import type { CertificateIssuer } from './providers/provider.ts';
import type { CaProviders } from './providers/providers.ts';
import { activeRoot, type CaTables, ONLY, type RootRow } from './tables.ts';
import { intermediateProblem } from './validate.ts';

/** What leaves are signed with now. */
export interface SigningAuthority {
  readonly root: RootRow;
  readonly issuer: CertificateIssuer;
  /** The certificates that follow a leaf: this datacenter's intermediate, then cross-signed roots. */
  readonly chain: string;
  /** What is signed between these verifies: no certificate of the chain is valid later, or has expired. */
  readonly goodFrom: number;
  readonly goodUntil: number;
  /** Why nothing that it signs would verify; '' when it would. */
  readonly problem: string;
}

/** Certificates after the leaf at most: an intermediate and two cross-signed roots. */
const MAX_CROSS_SIGNED = 2;

/** Keeps the issuer for what the tables say is active; rebuilt only when they change. */
export class Signer {
  readonly #tables: CaTables;
  readonly #keys: KeyStore;
  readonly #providers: CaProviders;
  readonly #place: { readonly datacenter: string; readonly isPrimary: boolean };
  readonly #issuers = new Map<string, CertificateIssuer>();
  #current: SigningAuthority | undefined;
  #failure: IsthmusError | undefined;

  constructor(
    tables: CaTables,
    keys: KeyStore,
    providers: CaProviders,
    place: { readonly datacenter: string; readonly isPrimary: boolean },
  ) {
    this.#tables = tables;
    this.#keys = keys;
    this.#providers = providers;
    this.#place = place;
  }

  /** Throws when the key can't be read. */
  get current(): SigningAuthority | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#current;
  }

  /** Reads the tables again; `now` decides which cross-signed roots are still good. */
  refresh(now: number): void {
    try {
      this.#current = this.#read(now);
      this.#failure = undefined;
    } catch (error) {
      this.#current = undefined;
      this.#failure = IsthmusError.from(error);
    }
  }

  /** The issuer of a root whose key is here. */
  ofRoot(root: RootRow): CertificateIssuer {
    return this.#issuer(root.provider, root.pem, root.keyId);
  }

  #read(now: number): SigningAuthority | undefined {
    const intermediate = this.#tables.intermediate.get(ONLY)?.value;
    const root = this.#place.isPrimary ? activeRoot(this.#tables) : this.#rootOf(intermediate?.rootId);
    if (root === undefined) return undefined;
    const cross = root.crossSigned.filter((pem) => parseCertificate(pem).notAfter > now).slice(0, MAX_CROSS_SIGNED);
    const ends = cross.map((pem) => parseCertificate(pem).notAfter);
    if (this.#place.isPrimary) {
      const issuer = this.ofRoot(root);
      this.#forgetAllBut(root.keyId + root.pem);
      return {
        root,
        issuer,
        chain: joinPem(cross),
        goodFrom: root.notBefore,
        goodUntil: Math.min(root.notAfter, ...ends),
        problem: now < root.notBefore ? 'the root is not valid yet: is the clock right?' : '',
      };
    }
    if (intermediate === undefined) return undefined;
    const issuer = this.#issuer(intermediate.provider, intermediate.pem, intermediate.keyId);
    this.#forgetAllBut(intermediate.keyId + intermediate.pem);
    return {
      root,
      issuer,
      chain: joinPem([intermediate.pem, ...cross]),
      goodFrom: intermediate.notBefore,
      goodUntil: Math.min(intermediate.notAfter, ...ends),
      problem: this.#problem(intermediate.pem, root.pem, now),
    };
  }

  #problem(intermediatePem: string, rootPem: string, now: number): string {
    const [intermediate, root] = [parseCertificate(intermediatePem), parseCertificate(rootPem)];
    const problem = intermediateProblem(intermediate, root, this.#place.datacenter, now);
    return problem === undefined ? '' : `the intermediate of this datacenter does not verify: ${problem}`;
  }

  #rootOf(id: string | undefined): RootRow | undefined {
    return this.#tables.roots.list().find((row) => row.value.id === id)?.value;
  }

  #issuer(provider: string, pem: string, keyId: string): CertificateIssuer {
    const name = keyId + pem;
    let issuer = this.#issuers.get(name);
    if (issuer === undefined) {
      issuer = this.#providers.find(provider).issuer(pem, this.#keys.get(keyId));
      this.#issuers.set(name, issuer);
    }
    return issuer;
  }

  #forgetAllBut(name: string): void {
    for (const known of this.#issuers.keys()) if (known !== name) this.#issuers.delete(known);
  }
}
