import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { describe, expect, it } from 'vitest';
import {
  type Certificate,
  certificateToPem,
  fingerprintOf,
  parseCertificate,
  parseChain,
  serialOf,
} from './certificate.ts';
import { verifyChain } from './chain.ts';
import { createCsr, parseCsr } from './csr.ts';
import { encodeUriName } from './extensions.ts';
import { createIssuer, createRoot, type Issuer, selfSign } from './issuer.ts';
import {
  generateKey,
  generateLeafKey,
  type KeySpec,
  keyIdOf,
  keySpecOf,
  privateKeyFromPem,
  privateKeyToPem,
  spkiOf,
} from './keys.ts';
import { caCommonName, leafCommonName } from './names.ts';
import { joinPem, splitPem } from './pem.ts';

const NOW = Math.floor(Date.now() / 1_000) * 1_000;
const DAY = 86_400_000;
const DOMAIN = 'f3f948f5-bd25-8329-8efb-d149dc61a619.consul';
const CA_URI = `spiffe://${DOMAIN}`;
const LEAF_URI = `${CA_URI}/ns/default/dc/dc2/svc/web`;

interface Chain {
  readonly rootPem: string;
  readonly root: Issuer;
  readonly intermediatePem: string;
  readonly intermediate: Issuer;
}

async function makeRoot(spec: KeySpec, id: string): Promise<{ rootPem: string; root: Issuer }> {
  const key = await generateKey(spec);
  const rootPem = createRoot({
    key,
    commonName: caCommonName('pri', id, DOMAIN),
    uri: CA_URI,
    notBefore: NOW - 60_000,
    notAfter: NOW + 3_650 * DAY,
  });
  return { rootPem, root: createIssuer(rootPem, key) };
}

async function makeChain(spec: KeySpec, below: KeySpec = spec): Promise<Chain> {
  const { rootPem, root } = await makeRoot(spec, 'a');
  const key = await generateKey(below);
  const csr = parseCsr(createCsr(key, { uri: CA_URI }));
  const commonName = caCommonName('sec', 'b', DOMAIN);
  const signed = root.signCa({ ...csr, commonName, pathLength: 0, notBefore: NOW - 60_000, notAfter: NOW + 365 * DAY });
  return { rootPem, root, intermediatePem: signed.pem, intermediate: createIssuer(signed.pem, key) };
}

function leafOf(issuer: Issuer, key = generateLeafKey()) {
  const csr = parseCsr(createCsr(key, { uri: LEAF_URI }));
  const commonName = leafCommonName('web', DOMAIN);
  return issuer.signLeaf({ ...csr, commonName, notBefore: NOW - 60_000, notAfter: NOW + 3 * DAY });
}

function openssl(root: string, untrusted: string, leaf: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-pki-'));
  try {
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    for (const purpose of ['sslserver', 'sslclient']) {
      const args = ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', file('root', root)];
      if (untrusted !== '') args.push('-untrusted', file('untrusted', untrusted));
      const answer = execFileSync('openssl', [...args, file('leaf', leaf)], { encoding: 'utf8' });
      expect(answer).toMatch(/leaf: OK/);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const SPECS: readonly KeySpec[] = [
  { type: 'ec', bits: 256 },
  { type: 'ec', bits: 384 },
  { type: 'ec', bits: 521 },
  { type: 'rsa', bits: 2048 },
];

describe('certificates', () => {
  it.each(SPECS)('of $type $bits are accepted by OpenSSL, Node and our own verifier', async (spec) => {
    const chain = await makeChain(spec);
    const key = generateLeafKey();
    const leaf = leafOf(chain.intermediate, key);
    openssl(chain.rootPem, chain.intermediatePem, leaf.pem);
    openssl(chain.rootPem, '', leafOf(chain.root).pem);

    const [rootCert, intermediateCert, leafCert] = [chain.rootPem, chain.intermediatePem, leaf.pem].map(
      (pem) => new X509Certificate(pem),
    ) as [X509Certificate, X509Certificate, X509Certificate];
    expect(leafCert.checkIssued(intermediateCert) && leafCert.verify(intermediateCert.publicKey)).toBe(true);
    expect(intermediateCert.checkIssued(rootCert) && intermediateCert.verify(rootCert.publicKey)).toBe(true);
    expect(leafCert.checkPrivateKey(key)).toBe(true);
    expect(leafCert.subjectAltName).toBe(`URI:${LEAF_URI}`);

    const path = verifyChain(parseChain(leaf.pem + chain.intermediatePem), [parseCertificate(chain.rootPem)], NOW);
    expect(path.path.map((one) => one.commonName)).toEqual([
      'web.svc.default.f3f948f5.consul',
      'sec-b.consul.ca.f3f948f5.consul',
      'pri-a.consul.ca.f3f948f5.consul',
    ]);
  });

  it('read back as an independent library reads them', async () => {
    const chain = await makeChain({ type: 'ec', bits: 384 }, { type: 'ec', bits: 256 });
    for (const pem of [chain.rootPem, chain.intermediatePem, leafOf(chain.intermediate).pem]) {
      const ours = parseCertificate(pem);
      const theirs = new x509.X509Certificate(pem);
      expect(Buffer.from(theirs.serialNumber, 'hex')).toEqual(ours.serial);
      expect([theirs.notBefore.getTime(), theirs.notAfter.getTime()]).toEqual([ours.notBefore, ours.notAfter]);
      expect(theirs.subject).toBe(`CN=${ours.commonName}`);
      expect(Buffer.from(theirs.publicKey.rawData)).toEqual(ours.spki);
      const keyId = theirs.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
      expect(keyId).toBe(ours.subjectKeyId?.toString('hex'));
      const authority = theirs.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId;
      expect(authority).toBe(ours.authorityKeyId?.toString('hex'));
      const constraints = theirs.getExtension(x509.BasicConstraintsExtension);
      expect([constraints?.ca, constraints?.pathLength]).toEqual([ours.ca, ours.pathLength]);
      expect(theirs.getExtension(x509.KeyUsagesExtension)?.usages).toBe(ours.keyUsage);
      const names = theirs.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON();
      expect(names).toEqual(ours.uris.map((value) => ({ type: 'url', value })));
      expect(fingerprintOf(ours).replaceAll(':', '').toUpperCase()).toBe(
        new X509Certificate(pem).fingerprint.replaceAll(':', ''),
      );
    }
  });

  it('have key IDs of 32 octets, the issuer’s own key ID, and positive 16-byte serials', async () => {
    const chain = await makeChain({ type: 'ec', bits: 256 });
    const leaf = parseCertificate(leafOf(chain.intermediate).pem);
    expect(leaf.subjectKeyId).toEqual(keyIdOf(leaf.spki));
    expect(leaf.authorityKeyId).toEqual(chain.intermediate.certificate.subjectKeyId);
    expect(leaf.serial).toHaveLength(16);
    expect(serialOf(leaf)).toMatch(/^[4-7][0-9a-f](:[0-9a-f]{2}){15}$/);
    expect(Number.isSafeInteger(Number.parseInt(chain.root.certificate.serial.toString('hex'), 16))).toBe(true);
  });

  it('never outlive their issuer', async () => {
    const chain = await makeChain({ type: 'ec', bits: 256 });
    const csr = parseCsr(createCsr(generateLeafKey(), { uri: LEAF_URI }));
    const request = { ...csr, commonName: 'x', notBefore: NOW, notAfter: NOW + 9_000 * DAY };
    expect(chain.intermediate.signLeaf(request).notAfter).toBe(chain.intermediate.certificate.notAfter);
    const late = { ...request, notBefore: NOW + 400 * DAY };
    expect(() => chain.intermediate.signLeaf(late)).toThrow('the certificate of the CA has expired');
  });

  it('of a new root are accepted by who trusts only the old one, over its cross-signature', async () => {
    const old = await makeRoot({ type: 'ec', bits: 256 }, 'old');
    const { rootPem, root, intermediate, intermediatePem } = await makeChain({ type: 'rsa', bits: 2048 });
    const cross = old.root.crossSign(root.certificate, { notBefore: NOW - 60_000, notAfter: NOW + 30 * DAY });
    const leaf = leafOf(intermediate);
    openssl(old.rootPem, intermediatePem + cross.pem, leaf.pem);
    openssl(rootPem, intermediatePem + cross.pem, leaf.pem);
    const chain = parseChain(leaf.pem + intermediatePem + cross.pem);
    expect(verifyChain(chain, [parseCertificate(old.rootPem)], NOW).path).toHaveLength(4);
    expect(verifyChain(chain, [parseCertificate(rootPem)], NOW).path).toHaveLength(3);
  });

  it('from 2050 on carry GeneralizedTime', async () => {
    const key = await generateKey({ type: 'ec', bits: 256 });
    const notAfter = Date.UTC(2051, 1, 3, 4, 5, 6);
    const pem = createRoot({ key, commonName: 'r', uri: CA_URI, notBefore: NOW, notAfter });
    expect(parseCertificate(pem).notAfter).toBe(notAfter);
    expect(Date.parse(new X509Certificate(pem).validTo)).toBe(notAfter);
  });
});

describe('verifyChain', () => {
  it.each<
    [
      string,
      (parts: { leaf: string; mid: string; root: string; other: string }) => {
        chain: string;
        roots: string;
        at?: number;
      },
    ]
  >([
    ['the chain is empty', ({ root }) => ({ chain: '', roots: root })],
    ['it has expired', ({ leaf, mid, root }) => ({ chain: leaf + mid, roots: root, at: NOW + 4 * DAY })],
    ['it is not valid yet', ({ leaf, mid, root }) => ({ chain: leaf + mid, roots: root, at: NOW - DAY })],
    ['no trusted root is its issuer', ({ leaf, root }) => ({ chain: leaf, roots: root })],
    ['no trusted root is its issuer', ({ leaf, mid, other }) => ({ chain: leaf + mid, roots: other })],
    ['no trusted root is its issuer', ({ leaf, mid }) => ({ chain: leaf + mid, roots: '' })],
  ])('refuses: %s', async (reason, build) => {
    const chain = await makeChain({ type: 'ec', bits: 256 });
    const other = await makeRoot({ type: 'ec', bits: 256 }, 'other');
    const parts = {
      leaf: leafOf(chain.intermediate).pem,
      mid: chain.intermediatePem,
      root: chain.rootPem,
      other: other.rootPem,
    };
    const { chain: presented, roots, at } = build(parts);
    expect(() => verifyChain(parseChain(presented), parseChain(roots), at ?? NOW)).toThrow(
      `the certificate is not trusted: ${reason}`,
    );
  });

  it('refuses an impostor with the name and key ID of the issuer', async () => {
    const chain = await makeChain({ type: 'ec', bits: 256 });
    const impostor = await makeChain({ type: 'ec', bits: 256 });
    const leaf = leafOf(impostor.intermediate);
    const genuine = parseCertificate(chain.intermediatePem);
    const forged = { ...parseCertificate(leaf.pem), authorityKeyId: genuine.subjectKeyId };
    expect(() => verifyChain([forged, genuine], [parseCertificate(chain.rootPem)], NOW)).toThrow(
      'its signature is not that of its issuer',
    );
  });

  it('refuses an identity of another datacenter than the one that its intermediate may sign for', async () => {
    const { root, rootPem } = await makeRoot({ type: 'ec', bits: 256 }, 'a');
    const roots = parseChain(rootPem);
    const validity = { notBefore: NOW - 60_000, notAfter: NOW + 365 * DAY };
    const key = generateLeafKey();
    const common = { spki: spkiOf(key), commonName: 'sec', pathLength: 0, permittedUriHost: DOMAIN, ...validity };
    const { pem } = root.signCa({ ...common, uri: `${CA_URI}/ca/dc/dc2` });
    const intermediate = createIssuer(pem, key);
    const chainOf = (uri: string, issuerPem = pem) =>
      parseChain(
        intermediate.signLeaf({ spki: spkiOf(generateLeafKey()), uri, commonName: 'x', ...validity }).pem + issuerPem,
      );
    expect(verifyChain(chainOf(LEAF_URI), roots, NOW).path).toHaveLength(3);
    expect(verifyChain(chainOf(`${CA_URI}/agent/client/dc/dc2/id/n`), roots, NOW).path).toHaveLength(3);
    for (const uri of [LEAF_URI.replace('dc2', 'dc1'), `${CA_URI}/agent/client/dc/dc1/id/n`])
      expect(() => verifyChain(chainOf(uri), roots, NOW)).toThrow(
        'its identity is of datacenter "dc1", and its issuer may sign for "dc2" alone',
      );
    expect(() => verifyChain(chainOf(CA_URI), roots, NOW)).toThrow(/of no datacenter/);
    // Its own word about itself does not help: a certificate of the same key and name that the root has not signed.
    const forged = selfSign({ key, commonName: 'sec', ...validity }, [encodeUriName(`${CA_URI}/ca/dc/dc1`)]);
    for (const others of [forged + pem, pem + forged])
      expect(() => verifyChain(chainOf(LEAF_URI.replace('dc2', 'dc1'), others), roots, NOW)).toThrow(/not trusted/);
    // The name constraint, which every TLS library enforces, keeps it within the trust domain.
    const elsewhere = 'spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc2/svc/web';
    expect(() => verifyChain(chainOf(elsewhere), roots, NOW)).toThrow('it has a name that its issuer may not give');
    const [leaf] = chainOf(elsewhere);
    expect(() => openssl(rootPem, pem, certificateToPem(leaf as Certificate))).toThrow(/permitted subtree violation/);
    openssl(rootPem, pem, certificateToPem(chainOf(LEAF_URI)[0] as Certificate));
  });

  it('refuses a CA below a certificate that allows none, and an issuer that is no CA', async () => {
    const chain = await makeChain({ type: 'ec', bits: 256 });
    const key = await generateKey({ type: 'ec', bits: 256 });
    const below = chain.intermediate.signCa({
      ...parseCsr(createCsr(key, { uri: CA_URI })),
      commonName: 'deep',
      notBefore: NOW,
      notAfter: NOW + DAY,
    });
    const leaf = leafOf(createIssuer(below.pem, key));
    expect(() =>
      verifyChain(parseChain(leaf.pem + below.pem + chain.intermediatePem), parseChain(chain.rootPem), NOW),
    ).toThrow('longer than its issuer allows');
    const leafKey = generateLeafKey();
    const asIssuer = leafOf(chain.root, leafKey);
    expect(() => createIssuer(asIssuer.pem, leafKey)).toThrow('not that of a CA');
  });
});

describe('keys and PEM', () => {
  it.each(SPECS)('$type $bits go through PEM', async (spec) => {
    const key = await generateKey(spec);
    const back = privateKeyFromPem(privateKeyToPem(key));
    expect(keySpecOf(back)).toEqual(spec);
    expect(spkiOf(back)).toEqual(spkiOf(key));
  });

  it.each(SPECS)('$type $bits are written as OpenSSL writes them', async (spec) => {
    // Numbers with leading zeros come about once in 128 keys.
    for (let round = spec.type === 'ec' ? 300 : 1; round > 0; round -= 1) {
      const key = await generateKey(spec);
      expect(spkiOf(key)).toEqual(createPublicKey(key).export({ format: 'der', type: 'spki' }));
      const type = spec.type === 'ec' ? 'sec1' : 'pkcs1';
      expect(privateKeyToPem(key)).toBe(key.export({ format: 'pem', type }));
    }
  });

  it('never repeat a bad key in the error', () => {
    expect(() => privateKeyFromPem('-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n')).toThrow(
      /^the private key is not readable PEM/,
    );
  });

  it('chains split and join, each certificate once', async () => {
    const chain = await makeChain({ type: 'ec', bits: 256 });
    const text = `some words\n${chain.rootPem}\n${chain.intermediatePem}`;
    expect(splitPem(text)).toEqual([chain.rootPem, chain.intermediatePem]);
    expect(joinPem([chain.rootPem, chain.intermediatePem, chain.rootPem])).toBe(chain.rootPem + chain.intermediatePem);
    expect(certificateToPem(parseCertificate(chain.rootPem))).toBe(chain.rootPem);
  });

  it('a common name keeps to host name characters and 64 of them', () => {
    expect(leafCommonName('Web_1/ü', DOMAIN)).toBe('web1.svc.default.f3f948f5.consul');
    expect(leafCommonName('a'.repeat(200), DOMAIN)).toHaveLength(64);
  });
});
