import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatInvitation, parseInvitation } from '../../src/domain/enrolment/invitation-text.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { AclToken } from '../../src/model/acl.ts';
import { createCsr } from '../../src/pki/csr.ts';
import { generateLeafKey } from '../../src/pki/keys.ts';
import { enrolWithFingerprint } from '../../src/rpc/transport/enrol-client.ts';
import {
  type Bed,
  callAgent,
  isthmus,
  type MeshService,
  portOf,
  startAgent,
  startBed,
  startLoad,
  waitFor,
} from '../harness/index.ts';

/** Two datacenters that refuse what no one allowed and speak TLS alone; dc2 joined by an invitation. */

const MANAGEMENT = '5ec2e7aa-0000-4000-8000-00000000abcd';
/** Renewed every five seconds. */
const CERT_TTL = '10s';
const folder = mkdtempSync(join(tmpdir(), 'isthmus-secure-'));
const invitationFile = join(folder, 'dc2.invitation');
const said: Buffer[] = [];
let bed: Bed;
let text: string;

const acl = {
  enabled: true,
  default_policy: 'deny',
  enable_token_replication: true,
  tokens: { initial_management: MANAGEMENT, agent: MANAGEMENT, default: MANAGEMENT },
};

async function invite(...args: string[]): Promise<string> {
  const { code, out, err } = await isthmus([
    'federation',
    'invite',
    '-http-addr',
    bed.dc1.ready.http,
    '-token',
    MANAGEMENT,
    ...args,
  ]);
  if (code !== 0) throw new Error(err);
  return out.trim();
}

/** What a datacenter dc3 that uses this text is told. */
async function refusal(invitation: string): Promise<string> {
  const file = join(folder, 'dc3.invitation');
  writeFileSync(file, invitation);
  const started = startAgent({
    name: 'dc3-s1',
    datacenter: 'dc3',
    config: { primary_datacenter: 'dc1', acl: { enabled: true, default_policy: 'deny' } },
    args: ['-join-invite', file],
  });
  try {
    await (await started).stop();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('dc3 has started');
}

interface Self {
  readonly Stats: { readonly tls: Readonly<Record<string, string>> };
}

const linksUp = async (): Promise<boolean> => {
  for (const agent of bed.agents) {
    const links = await callAgent<readonly { state: { kind: string } }[]>(agent, 'GET', '/v1/internal/links');
    if (!links.some(({ state }) => state.kind === 'up')) return false;
  }
  return true;
};

beforeAll(async () => {
  bed = await startBed({
    config: { acl },
    dc1: { tls: { internal_rpc: { managed: true, managed_cert_ttl: CERT_TTL } } },
    dc2: { retry_join_wan: [], tls: { internal_rpc: { managed_cert_ttl: CERT_TTL } } },
    async dc2Args(dc1) {
      const made = await isthmus([
        'federation',
        'invite',
        '-http-addr',
        dc1.ready.http,
        '-token',
        MANAGEMENT,
        '-out',
        invitationFile,
      ]);
      expect(made).toMatchObject({ code: 0, out: `==> Saved ${invitationFile}\n` });
      text = readFileSync(invitationFile, 'utf8');
      return ['-join-invite', invitationFile];
    },
    onWanBytes: (chunk) => void said.push(chunk),
  });
});

afterAll(async () => {
  await bed?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('a datacenter that joined by an invitation', () => {
  let web: MeshService;
  let replicationToken = '';

  it('replicates with a token that came with it', async () => {
    expect(statSync(invitationFile).mode & 0o777).toBe(0o600);
    const tokens = await callAgent<readonly AclToken[]>(bed.dc1, 'GET', '/v1/acl/tokens');
    const own = tokens.find(({ Description }) => Description.startsWith('Replication of dc2'));
    expect(own?.Roles).toEqual([expect.objectContaining({ Name: 'builtin/replication' })]);
    replicationToken = (await callAgent<AclToken>(bed.dc1, 'GET', `/v1/acl/token/${own?.AccessorID}`)).SecretID;
    await waitFor(
      async () =>
        (await callAgent<{ Running: boolean; ReplicatedTokenIndex: number }>(bed.dc2, 'GET', '/v1/acl/replication'))
          .ReplicatedTokenIndex > 0,
      { what: 'the replication of tokens' },
    );
  });

  it('connects services that an intention allows, written on either side', async () => {
    await callAgent(bed.dc2, 'PUT', '/v1/connect/intentions/exact?source=web&destination=db', { Action: 'allow' });
    ({ web } = await bed.webToDb());
  });

  it('renews its certificates under traffic', async () => {
    const load = await startLoad(web.upstreamPort, 50, 5);
    for (const agent of bed.agents) {
      const expires = async () =>
        (await callAgent<Self>(agent, 'GET', '/v1/agent/self')).Stats.tls.internal_rpc_expires;
      const before = await expires();
      await waitFor(async () => (await expires()) !== before, { what: 'another certificate' });
    }
    for (const wan of bed.wans) wan.breakConnections();
    await waitFor(linksUp, { what: 'links with the new certificates' });
    await callAgent(bed.dc1, 'PUT', '/v1/connect/intentions/exact?source=x&destination=y', { Action: 'allow' });
    await waitFor(
      async () => (await bed.dc2.http('GET', '/v1/connect/intentions/exact?source=x&destination=y')).status === 200,
      {
        what: 'the replication of intentions over the new links',
      },
    );
    expect(await load.stop()).toMatchObject({ failed: 0, longLivedFailed: 0 });
  });

  it('needs the invitation no longer, and keeps what it got for itself', async () => {
    rmSync(invitationFile);
    await bed.dc2.restart();
    await waitFor(linksUp, { what: 'links after the restart' });
    const store = join(bed.dc2.dataDir, 'store');
    for (const path of [bed.dc2.dataDir, store, ...readdirSync(store).map((name) => join(store, name))])
      expect([path, statSync(path).mode & 0o077]).toEqual([path, 0]);
  });

  it('said nothing of it in plain text', () => {
    const all = Buffer.concat(said).toString('latin1');
    expect(all.length).toBeGreaterThan(50_000);
    const { secret } = parseInvitation(text);
    expect(replicationToken).not.toBe('');
    for (const word of [MANAGEMENT, replicationToken, secret, 'PRI * HTTP/2.0', 'PRIVATE KEY', 'BEGIN CERTIFICATE'])
      expect(all).not.toContain(word);
    for (const agent of bed.agents)
      for (const word of [secret, replicationToken, MANAGEMENT]) expect(agent.log()).not.toContain(word);
  });

  it('is not let in in plain text', async () => {
    const socket = connect(portOf(bed.dc1.ready.serf_wan), '127.0.0.1', () =>
      socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    );
    let answer = 0;
    socket.on('data', (chunk) => (answer += chunk.length));
    socket.on('error', () => undefined);
    await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    expect(answer).toBe(0);
    const line = 'it spoke plain text, and this port asks for TLS';
    await waitFor(async () => bed.dc1.log().includes(line), { what: 'the line about it' });
  });
});

describe('an invitation', () => {
  it('is good once', async () => {
    expect(await refusal(text)).toMatch(/this invitation was used by dc2-s1\.dc2 at .*: make another one/);
    const listed = await isthmus([
      'federation',
      'invite',
      '-list',
      '-http-addr',
      bed.dc1.ready.http,
      '-token',
      MANAGEMENT,
    ]);
    expect(listed.out).toMatch(/datacenter +- +used .* dc2-s1\.dc2/);
  });

  it('expires, can be revoked, and may be for one datacenter alone', async () => {
    const short = await invite('-ttl', '1s');
    const named = await invite('-joining', 'dc4');
    expect(await refusal(named)).toMatch(/this invitation is for datacenter "dc4"/);
    const { ID } = JSON.parse(await invite('-format=json')) as { ID: string };
    await invite('-revoke', ID);
    const revoked = JSON.parse(await invite('-format=json')) as { ID: string; Invitation: string };
    await invite('-revoke', revoked.ID);
    expect(await refusal(revoked.Invitation)).toMatch(/this invitation is not known here: it was revoked/);
    await waitFor(async () => (await invite('-list')).includes('expired'), { what: 'the end of a second' });
    expect(await refusal(short)).toMatch(/this invitation expired at .*: make another one/);
  });

  it('that was changed leads nowhere, and its secret is told to nobody but the primary', async () => {
    const good = await invite();
    expect(await refusal(good.replace(/.(?=\.[^.]*$)/, (last) => (last === 'A' ? 'B' : 'A')))).toMatch(
      /this is no invitation: it was changed or cut on its way/,
    );
    const forged = formatInvitation({ ...parseInvitation(good), fingerprint: '0'.repeat(64) });
    expect(await refusal(forged)).toMatch(/does not belong to the authority that the invitation names/);
    expect(await invite('-list')).toMatch(/datacenter +- +open /); // nobody has used it
  });

  it('brings in a client agent too, whose certificate is renewed by its servers', async () => {
    const file = join(folder, 'agent.invitation');
    await invite('-agent', '-out', file);
    const agent = await startAgent({
      name: 'dc1-c1',
      datacenter: 'dc1',
      config: {
        server: false,
        acl: { ...acl, enable_token_replication: false },
        tls: { internal_rpc: { managed: true } },
      },
      args: ['-join-invite', file],
    });
    try {
      const expires = async () =>
        (await callAgent<Self>(agent, 'GET', '/v1/agent/self')).Stats.tls.internal_rpc_expires;
      const first = await expires();
      await waitFor(async () => (await expires()) !== first, { what: 'another certificate of the agent' });
      rmSync(file);
      await agent.restart();
      const nodes = await callAgent<readonly { Node: string }[]>(agent, 'GET', '/v1/catalog/nodes');
      expect(nodes.map(({ Node }) => Node)).toContain('dc1-c1');
      expect(statSync(join(agent.dataDir, 'agent-certificate.json')).mode & 0o777).toBe(0o600);
    } finally {
      await agent.stop();
    }
  });

  it('is a promise about one name: a joiner of dc3 that repeats itself as dc1 stays dc3', async () => {
    const key = generateLeafKey();
    const csr = createCsr(key, { uri: 'isthmus:datacenter:dc1' });
    const joinAs = async (invitation: string, datacenter: string, node = 'n'): Promise<X509Certificate> => {
      const { fingerprint, secret } = parseInvitation(invitation);
      const target = { address: bed.dc1.ready.serf_wan, datacenter: 'dc1', domain: 'consul' };
      const request = { op: 'join', secret, datacenter, node, csr } as const;
      return new X509Certificate((await enrolWithFingerprint(target, fingerprint, request, systemClock)).chain);
    };
    const invitation = await invite();
    const admitted = await joinAs(invitation, 'dc3');
    for (const claim of ['dc1', 'dc2', 'DC1']) {
      const repeated = await joinAs(invitation, claim);
      expect(repeated.publicKey.equals(admitted.publicKey)).toBe(true);
      expect(repeated.subject).toBe(admitted.subject);
      expect(repeated.subject).toMatch(/dc3$/);
    }
    const fresh = await invite();
    for (const claim of ['DC1', 'dc1', 'DC2', 'dc2', 'DC3', '../x\n', '*', 'web%20', 'x'.repeat(64)])
      await expect(joinAs(fresh, claim)).rejects.toThrow(
        /is the one that invites|there is a datacenter|can't be the name of a datacenter/,
      );
    const agent = await invite('-agent');
    for (const node of ['../x\n', '*', 'web%20', 'x'.repeat(256)])
      await expect(joinAs(agent, 'dc1', node)).rejects.toThrow(/can't be the name of a node/);
    await expect(joinAs(agent, 'dc9')).rejects.toThrow(/for agents of datacenter "dc1"/);
    expect((await joinAs(agent, 'dc1', 'Web-1')).subjectAltName).toContain('DNS:web-1.client.dc1.consul');
    await expect(invite('-agent', '-joining', 'dc3')).rejects.toThrow(/not both/);
  });

  it('takes a right', async () => {
    const { SecretID } = await callAgent<AclToken>(bed.dc1, 'PUT', '/v1/acl/token', { Description: 'nothing' });
    const answer = await bed.dc1.http('PUT', '/v1/operator/federation/invitation', undefined, {
      'x-consul-token': SecretID,
    });
    expect(answer.status).toBe(403);
  });
});
