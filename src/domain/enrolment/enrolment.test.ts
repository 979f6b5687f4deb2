import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { createCsr } from '../../pki/csr.ts';
import { generateLeafKey, spkiOf } from '../../pki/keys.ts';
import type { Row } from '../../store/engine.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { type AuthorityProof, type Granted, rootFingerprint, TransportAuthority } from './authority.ts';
import { formatInvitation, type Invitation, parseInvitation } from './invitation-text.ts';
import { SECRETS_TABLE } from './tables.ts';

const DAY_MS = 86_400_000;
const stores: Store[] = [];

afterEach(async () => {
  for (const store of stores.splice(0)) await store.stop();
});

interface Made {
  readonly authority: TransportAuthority;
  /** All that is stored. */
  rows(): Promise<readonly Row[]>;
  readonly clock: FakeClock;
}

async function make(
  datacenter = 'dc1',
  options: { clock?: FakeClock; encryptionKey?: Buffer; known?: readonly string[]; managed?: boolean } = {},
): Promise<Made> {
  const { clock = new FakeClock(Date.now()), encryptionKey, known = [], managed = true } = options;
  const engine = new MemoryEngine(clock);
  const onError = (what: string, error: Error): never => {
    throw new Error(`${what}: ${error.message}`);
  };
  const store = new Store({ engine, clock, onError });
  const authority = new TransportAuthority({
    store,
    clock,
    datacenter,
    primaryDatacenter: 'dc1',
    domain: 'consul',
    certMs: 3 * DAY_MS,
    managed,
    addresses: () => ['192.0.2.1:8302'],
    known: () => known,
    ...(encryptionKey === undefined ? {} : { encryptionKey }),
  });
  await store.start(new AbortController().signal);
  stores.push(store);
  const rows = async () => (await engine.range({ prefix: '' })).rows;
  return { authority, rows, clock };
}

async function makePrimary(options: { encryptionKey?: Buffer; known?: readonly string[] } = {}): Promise<Made> {
  const made = await make('dc1', options);
  await made.authority.ensureRoot();
  return made;
}

const csr = (key = generateLeafKey()): string => createCsr(key, { uri: 'isthmus:datacenter:x' });

async function invited({ authority }: Made, args = {}): Promise<Invitation> {
  return parseInvitation((await authority.invite(args)).Invitation);
}

describe('the authority of a primary', () => {
  it('is made once, also by two servers at a time', async () => {
    const { authority } = await make();
    expect(authority.row).toBeUndefined();
    await Promise.all([authority.ensureRoot(), authority.ensureRoot()]);
    const { row } = authority;
    await authority.ensureRoot();
    expect(authority.row).toBe(row);
    const { chain, root } = authority.issueServer(spkiOf(generateLeafKey()), 'n1');
    const [leaf, ca] = [new X509Certificate(chain), new X509Certificate(root)];
    expect(leaf.verify(ca.publicKey)).toBe(true);
    expect(leaf.subjectAltName).toBe(
      'DNS:server.dc1.consul, DNS:n1.server.dc1.consul, DNS:localhost, IP Address:127.0.0.1',
    );
  });

  it('keeps its key as CA keys are kept', async () => {
    const key = Buffer.alloc(32, 7);
    const { authority, rows } = await makePrimary({ encryptionKey: key });
    const secrets = JSON.stringify(await rows());
    expect(secrets).toContain('sealed:v1:');
    expect(secrets).not.toContain('PRIVATE KEY');
    authority.issueServer(spkiOf(generateLeafKey()), 'n1');
  });
});

describe('an invitation', () => {
  it('gives a datacenter an authority of its own, which is good for its names alone', async () => {
    const primary = await makePrimary();
    const invitation = await invited(primary);
    expect(invitation).toMatchObject({
      kind: 'datacenter',
      datacenter: 'dc1',
      domain: 'consul',
      addresses: ['192.0.2.1:8302'],
      fingerprint: new X509Certificate(primary.authority.row?.root ?? '').fingerprint256
        .replaceAll(':', '')
        .toLowerCase(),
      expiresAt: primary.clock.now() + DAY_MS,
    });
    const dc2 = await make('dc2', { clock: primary.clock });
    const request = await dc2.authority.joinCsr();
    const joined = await primary.authority.join({
      secret: invitation.secret,
      datacenter: 'dc2',
      node: 'n',
      csr: request,
    });
    await dc2.authority.adoptJoin(joined, { addresses: invitation.addresses, token: 'a token' });
    expect(dc2.authority.replicationToken()).toBe('a token');
    expect(dc2.authority.row).toMatchObject({ addresses: ['192.0.2.1:8302'], root: primary.authority.row?.root });
    const leaf = dc2.authority.issueServer(spkiOf(generateLeafKey()), 'n');
    expect(new X509Certificate(leaf.chain).subjectAltName).toContain('DNS:server.dc2.consul');

    const renewal = await dc2.authority.renewalCsr();
    const before = dc2.authority.row;
    const grant = (csrText: string, proof: AuthorityProof | undefined = renewal.proof, datacenter = 'dc2') =>
      primary.authority.renewDatacenter(datacenter, csrText, proof);
    // The key of a server is not the key of its authority.
    const denied = { code: 'permission_denied' };
    await expect(primary.authority.renewDatacenter('dc2', renewal.csr, undefined)).rejects.toMatchObject(denied);
    await expect(grant(csr())).rejects.toMatchObject(denied);
    await expect(grant(renewal.csr, renewal.proof, 'dc3')).rejects.toMatchObject(denied);
    await expect(grant(renewal.csr, renewal.proof, 'dc1')).rejects.toMatchObject(denied);
    for (const authority of [leaf.chain, primary.authority.row?.root ?? '', 'nonsense'])
      await expect(grant(renewal.csr, { ...renewal.proof, authority })).rejects.toMatchObject(denied);
    await renewal.adopt(await grant(renewal.csr));
    expect(dc2.authority.row?.keyId).not.toBe(before?.keyId);
    expect(dc2.authority.row).toMatchObject({ addresses: before?.addresses, tokenId: before?.tokenId });
    expect(dc2.authority.replicationToken()).toBe('a token');
    const keys = (await dc2.rows()).filter(({ key }) => key.startsWith(`${SECRETS_TABLE}/`));
    expect(keys).toHaveLength(2); // of the new authority, and the token
  });

  it('is adopted only when it is for this datacenter and of the root that it says', async () => {
    const primary = await makePrimary();
    const dc4 = await make('dc4', { clock: primary.clock });
    const { secret } = await invited(primary);
    const joined = await primary.authority.join({
      secret,
      datacenter: 'dc3',
      node: 'n',
      csr: await dc4.authority.joinCsr(),
    });
    const adopt = (granted: Granted) => dc4.authority.adoptJoin(granted, { addresses: [], token: '' });
    await expect(adopt(joined)).rejects.toThrow(/for another datacenter than "dc4" \(Isthmus Agent CA dc3\)/);
    const other = await makePrimary();
    await expect(adopt({ ...joined, root: other.authority.row?.root ?? '' })).rejects.toThrow(/not trusted/);
    expect(dc4.authority.row).toBeUndefined();
  });

  it('hands out nothing that would not verify', async () => {
    const { authority, clock } = await makePrimary();
    const issue = () => authority.issueServer(spkiOf(generateLeafKey()), 'n');
    clock.jump(-DAY_MS);
    expect(issue).toThrow(/not valid yet/);
    clock.jump(DAY_MS);
    issue();
  });

  it('is used once even when two race, and again only by the same joiner', async () => {
    const primary = await makePrimary();
    const { secret } = await invited(primary);
    const keys = [generateLeafKey(), generateLeafKey(), generateLeafKey()];
    const ask = (key: (typeof keys)[number], datacenter: string) =>
      primary.authority.join({ secret, datacenter, node: 'n', csr: csr(key) });
    const results = await Promise.allSettled(keys.map((key, n) => ask(key, `dc${n + 2}`)));
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected']);
    const winner = results.findIndex(({ status }) => status === 'fulfilled');
    const [first] = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    // The answer was lost on its way: the same key may ask again, and gets the same token.
    const again = await ask(keys[winner] as (typeof keys)[number], `dc${winner + 2}`);
    expect(again.use).toEqual(first?.use);
    expect(primary.authority.invitations.reads['transport.invitations'].produce({})).toMatchObject([
      { State: 'used', UsedBy: `n.dc${winner + 2}` },
    ]);
  });

  it('is a promise about one name: what a repeat says instead is not signed', async () => {
    const primary = await makePrimary();
    const key = generateLeafKey();
    const { secret } = await invited(primary);
    const ask = (datacenter: string) => primary.authority.join({ secret, datacenter, node: 'n', csr: csr(key) });
    await ask('dc3');
    for (const other of ['dc1', 'dc2', 'DC1']) {
      const again = await ask(other);
      expect(again.use.datacenter).toBe('dc3');
      expect(new X509Certificate(again.chain).subject).toContain('dc3');
    }
    const agent = await invited(primary, { Kind: 'agent' });
    const join = (node: string) =>
      primary.authority.join({ secret: agent.secret, datacenter: 'dc1', node, csr: csr(key) });
    expect(new X509Certificate((await join('Web-1')).chain).subjectAltName).toContain('DNS:web-1.client.dc1.consul');
    expect(new X509Certificate((await join('other')).chain).subjectAltName).toContain('DNS:web-1.client.dc1.consul');
  });

  it('is for names, and for those alone that are free in any spelling', async () => {
    const primary = await makePrimary({ known: ['dc7'] });
    const join = async (datacenter: string, args = {}, node = 'n') =>
      primary.authority.join({ secret: (await invited(primary, args)).secret, datacenter, node, csr: csr() });
    await expect(join('DC1')).rejects.toThrow(/"dc1" is the one that invites/);
    await expect(join('dc7')).rejects.toThrow(/there is a datacenter "dc7" already/);
    await expect(join('Dc7')).rejects.toThrow(/there is a datacenter "dc7" already/);
    await join('dc7', { JoiningDatacenter: 'dc7' });
    await join('dc2');
    await expect(join('DC2')).rejects.toThrow(/there is a datacenter "dc2" already/);
    const refused = expect.objectContaining({ code: 'invalid_argument' });
    for (const name of ['../x\n', '', '*', 'web%20', 'dc.4', 'x'.repeat(64), 'server.dc1'])
      await expect(join(name)).rejects.toEqual(refused);
    for (const name of ['../x\n', '', '*', 'web%20', 'x'.repeat(256)])
      await expect(join('dc1', { Kind: 'agent' }, name)).rejects.toEqual(refused);
    const { authority } = primary;
    await expect(authority.invite({ Kind: 'agent', JoiningDatacenter: 'dc3' })).rejects.toThrow(/not both/);
    await expect(authority.invite({ JoiningDatacenter: 'DC1' })).rejects.toThrow(/is the one that invites/);
  });

  it('gives no name away that is taken', async () => {
    const primary = await makePrimary();
    const join = async (datacenter: string, args = {}) =>
      primary.authority.join({ secret: (await invited(primary, args)).secret, datacenter, node: 'n', csr: csr() });
    await expect(join('dc1')).rejects.toThrow(/datacenter "dc1" is the one that invites/);
    await join('dc2');
    await expect(join('dc2')).rejects.toThrow(/there is a datacenter "dc2" already: .*-joining dc2/);
    await join('dc2', { JoiningDatacenter: 'dc2' });
    await expect(join('dc3', { JoiningDatacenter: 'dc2' })).rejects.toThrow(/this invitation is for datacenter "dc2"/);
    const [one, two] = [await invited(primary), await invited(primary)];
    const race = await Promise.allSettled(
      [one, two].map(({ secret }) => primary.authority.join({ secret, datacenter: 'dc5', node: 'n', csr: csr() })),
    );
    expect(race.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  it('expires, is revoked, and leaves nothing but a hash', async () => {
    const primary = await makePrimary();
    const made = await primary.authority.invite({ TTL: 60_000 });
    const { secret } = parseInvitation(made.Invitation);
    expect(JSON.stringify(await primary.rows())).not.toContain(secret);
    const join = () => primary.authority.join({ secret, datacenter: 'dc2', node: 'n', csr: csr() });
    await primary.clock.advance(60_001);
    await expect(join()).rejects.toThrow(/this invitation expired at .*: make another one/);
    await primary.authority.invitations.revoke(made.ID);
    await expect(join()).rejects.toMatchObject({ code: 'permission_denied', message: /not known here/ });
    await expect(primary.authority.invitations.revoke(made.ID)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('of an agent gives it a certificate of its datacenter', async () => {
    const primary = await makePrimary();
    const { secret } = await invited(primary, { Kind: 'agent' });
    const join = (datacenter: string) => primary.authority.join({ secret, datacenter, node: 'n', csr: csr() });
    await expect(join('dc2')).rejects.toThrow(/this invitation is for agents of datacenter "dc1"/);
    expect(new X509Certificate((await join('dc1')).chain).subjectAltName).toContain('DNS:client.dc1.consul');
  });

  it('makes the authority where there is none yet', async () => {
    const { authority } = await make();
    const { fingerprint } = parseInvitation((await authority.invite({})).Invitation);
    expect(fingerprint).toBe(rootFingerprint(authority.row?.root ?? ''));
  });

  it('is refused with what to do', async () => {
    const primary = await makePrimary();
    const { authority } = primary;
    const files = await make('dc1', { managed: false });
    await expect(files.authority.invite({})).rejects.toThrow(/those of this server come from files/);
    const notJoined = await make('dc2');
    await expect(notJoined.authority.invite({ Kind: 'agent' })).rejects.toThrow(/has not joined its primary/);
    await expect(authority.invite({ TTL: 1 })).rejects.toThrow(/good for 1s to 720h/);
    await expect(authority.invite({ JoiningDatacenter: 'DC 2' })).rejects.toThrow(/can't be the name of a datacenter/);
    await expect(authority.invite({ Addresses: ['x'] })).rejects.toThrow(/host:port/);
    await expect(authority.invite({ Kind: 'x' as never })).rejects.toThrow(/Kind must be/);
    await expect(authority.join({ secret: 's', datacenter: 'dc2', node: 'n', csr: 'x' })).rejects.toBeInstanceOf(
      IsthmusError,
    );
  });
});

describe('the text of an invitation', () => {
  const invitation: Invitation = {
    kind: 'datacenter',
    datacenter: 'dc1',
    domain: 'consul',
    addresses: ['192.0.2.1:8302', '[2001:db8::1]:8302'],
    fingerprint: 'ab'.repeat(32),
    secret: 's3cret',
    expiresAt: 1_800_000_000_000,
  };

  it('is one line that can be read again', () => {
    const text = formatInvitation(invitation);
    expect(text).toMatch(/^isthmus-invitation-v1\.[A-Za-z0-9_-]+\.[0-9a-f]{8}$/);
    expect(parseInvitation(`  ${text}\n`)).toEqual(invitation);
  });

  it('tells what is wrong with it, and nothing of it', () => {
    const text = formatInvitation(invitation);
    for (const [bad, why] of [
      [text.slice(0, -1), /changed or cut/],
      [text.replace('v1', 'v2'), /of version 2/],
      ['hello', /does not begin as one/],
      ['x'.repeat(100_000), /too long/],
      [formatInvitation({ ...invitation, fingerprint: 'x' }), /not complete/],
      [formatInvitation({ ...invitation, addresses: [] }), /not complete/],
    ] as const)
      expect(() => parseInvitation(bad)).toThrow(why);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom(...'Aa0-_.'), (at, char) => {
        const changed = text.slice(0, at) + char + text.slice(at + 1);
        if (changed === text) return;
        expect(() => parseInvitation(changed)).toThrow(IsthmusError);
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (any) => {
        expect(() => parseInvitation(any)).toThrow(IsthmusError);
      }),
    );
  });
});
