import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseInvitation } from '../../src/domain/enrolment/invitation-text.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { AclToken } from '../../src/model/acl.ts';
import type { Member } from '../../src/model/member.ts';
import { signAgentCert } from '../../src/pki/agent-certs.ts';
import { createCsr } from '../../src/pki/csr.ts';
import { createIssuer } from '../../src/pki/issuer.ts';
import { generateLeafKey, privateKeyToPem, spkiOf } from '../../src/pki/keys.ts';
import { createTlsMaterial, type TlsMaterial } from '../../src/pki/tls-material.ts';
import { createChannel, type RpcChannel } from '../../src/rpc/transport/channel.ts';
import { enrolWithCertificate, enrolWithFingerprint } from '../../src/rpc/transport/enrol-client.ts';
import { createTlsSecurity } from '../../src/rpc/transport/tls.ts';
import { type Bed, callAgent, isthmus, portOf, startBed, waitFor } from '../harness/index.ts';

/**
 * What is tried here needs running processes with certificates and access control; other attacks have files of their
 * own.
 */

const MANAGEMENT = '5ec2e7aa-0000-4000-8000-00000000dddd';
const AS = { 'x-consul-token': MANAGEMENT };
const folder = mkdtempSync(join(tmpdir(), 'isthmus-attacks-'));
const never = new AbortController().signal;
let bed: Bed;
/** A datacenter that was invited and turns on the others: its authority, and its own server's certificate. */
let rogue: { readonly material: TlsMaterial; of(datacenter: string): TlsMaterial };

async function invite(...args: string[]): Promise<string> {
  const file = join(folder, `invitation${args.join('')}`);
  const command = [
    'federation',
    'invite',
    '-http-addr',
    bed.dc1.ready.http,
    '-token',
    MANAGEMENT,
    '-out',
    file,
    ...args,
  ];
  const made = await isthmus(command);
  expect(made.code, made.err).toBe(0);
  return file;
}

const enrolling = () => ({ address: bed.dc1.ready.serf_wan, datacenter: 'dc1', domain: 'consul' });

async function joinAsRogue(): Promise<typeof rogue> {
  const { fingerprint, secret } = parseInvitation(readFileSync(await invite('-joining', 'dc3'), 'utf8'));
  const key = generateLeafKey();
  const csr = createCsr(key, { uri: 'isthmus:datacenter:dc3' });
  const request = { op: 'join', secret, datacenter: 'dc3', node: 'rogue', csr } as const;
  const { chain, root } = await enrolWithFingerprint(enrolling(), fingerprint, request, systemClock);
  const issuer = createIssuer(chain, key);
  const from = 'the rogue';
  const of = (datacenter: string): TlsMaterial => {
    const own = generateLeafKey();
    const validity = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 };
    const { pem } = signAgentCert(issuer, {
      spki: spkiOf(own),
      role: 'server',
      datacenter,
      domain: 'consul',
      ...validity,
    });
    return createTlsMaterial(
      {
        ca: [{ text: root, from }],
        cert: { text: pem + chain, from },
        key: { text: privateKeyToPem(own), from },
      },
      { minVersion: 'TLSv1.2', ciphers: '' },
    );
  };
  return { material: of('dc3'), of };
}

function dial(material: TlsMaterial): RpcChannel {
  const strict = { verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true };
  const names = { domain: 'consul', datacenter: 'dc3' };
  const security = createTlsSecurity({ material: () => material, policy: () => strict, ...names, clock: systemClock });
  return createChannel({ address: bed.dc1.ready.serf_wan, datacenter: 'dc1', security });
}

beforeAll(async () => {
  const acl = {
    enabled: true,
    default_policy: 'deny',
    enable_token_replication: true,
    tokens: { initial_management: MANAGEMENT, agent: MANAGEMENT, default: MANAGEMENT },
  };
  bed = await startBed({
    config: { acl },
    dc1: { tls: { internal_rpc: { managed: true } } },
    dc2: { retry_join_wan: [] },
    dc2Args: async (dc1) => {
      bed = { dc1 } as Bed; // for the invitation; the rest follows
      return ['-join-invite', await invite()];
    },
  });
  rogue = await joinAsRogue();
});

afterAll(async () => {
  await bed?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('a datacenter that was invited', () => {
  it("takes the place of another one's server with its node ID neither while it is there nor after", async () => {
    const { Member: server } = await callAgent<{ Member: Member }>(bed.dc2, 'GET', '/v1/agent/self');
    const served = (): Promise<unknown> => callAgent(bed.dc1, 'GET', '/v1/catalog/nodes?dc=dc2');
    const channel = dial(rogue.material);
    const stream = channel.link(never);
    const hello = {
      ...{ protocol: 1, datacenter: 'dc3', node: 'dc2-s1', nodeId: server.Tags.id ?? '', epoch: 'e' },
      ...{ wan: { host: '127.0.0.1', port: 1 }, primaryDatacenter: 'dc1', servers: [] },
    };
    stream.send({ message: { case: 'hello', value: hello } });
    const names = async (): Promise<string[]> =>
      (await callAgent<Member[]>(bed.dc1, 'GET', '/v1/agent/members?wan=1')).map(({ Name }) => Name);
    await waitFor(async () => (await names()).includes('dc2-s1.dc3'), { what: 'the liar among the members' });
    expect(await names()).toContain('dc2-s1.dc2');
    expect(await served()).toHaveLength(1);
    for (let n = 0; n < 500; n += 1) stream.send({ message: { case: 'hello', value: { ...hello, nodeId: `n${n}` } } });
    await expect(
      (async () => {
        for await (const { message } of stream.messages) if (message.case === 'refusal') throw new Error('refused');
        throw new Error('ended');
      })(),
    ).rejects.toThrow();
    channel.close();
    await waitFor(async () => !(await names()).includes('dc2-s1.dc3'), { what: 'that the liar is forgotten' });
    expect(await served()).toHaveLength(1);
  });

  it('speaks for itself alone: a Hello in the name of another datacenter is refused', async () => {
    const channel = dial(rogue.material);
    const stream = channel.link(never);
    const wan = { host: '127.0.0.1', port: 1 };
    const hello = { protocol: 1, datacenter: 'dc2', node: 'x', nodeId: 'x', epoch: 'e', wan, primaryDatacenter: 'dc1' };
    stream.send({ message: { case: 'hello', value: { ...hello, servers: [] } } });
    const answer = (async (): Promise<string> => {
      for await (const { message } of stream.messages) if (message.case === 'refusal') return message.value.message;
      return 'ended';
    })();
    expect(await answer).toMatch(/dc3/);
    channel.close();
  });

  it('makes no certificate for another datacenter that anyone takes', async () => {
    const channel = dial(rogue.of('dc1'));
    await expect(channel.link(never).messages[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'unavailable',
    });
    channel.close();
  });

  it("gets no longer life with a server's key alone", async () => {
    const csr = createCsr(generateLeafKey(), { uri: 'isthmus:datacenter:dc3' });
    await expect(
      enrolWithCertificate(enrolling(), rogue.material, { op: 'renew', csr }, systemClock),
    ).rejects.toMatchObject({ code: 'permission_denied', message: expect.stringMatching(/does not prove/) });
  });
});

describe('a token without the right to a service', () => {
  it('registers no proxy for it, at the agent or in the catalog', async () => {
    const rules = 'service_prefix "mine" { policy = "write" } node_prefix "" { policy = "write" }';
    await callAgent(bed.dc1, 'PUT', '/v1/acl/policy', { Name: 'mine', Rules: rules });
    const { SecretID } = await callAgent<AclToken>(bed.dc1, 'PUT', '/v1/acl/token', { Policies: [{ Name: 'mine' }] });
    const as = { 'x-consul-token': SecretID };
    const proxy = (name: string) => ({ DestinationServiceName: name });
    const service = (name: string) => ({ ID: 'p', Kind: 'connect-proxy', Port: 1, Proxy: proxy(name) });
    const node = { Node: 'n', Address: '127.0.0.1' };
    const tries = (name: string) =>
      [
        ['/v1/agent/service/register', { Name: 'mine-proxy', ...service(name) }],
        ['/v1/catalog/register', { ...node, Service: { Service: 'mine-proxy', ...service(name) } }],
      ] as const;
    for (const [path, body] of tries('secretsvc'))
      expect((await bed.dc1.http('PUT', path, body, as)).status, path).toBe(403);
    for (const [path, body] of tries('mine'))
      expect((await bed.dc1.http('PUT', path, body, as)).status, path).toBe(200);
  });
});

/** Connections of one address that say nothing, opened again whenever they are closed. */
async function flood(port: number, count: number): Promise<() => void> {
  const open = new Set<Socket>();
  let flooding = true;
  let connected = 0;
  const one = (): void => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.1' });
    open.add(socket);
    socket.on('connect', () => (connected += 1));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      open.delete(socket);
      if (flooding) setImmediate(one);
    });
  };
  for (let n = 0; n < count; n += 1) one();
  await waitFor(async () => connected >= count, { what: 'the flood' });
  return () => {
    flooding = false;
    for (const socket of open) socket.destroy();
  };
}

const OTHERS = 100;

describe('520 silent connections of one address', () => {
  it.each([
    ['the server port', () => portOf(bed.dc1.ready.server)],
    ['the HTTP API', () => portOf(bed.dc1.ready.http)],
  ])('leave the others served: %s', async (what, portAt) => {
    const port = portAt();
    const end = await flood(port, 520);
    const ask = async (at: number): Promise<boolean> => {
      const raw = connect({ port, host: '127.0.0.1', localAddress: `127.0.3.${at + 1}` });
      const socket =
        what === 'the HTTP API'
          ? raw
          : connectTls({
              socket: raw,
              secureContext: rogue.material.context,
              ALPNProtocols: ['h2'],
              checkServerIdentity: () => undefined,
            });
      socket.on('error', () => undefined);
      if (socket === raw) socket.write('GET /v1/status/leader HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      // A server speaks first once it has taken a certificate.
      const said = await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => []);
      socket.destroy();
      raw.destroy();
      return said.length > 0 && said[0] instanceof Buffer;
    };
    const served = await Promise.all(Array.from({ length: OTHERS }, (_, at) => ask(at)));
    end();
    expect(served.filter(Boolean).length).toBeGreaterThanOrEqual(OTHERS * 0.95);
  });
});

describe("a visitor's browser", () => {
  const path = '/v1/connect/intentions/exact?source=a&destination=b';
  const put = (headers: Readonly<Record<string, string>>) =>
    bed.dc1.http('PUT', path, { Action: 'deny' }, { ...AS, ...headers });

  it('changes nothing for a page of another origin, and reads nothing under a foreign name', async () => {
    const form = 'application/x-www-form-urlencoded';
    expect((await put({})).status).toBe(200);
    for (const headers of [
      { origin: 'https://attacker.example' },
      { origin: 'null', 'content-type': form },
      { 'sec-fetch-site': 'cross-site', 'content-type': 'text/plain' },
      { host: 'attacker.example' },
    ])
      expect((await put(headers)).status, JSON.stringify(headers)).toBe(403);
    const read = await bed.dc1.http('GET', '/v1/catalog/nodes', undefined, { ...AS, host: 'attacker.example:8500' });
    expect(read.status).toBe(403);
  });

  it('and checks lead to no other host, and to no address where clouds answer', async () => {
    let hits = 0;
    const inner = await listen(
      createServer((_request, answer) => {
        hits += 1;
        answer.end();
      }),
      '127.0.0.2',
    );
    const outer = await listen(
      createServer(
        (_request, answer) => void answer.writeHead(302, { location: `http://127.0.0.2:${inner.port}/` }).end(),
      ),
      '127.0.0.1',
    );
    const register = (ID: string, HTTP: string) =>
      bed.dc1.http('PUT', '/v1/agent/check/register', { ID, Name: ID, HTTP, Interval: '1s', Timeout: '1s' }, AS);
    await register('redirected', `http://127.0.0.1:${outer.port}/`);
    await register('metadata', 'http://169.254.169.254/latest/meta-data/');
    type Checks = Record<string, { Status: string; Output: string }>;
    const outputs = await waitFor(
      async () => {
        const checks = await callAgent<Checks>(bed.dc1, 'GET', '/v1/agent/checks');
        const pair = [checks.redirected, checks.metadata];
        return pair.every((check) => check !== undefined && check.Output !== '') ? pair : undefined;
      },
      { what: 'the results of both checks' },
    );
    expect(outputs.map((check) => check?.Status)).toEqual(['critical', 'critical']);
    expect(outputs[1]?.Output).toMatch(/link-local/);
    expect(hits).toBe(0);
    for (const { server } of [inner, outer]) server.close();
  });
});

async function listen(server: Server, host: string): Promise<{ readonly server: Server; readonly port: number }> {
  server.listen(0, host);
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}
