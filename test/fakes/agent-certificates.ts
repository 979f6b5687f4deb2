import { type AgentRole, createAgentCa, signAgentCert, signAgentIntermediate } from '../../src/pki/agent-certs.ts';
import { createIssuer, type Issuer } from '../../src/pki/issuer.ts';
import { generateLeafKey, privateKeyToPem, spkiOf } from '../../src/pki/keys.ts';
import { createTlsMaterial, type TlsMaterial } from '../../src/pki/tls-material.ts';

const DAY_MS = 86_400_000;

export interface MadePair {
  readonly cert: string;
  readonly key: string;
}

export interface CertOptions {
  readonly datacenter?: string;
  /** Of its names; default "consul". Under another one it names no agent. */
  readonly domain?: string;
  /** Days from now. */
  readonly from?: number;
  readonly until?: number;
}

/** An authority for certificates of agents, as `isthmus tls ca create` makes one. */
export class TestAuthority {
  /** PEM of the root. */
  readonly ca: string;
  readonly issuer: Issuer;
  /** PEM of what stands between the root and the certificates. */
  readonly above: string = '';

  constructor(name = 'Test CA', below?: { readonly root: TestAuthority; readonly datacenter: string }) {
    const now = Date.now();
    const key = generateLeafKey();
    if (below !== undefined) {
      const { root, datacenter } = below;
      const validity = { notBefore: now - 100 * DAY_MS, notAfter: now + 100 * DAY_MS };
      this.ca = root.ca;
      this.above = signAgentIntermediate(root.issuer, {
        spki: spkiOf(key),
        datacenter,
        domain: 'consul',
        ...validity,
      }).pem;
      this.issuer = createIssuer(this.above, key);
      return;
    }
    this.ca = createAgentCa({
      key,
      commonName: name,
      notBefore: now - 100 * DAY_MS,
      notAfter: now + 100 * DAY_MS,
      permittedDomains: [],
    });
    this.issuer = createIssuer(this.ca, key);
  }

  make(role: AgentRole, { datacenter = 'dc1', domain = 'consul', from = -1, until = 30 }: CertOptions = {}): MadePair {
    const key = generateLeafKey();
    const now = Date.now();
    const { pem } = signAgentCert(this.issuer, {
      spki: spkiOf(key),
      role,
      datacenter,
      domain,
      notBefore: now + from * DAY_MS,
      notAfter: now + until * DAY_MS,
    });
    return { cert: pem + this.above, key: privateKeyToPem(key) };
  }

  /** @param trusted the authority that others are checked against; default this one */
  material(role: AgentRole, options: CertOptions & { readonly trusted?: TestAuthority } = {}): TlsMaterial {
    const { cert, key } = this.make(role, options);
    return createTlsMaterial(
      {
        ca: [{ text: (options.trusted ?? this).ca, from: 'ca_file' }],
        cert: { text: cert, from: 'cert_file' },
        key: { text: key, from: 'key_file' },
      },
      { minVersion: 'TLSv1.2', ciphers: '' },
    );
  }
}
