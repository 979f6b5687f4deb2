import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FakeCaLink, holderReport, startCa, verifyAgainst } from '../../../test/fakes/ca-datacenter.ts';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import type { CaRoots, IssuedCert } from '../../model/ca.ts';
import { parseCertificate, parseChain } from '../../pki/certificate.ts';
import { createCsr, parseCsr } from '../../pki/csr.ts';
import { createIssuer } from '../../pki/issuer.ts';
import { generateLeafKey, privateKeyToPem } from '../../pki/keys.ts';
import { splitPem } from '../../pki/pem.ts';

const SECOND = 1_000;
const HOUR = 3_600_000;
const ID = /^[0-9a-f]{2}(:[0-9a-f]{2}){19}$/;
const KEY_ID = /^[0-9a-f]{2}(:[0-9a-f]{2}){31}$/;

describe('the primary', () => {
  it('makes one root and answers as Consul does', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    const roots = dc1.roots();
    const [root] = roots.Roots;
    expect(roots.Roots).toHaveLength(1);
    expect(root?.ID).toMatch(ID);
    expect(root?.SigningKeyID).toMatch(KEY_ID);
    expect(roots.ActiveRootID).toBe(root?.ID);
    expect(roots.TrustDomain).toBe(`${root?.ExternalTrustDomain}.consul`);
    expect(Object.keys(root ?? {})).toEqual([
      'ID',
      'Name',
      'SerialNumber',
      'SigningKeyID',
      'ExternalTrustDomain',
      'NotBefore',
      'NotAfter',
      'RootCert',
      'IntermediateCerts',
      'Active',
      'PrivateKeyType',
      'PrivateKeyBits',
      'CreateIndex',
      'ModifyIndex',
    ]);
    expect(root).toMatchObject({
      Name: 'Consul CA Root Cert',
      IntermediateCerts: null,
      Active: true,
      PrivateKeyType: 'ec',
      PrivateKeyBits: 256,
    });
    expect(dc1.ca.reads['ca.config'].produce({})).toMatchObject({
      Provider: 'consul',
      Config: { IntermediateCertTTL: '8760h', LeafCertTTL: '72h', RotationPeriod: '2160h' },
      State: null,
      ForceWithoutCrossSigning: false,
    });
    expect(dc1.ca.status()).toMatchObject({
      State: 'ready',
      Provider: 'consul',
      Datacenter: 'dc1',
      LastRenewalError: '',
    });
    await dc1.stop();
  });

  it('keeps the root and the trust domain over a restart', async () => {
    const clock = new FakeClock();
    const first = await startCa('dc1', clock);
    const before = first.roots();
    await first.stop();
    const second = await startCa('dc1', clock, { engine: first.engine });
    expect(second.roots()).toEqual(before);
    expect(verifyAgainst(await second.leaf(), before, clock.now())).toMatch(/^pri-/);
    await second.stop();
  });

  it('takes the trust domain that the operator chose', async () => {
    const clusterId = '11111111-2222-3333-4444-555555555555';
    const dc1 = await startCa('dc1', new FakeClock(), { initialConfig: { clusterId } });
    expect(dc1.ca.trustDomain()).toBe(`${clusterId}.consul`);
    await dc1.stop();
  });

  it('signs leaves that verify, with the life that is configured', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    const leaf = await dc1.leaf('web');
    expect(leaf).toMatchObject({
      Service: 'web',
      ServiceURI: `spiffe://${dc1.ca.trustDomain()}/ns/default/dc/dc1/svc/web`,
      RootID: dc1.roots().ActiveRootID,
      ValidAfter: '2025-12-31T23:59:00Z',
      ValidBefore: '2026-01-04T00:00:00Z',
    });
    expect(leaf.SerialNumber).toMatch(/^[0-9a-f]{2}(:[0-9a-f]{2}){15}$/);
    expect(parseChain(leaf.CertPEM)).toHaveLength(1);
    expect(parseCertificate(leaf.CertPEM).uris).toEqual([leaf.ServiceURI]);
    verifyAgainst(leaf, dc1.roots(), clock.now());

    await dc1.ca.setConfig({ config: { Provider: 'consul', Config: { LeafCertTTL: '24h' } } });
    expect((await dc1.leaf()).ValidBefore).toBe('2026-01-02T00:00:00Z');
    expect(dc1.roots().Roots).toHaveLength(1);
    await dc1.stop();
  });

  it('writes names into certificates in their one form', async () => {
    const dc1 = await startCa('dc1', new FakeClock());
    const leaf = await dc1.leaf('MALLORY');
    expect(leaf).toMatchObject({ Service: 'mallory', ServiceURI: expect.stringMatching(/\/dc\/dc1\/svc\/mallory$/) });
    expect(parseCertificate(leaf.CertPEM).uris).toEqual([leaf.ServiceURI]);
    await dc1.stop();
  });

  it.each([
    [
      'another trust domain',
      'spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/web',
      /different trust domain/,
    ],
    ['another datacenter', 'spiffe://DOMAIN/ns/default/dc/dc2/svc/web', /different datacenter: "dc2", we are "dc1"/],
    ['an intermediate', 'spiffe://DOMAIN/ca/dc/dc1', /URI must be either service or agent/],
    ['a CA', 'spiffe://DOMAIN', /URI must be either service or agent/],
    ['another namespace', 'spiffe://DOMAIN/ns/other/dc/dc1/svc/web', /URI must be either service or agent/],
    ['no service', 'spiffe://DOMAIN/ns/default/dc/dc1/svc/', /URI must be either service or agent/],
  ])('refuses a leaf for %s', async (_what, uri, error) => {
    const dc1 = await startCa('dc1', new FakeClock());
    const csr = createCsr(generateLeafKey(), { uri: uri.replace('DOMAIN', dc1.ca.trustDomain() ?? '') });
    await expect(dc1.ca.signLeaf({ csr })).rejects.toMatchObject({
      code: 'rejected',
      message: expect.stringMatching(error),
    });
    await dc1.stop();
  });

  it('refuses what is no signing request', async () => {
    const dc1 = await startCa('dc1', new FakeClock());
    await expect(dc1.ca.signLeaf({ csr: 'nonsense' })).rejects.toMatchObject({ code: 'invalid_argument' });
    await dc1.stop();
  });
});

describe('a secondary', () => {
  it('has its intermediate as soon as the primary answers, and signs with it', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    const dc2 = await startCa('dc2', clock, { primary: new FakeCaLink(dc1) });
    await clock.advance(1 * SECOND);
    expect(dc2.ca.status()).toMatchObject({ State: 'ready', Reason: '' });
    const [root] = dc2.roots().Roots;
    expect(dc2.roots().ActiveRootID).toBe(dc1.roots().ActiveRootID);
    expect(root?.IntermediateCerts).toHaveLength(1);
    expect(root?.SigningKeyID).not.toBe(dc1.roots().Roots[0]?.SigningKeyID);
    const leaf = await dc2.leaf('db');
    const chain = parseChain(leaf.CertPEM);
    expect(chain).toHaveLength(2);
    expect(chain[1]).toMatchObject({
      ca: true,
      pathLength: 0,
      uris: [`spiffe://${dc1.ca.trustDomain()}/ca/dc/dc2`],
      nameConstraints: { uriHosts: [dc1.ca.trustDomain()], more: false },
    });
    verifyAgainst(leaf, dc1.roots(), clock.now());
    expect(dc2.ca.reads['ca.config'].produce({}).Config).toEqual(dc1.ca.reads['ca.config'].produce({}).Config);
    await dc2.stop();
    await dc1.stop();
  });

  it('that starts ten minutes before the primary says what it awaits; it is ready within 5 s of contact', async () => {
    const clock = new FakeClock();
    const link = new FakeCaLink();
    const dc2 = await startCa('dc2', clock, { primary: link });
    await clock.advance(600 * SECOND);
    expect(dc2.ca.status()).toMatchObject({
      State: 'uninitialized',
      Reason: 'waiting for dc1: No path to datacenter (since 2026-01-01T00:00:00Z)',
    });
    expect(dc2.roots()).toEqual({ ActiveRootID: '', TrustDomain: '', Roots: [] });
    const csr = createCsr(generateLeafKey(), { uri: 'spiffe://x.consul/ns/default/dc/dc2/svc/web' });
    await expect(dc2.ca.signLeaf({ csr })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('waiting for dc1: No path to datacenter'),
    });
    const dc1 = await startCa('dc1', clock);
    link.heal(dc1);
    await clock.advance(5 * SECOND);
    expect(dc2.ca.status().State).toBe('ready');
    verifyAgainst(await dc2.leaf(), dc1.roots(), clock.now());
    await dc2.stop();
    await dc1.stop();
  });

  it('has the only intermediate that names its datacenter: the primary signs for others, not for itself', async () => {
    const dc1 = await startCa('dc1', new FakeClock());
    const uri = `spiffe://${dc1.ca.trustDomain()}`;
    const sign = (asking: string, claim = '') =>
      dc1.ca.signIntermediate({ csr: createCsr(generateLeafKey(), { uri: `${uri}${claim}` }), datacenter: asking });
    for (const claim of ['', '/ca/dc/dc2', '/ca/dc/DC2'])
      expect(parseCertificate((await sign('DC2', claim)).certPem).uris).toEqual([`${uri}/ca/dc/dc2`]);
    const denied = { code: 'permission_denied' };
    await expect(sign('dc2', '/ca/dc/dc1')).rejects.toMatchObject(denied);
    await expect(sign('dc1')).rejects.toMatchObject(denied);
    await expect(sign('DC1', '/ca/dc/dc1')).rejects.toMatchObject(denied);
    await expect(sign('../x\n')).rejects.toMatchObject({ code: 'invalid_argument' });
    await dc1.stop();
  });

  it('asks again for an intermediate without a datacenter, once per contact, and takes none of another', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    /** A primary of an earlier version, or one that mixes datacenters up. */
    class OtherLink extends FakeCaLink {
      asked = 0;
      answer: string | undefined = '';
      override async signIntermediate(csr: string, datacenter: string) {
        this.asked += 1;
        if (this.answer === undefined) return super.signIntermediate(csr, datacenter);
        const root = createIssuer(rootPem, rootKey);
        const { pem: certPem } = root.signCa({
          spki: parseCsr(csr).spki,
          uri: `spiffe://${dc1.ca.trustDomain()}${this.answer}`,
          commonName: 'sec',
          notBefore: clock.now(),
          notAfter: clock.now() + 90 * 24 * HOUR,
          pathLength: 0,
        });
        return { certPem, rootId: dc1.roots().ActiveRootID };
      }
    }
    const rootKey = generateLeafKey();
    await dc1.ca.setConfig({ config: { Provider: 'consul', Config: { PrivateKey: privateKeyToPem(rootKey) } } });
    await clock.advance(12 * SECOND);
    const rootPem = dc1.roots().Roots[0]?.RootCert as string;
    const link = new OtherLink(dc1);
    const dc2 = await startCa('dc2', clock, { primary: link });
    const intermediate = async () => parseChain((await dc2.leaf()).CertPEM)[1]?.uris[0];
    await clock.advance(10 * 60 * SECOND);
    expect(link.asked).toBe(1);
    expect(await intermediate()).toBe(`spiffe://${dc1.ca.trustDomain()}`);
    link.answer = '/ca/dc/dc3';
    link.cut();
    link.heal();
    await clock.advance(10 * SECOND);
    expect(link.asked).toBeGreaterThan(1);
    expect(dc2.ca.status().LastRenewalError).toMatch(/it is for datacenter "dc3", we are "dc2"/);
    expect(await intermediate()).toBe(`spiffe://${dc1.ca.trustDomain()}`);
    link.answer = undefined;
    await clock.advance(60 * SECOND);
    expect(await intermediate()).toBe(`spiffe://${dc1.ca.trustDomain()}/ca/dc/dc2`);
    await dc2.stop();
    await dc1.stop();
  });

  it('signs nothing that would not verify: with an intermediate that has ended, or is not valid yet', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    const link = new FakeCaLink(dc1);
    const dc2 = await startCa('dc2', clock, { primary: link });
    await clock.advance(1 * SECOND);
    link.cut();
    clock.jump(-2 * HOUR);
    await expect(dc2.leaf()).rejects.toThrow(/does not verify: .*not valid yet/);
    clock.jump(2 * HOUR);
    verifyAgainst(await dc2.leaf(), dc1.roots(), clock.now());
    clock.jump(8_761 * HOUR);
    await expect(dc2.leaf()).rejects.toThrow(/does not verify: .*has expired/);
    await dc2.stop();
    await dc1.stop();
  });

  it('signs on without the primary, also after a restart', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    const link = new FakeCaLink(dc1);
    const first = await startCa('dc2', clock, { primary: link });
    await clock.advance(1 * SECOND);
    link.cut();
    await clock.advance(1 * HOUR);
    verifyAgainst(await first.leaf(), dc1.roots(), clock.now());
    await first.stop();
    const second = await startCa('dc2', clock, { engine: first.engine, primary: link });
    expect(second.ca.status().State).toBe('ready');
    verifyAgainst(await second.leaf(), dc1.roots(), clock.now());
    await second.stop();
    await dc1.stop();
  });

  it('follows a change of the leaf TTL', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    const dc2 = await startCa('dc2', clock, { primary: new FakeCaLink(dc1) });
    await clock.advance(1 * SECOND);
    await dc1.ca.setConfig({ config: { Provider: 'consul', Config: { LeafCertTTL: '24h' } } });
    await clock.advance(20 * SECOND);
    const leaf = parseChain((await dc2.leaf()).CertPEM)[0];
    expect((leaf?.notAfter ?? 0) - clock.now()).toBeLessThanOrEqual(24 * HOUR);
    await dc2.stop();
    await dc1.stop();
  });

  it('refuses to change what only the primary may change', async () => {
    const clock = new FakeClock();
    const dc2 = await startCa('dc2', clock, { primary: new FakeCaLink() });
    await expect(dc2.ca.setConfig({ config: { Provider: 'consul' } })).rejects.toMatchObject({ code: 'rejected' });
    await expect(dc2.ca.rotate({})).rejects.toMatchObject({ code: 'rejected' });
    await expect(dc2.ca.signIntermediate({ csr: '', datacenter: 'dc3' })).rejects.toMatchObject({ code: 'rejected' });
    await dc2.stop();
  });

  it('does not follow a primary of another trust domain', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    const link = new FakeCaLink(dc1);
    const dc2 = await startCa('dc2', clock, { primary: link });
    await clock.advance(1 * SECOND);
    const before = dc2.roots();
    link.cut();
    const other = await startCa('dc1', clock);
    link.heal(other);
    await clock.advance(10 * SECOND);
    expect(dc2.roots()).toEqual(before);
    verifyAgainst(await dc2.leaf(), dc1.roots(), clock.now());
    await Promise.all([dc2.stop(), dc1.stop(), other.stop()]);
  });
});

describe('a rotation', () => {
  it('with no agent to wait for is done at once; the old root goes after its drain', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    const old = dc1.roots().ActiveRootID;
    const before = await dc1.leaf();
    const { NewRootID } = await dc1.ca.rotate({});
    expect(dc1.roots()).toMatchObject({ ActiveRootID: NewRootID });
    expect(
      dc1
        .roots()
        .Roots.map((root) => root.ID)
        .sort(),
    ).toEqual([old, NewRootID].sort());
    const leaf = await dc1.leaf();
    expect(leaf.RootID).toBe(NewRootID);
    verifyAgainst(before, dc1.roots(), clock.now());
    verifyAgainst(leaf, dc1.roots(), clock.now());
    await clock.advance(11 * SECOND);
    expect(dc1.roots().Roots.map((root) => [root.ID, root.IntermediateCerts])).toEqual([[NewRootID, null]]);
    expect(dc1.ca.reads['ca.rotation'].produce({})).toMatchObject({ Phase: 'idle', Progress: 1, Holds: [] });
    await dc1.stop();
  });

  it('goes through its phases as holders report, over two datacenters', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock, { knownDatacenters: () => ['dc1', 'dc2'] });
    const dc2 = await startCa('dc2', clock, { primary: new FakeCaLink(dc1) });
    await clock.advance(1 * SECOND);
    const A = dc1.roots().ActiveRootID;
    await dc1.ca.reportHolder(holderReport('n1', { RootIDs: [A], LeavesByRoot: { [A]: 2 } }));
    await dc2.ca.reportHolder(holderReport('m1', { RootIDs: [A], LeavesByRoot: { [A]: 3 } }));
    const { NewRootID: B } = await dc1.ca.rotate({});
    const rotation = () => dc1.ca.reads['ca.rotation'].produce({});
    await clock.advance(1 * SECOND);
    expect(rotation()).toMatchObject({
      Phase: 'distributing',
      OldRootID: A,
      NewRootID: B,
      LeavesTotal: 5,
      LeavesMoved: 0,
    });
    expect(rotation().Holds).toEqual([
      'dc1 has verifiers without the new root: n1',
      'dc2 has verifiers without the new root: m1',
    ]);
    expect(dc1.roots().ActiveRootID).toBe(A);
    expect(
      dc2
        .roots()
        .Roots.map((root) => root.ID)
        .sort(),
    ).toEqual([A, B].sort());
    expect(dc2.roots().ActiveRootID).toBe(A);

    await dc1.ca.reportHolder(holderReport('n1', { RootIDs: [A, B], LeavesByRoot: { [A]: 2 } }));
    await clock.advance(200);
    expect(rotation().Phase).toBe('distributing');
    await dc2.ca.reportHolder(holderReport('m1', { RootIDs: [A, B], LeavesByRoot: { [A]: 3 } }));
    await clock.advance(200);
    expect(rotation().Phase).toBe('moving');
    expect(dc1.roots().ActiveRootID).toBe(B);
    expect(dc2.roots().ActiveRootID).toBe(B);
    const leaf = await dc2.leaf();
    expect(leaf.RootID).toBe(B);
    expect(parseChain(leaf.CertPEM)).toHaveLength(3);
    const onlyOld = { ...dc1.roots(), Roots: dc1.roots().Roots.filter((root) => root.ID === A) };
    const onlyNew = { ...dc1.roots(), Roots: dc1.roots().Roots.filter((root) => root.ID === B) };
    verifyAgainst(leaf, onlyOld, clock.now());
    verifyAgainst(leaf, onlyNew, clock.now());

    await dc1.ca.reportHolder(holderReport('n1', { RootIDs: [A, B], LeavesByRoot: { [B]: 2 } }));
    await dc2.ca.reportHolder(holderReport('m1', { RootIDs: [A, B], LeavesByRoot: { [A]: 1, [B]: 2 } }));
    await clock.advance(200);
    expect(rotation()).toMatchObject({ Phase: 'moving', LeavesTotal: 5, LeavesMoved: 4, Progress: 0.78 });
    expect(rotation().Holds).toEqual(['dc2 has 1 certificate under the old root']);
    await dc2.ca.reportHolder(holderReport('m1', { RootIDs: [A, B], LeavesByRoot: { [B]: 3 } }));
    await clock.advance(200);
    expect(rotation()).toMatchObject({ Phase: 'draining', Progress: 0.9 });
    await clock.advance(11 * SECOND);
    expect(rotation()).toMatchObject({ Phase: 'idle', Progress: 1 });
    expect(dc1.roots().Roots.map((root) => root.ID)).toEqual([B]);
    expect(dc2.roots().Roots.map((root) => root.ID)).toEqual([B]);
    expect(parseChain((await dc2.leaf()).CertPEM)).toHaveLength(2);
    await settle();
    await dc2.stop();
    await dc1.stop();
  });
});

describe('chains of both datacenters', () => {
  it('are accepted by OpenSSL before, during and after a rotation from EC to RSA', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock, { knownDatacenters: () => ['dc2'] });
    const dc2 = await startCa('dc2', clock, { primary: new FakeCaLink(dc1) });
    await clock.advance(1 * SECOND);
    const before = dc1.roots();
    opensslVerifies(await dc1.leaf(), before, clock);
    opensslVerifies(await dc2.leaf(), before, clock);
    const Config = { PrivateKeyType: 'rsa', PrivateKeyBits: 2048 };
    await dc1.ca.setConfig({ config: { Provider: 'consul', Config } });
    const { NewRootID } = dc1.ca.reads['ca.rotation'].produce({});
    while (dc2.roots().ActiveRootID !== NewRootID) await clock.advance(100); // its RSA key is made on another thread
    for (const leaf of [await dc1.leaf(), await dc2.leaf()]) {
      opensslVerifies(leaf, before, clock);
      opensslVerifies(leaf, dc1.roots(), clock);
    }
    await clock.advance(12 * SECOND);
    expect(dc2.roots().Roots).toHaveLength(1);
    opensslVerifies(await dc2.leaf(), dc2.roots(), clock);
    await dc2.stop();
    await dc1.stop();
  });
});

function opensslVerifies(leaf: IssuedCert, roots: CaRoots, clock: FakeClock): void {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-ca-'));
  try {
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const [own, ...others] = splitPem(leaf.CertPEM);
    const args = [
      'verify',
      '-x509_strict',
      '-purpose',
      'sslclient',
      '-attime',
      String(Math.floor(clock.now() / 1_000)),
      '-CAfile',
      file('roots', roots.Roots.map((root) => root.RootCert).join('')),
    ];
    if (others.length > 0) args.push('-untrusted', file('others', others.join('')));
    expect(execFileSync('openssl', [...args, file('leaf', own ?? '')], { encoding: 'utf8' })).toMatch(/leaf: OK/);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
