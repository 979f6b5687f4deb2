import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatSpiffe, trustDomainOf } from '../../src/model/spiffe.ts';
import { parseChain } from '../../src/pki/certificate.ts';
import { encodeUriName } from '../../src/pki/extensions.ts';
import { createIssuer, createRoot, type Issuer, selfSign } from '../../src/pki/issuer.ts';
import { generateLeafKey, privateKeyToPem, spkiOf } from '../../src/pki/keys.ts';
import {
  type AgentProcess,
  ask,
  assertNoneLeft,
  type Bed,
  callAgent,
  httpRequest,
  type MeshService,
  portOf,
  startBed,
  waitFor,
} from '../harness/index.ts';

const CLUSTER_ID = '0b5ac0de-aaaa-bbbb-cccc-444455556666';
const DAY = 86_400_000;

/** A CA whose key the test has: it can sign what the product never would. */
function makeRoot(clusterId: string): { readonly key: KeyObject; readonly pem: string; readonly issuer: Issuer } {
  const key = generateLeafKey();
  const now = Date.now();
  const uri = formatSpiffe({ kind: 'signing', trustDomain: trustDomainOf(clusterId) });
  const pem = createRoot({ key, commonName: 'test root', uri, notBefore: now - DAY, notAfter: now + 100 * DAY });
  return { key, pem, issuer: createIssuer(pem, key) };
}

describe('bad input to running processes', () => {
  let bed: Bed;
  let web: MeshService;
  let db: MeshService;
  const root = makeRoot(CLUSTER_ID);
  const stranger = makeRoot(CLUSTER_ID);

  beforeAll(async () => {
    const ca = { cluster_id: CLUSTER_ID, private_key: privateKeyToPem(root.key), root_cert: root.pem };
    bed = await startBed({ dc1: { connect: { ca_config: ca } } });
    ({ web, db } = await bed.webToDb());
  });
  afterAll(async () => {
    await bed?.stop();
    await assertNoneLeft();
  });

  /**
   * Connects to db's sidecar with a certificate for `web`; resolves with what it answered, '' when it let nothing
   * through.
   */
  async function askWith(options: {
    issuer?: Issuer;
    clusterId?: string;
    notBefore?: number;
    notAfter?: number;
    /** As it stands in the certificate, in any case. */
    service?: string;
    /** Certificates that are shown after the leaf. */
    above?: string;
  }): Promise<string> {
    const key = generateLeafKey();
    const trustDomain = trustDomainOf(options.clusterId ?? CLUSTER_ID);
    const { pem } = (options.issuer ?? root.issuer).signLeaf({
      spki: spkiOf(key),
      uri: `spiffe://${trustDomain}/ns/default/dc/dc1/svc/${options.service ?? 'web'}`,
      commonName: 'web',
      notBefore: options.notBefore ?? Date.now() - 60_000,
      notAfter: options.notAfter ?? Date.now() + DAY,
    });
    const socket = connectTls({
      port: db.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      cert: pem + (options.above ?? ''),
      key: privateKeyToPem(key),
    });
    return answerOf(socket, 'hello\n');
  }

  async function refusals(reason: string): Promise<number> {
    const { body } = await httpRequest(`http://${db.sidecar.ready.metrics}/metrics`);
    const line = new RegExp(
      `^isthmus_sidecar_refused_total\\{direction="inbound",reason="${reason}"\\} ([0-9]+)$`,
      'm',
    );
    return Number(line.exec(body)?.[1] ?? 0);
  }

  it('lets a good certificate of the same CA through, so that the bad ones fail for what is bad in them', async () => {
    expect(await askWith({})).toContain('db:');
  });

  it.each([
    ['expired', { notBefore: Date.now() - 2 * DAY + DAY / 2, notAfter: Date.now() - DAY / 2 }],
    ['not_yet_valid', { notBefore: Date.now() + DAY / 2 }],
    ['wrong_trust_domain', { clusterId: '0b5ac0de-0000-0000-0000-444455556666' }],
    ['untrusted', { issuer: stranger.issuer }],
  ] as const)(
    'a client with a certificate that is %s is refused, counted, and logged once',
    async (reason, options) => {
      const before = await refusals(reason);
      for (let at = 0; at < 3; at += 1) expect(await askWith(options)).toBe('');
      await waitFor(async () => (await refusals(reason)) === before + 3, { what: `3 refusals as ${reason}` });
      // The log is another file's business: its line may come after the metric.
      const told = (): string[] => linesOf(db.sidecar.log(), `"reason":"${reason}"`);
      await waitFor(async () => told().length > 0, { what: 'the line in the log' });
      expect(told()).toHaveLength(1);
      expect(await ask(web.upstreamPort, 'and the others?')).toContain('db:');
    },
  );

  it('a deny holds for a certificate that spells the name in another case', async () => {
    expect(await askWith({ service: 'MALLORY' })).toContain('db:');
    await callAgent(bed.dc1, 'PUT', '/v1/connect/intentions/exact?source=mallory&destination=db', { Action: 'deny' });
    for (const service of ['mallory', 'MALLORY', 'Mallory', '%4dallory'])
      await waitFor(async () => (await askWith({ service })) === '', { what: `the refusal of ${service}` });
    for (const service of ['*', 'web%20', '..%5cweb', 'a'.repeat(256)]) expect(await askWith({ service })).toBe('');
    expect(await askWith({})).toContain('db:');
  });

  it("a datacenter's intermediate names services of its own datacenter alone", async () => {
    const trustDomain = trustDomainOf(CLUSTER_ID);
    const key = generateLeafKey();
    const validity = { notBefore: Date.now() - 60_000, notAfter: Date.now() + DAY };
    const intermediate = (datacenter: string): string =>
      root.issuer.signCa({
        spki: spkiOf(key),
        uri: formatSpiffe({ kind: 'signing', trustDomain, datacenter }),
        commonName: 'sec-test',
        pathLength: 0,
        permittedUriHost: trustDomain,
        ...validity,
      }).pem;
    const [own, other] = [intermediate('dc1'), intermediate('dc2')];
    expect(await askWith({ issuer: createIssuer(own, key), above: own })).toContain('db:');
    // Signed by dc2 for dc1/web; also with a certificate of the same key before it that claims to be of dc1.
    const claim = selfSign({ key, commonName: 'sec-test', ...validity }, [
      encodeUriName(formatSpiffe({ kind: 'signing', trustDomain, datacenter: 'dc1' })),
    ]);
    const before = await refusals('untrusted');
    for (const above of [other, claim + other, other + claim])
      expect(await askWith({ issuer: createIssuer(other, key), above })).toBe('');
    await waitFor(async () => (await refusals('untrusted')) === before + 3, { what: '3 refusals' });

    const leaf = await callAgent<{ CertPEM: string }>(bed.dc2, 'GET', '/v1/agent/connect/ca/leaf/db');
    expect(parseChain(leaf.CertPEM)[1]?.uris).toEqual([`spiffe://${trustDomain}/ca/dc/dc2`]);
    expect(await ask(web.upstreamPort, 'and the others?')).toContain('db:');
  });

  it('a client without a certificate, one that speaks plain text, and one that only looks, are refused', async () => {
    const bare = connectTls({ port: db.port, host: '127.0.0.1', rejectUnauthorized: false });
    expect(await answerOf(bare, 'hello\n')).toBe('');
    for (const text of [
      'GET / HTTP/1.1\r\nHost: db\r\n\r\n',
      'SSH-2.0-OpenSSH_9.0\r\n',
      '\u0000\u0001\u0002garbage\n'.repeat(50),
    ])
      expect(await answerOf(connectTcp(db.port, '127.0.0.1'), text)).not.toContain('db:');
    await waitFor(async () => (await refusals('no_certificate')) === 1 && (await refusals('plain_text')) >= 2, {
      what: 'the refusals being counted',
    });
    const hungUp = await refusals('hung_up');
    const look = connectTcp(db.port, '127.0.0.1');
    await once(look, 'connect');
    look.end();
    await waitFor(async () => (await refusals('hung_up')) > hungUp, { what: 'the look being counted', timeout: 3_000 });
    expect(linesOf(db.sidecar.log(), '"reason":"hung_up"')).toEqual([]);
    expect(await ask(web.upstreamPort, 'and the others?')).toContain('db:');
  });

  it('garbage on the ports of servers is refused, counted, and logged once for each peer', async () => {
    const { dc1 } = bed;
    for (const port of [dc1.ready.server, dc1.ready.serf_wan, dc1.ready.serf_lan].map(portOf)) {
      for (const text of ['GET / HTTP/1.1\r\n\r\n', 'nonsense\n', '\u0016\u0003\u0001\u0002\u0000\u0001'])
        await answerOf(connectTcp(port, '127.0.0.1'), text);
      const broken = connectTcp(port, '127.0.0.1');
      // A good beginning, and then frames that are none.
      await answerOf(broken, `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'\u00ff'.repeat(200)}`);
    }
    const counted = async (): Promise<number> => {
      const { body } = await dc1.http('GET', '/v1/agent/metrics?format=prometheus');
      const lines = body.match(/^isthmus_rpc_refused_connections_total\{.*\} [0-9]+$/gm) ?? [];
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    };
    await waitFor(async () => (await counted()) >= 9, { what: 'nine refusals' });
    expect(linesOf(dc1.log(), 'refused a connection').length).toBeLessThanOrEqual(3);
    await stillWell(bed);
  });

  it('malformed and oversized requests are answered, and slow clients are let go', async () => {
    const { dc1 } = bed;
    for (const body of ['{', '[1,2', '"text"', '{"Name": {"a": 1}}', '\u0000', 'null']) {
      const { status } = await dc1.http('PUT', '/v1/agent/service/register', body);
      expect(status, body).toBe(400);
    }
    expect((await dc1.http('PUT', '/v1/config', `{"Kind":"${'x'.repeat(600_000)}"}`)).status).toBe(413);
    expect((await dc1.http('PUT', '/v1/connect/intentions/exact?source=a&destination=b', '[')).status).toBe(400);
    expect((await dc1.http('PUT', '/v1/connect/ca/configuration', '{"Config":1}')).status).toBe(400);
    const port = portOf(dc1.ready.http);
    expect(await answerOf(connectTcp(port, '127.0.0.1'), 'nonsense\r\n\r\n')).toContain('400');
    const headers = `GET /v1/status/leader HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(64_000)}\r\n\r\n`;
    expect(await answerOf(connectTcp(port, '127.0.0.1'), headers)).toContain('431');
    expect(await answerOf(connectTcp(port, '127.0.0.1'), '\u0016\u0003\u0001\u0002\u0000\u0001\u0000')).not.toContain(
      '200',
    );

    // A hundred clients that send a byte and wait: others are answered meanwhile, and each is let go after its time.
    const slow = Array.from({ length: 100 }, () => connectTcp(port, '127.0.0.1'));
    const gone = slow.map(
      (socket) =>
        new Promise<void>((resolve) => {
          socket.on('error', () => undefined);
          socket.on('connect', () => socket.write('GET /v1/agent/self HT'));
          socket.on('close', () => resolve());
          socket.resume();
        }),
    );
    await stillWell(bed);
    await Promise.all(gone);
    const { body } = await dc1.http('GET', '/v1/agent/metrics?format=prometheus');
    const refused = (reason: string): number =>
      Number(new RegExp(`^isthmus_http_refused_total\\{reason="${reason}"\\} ([0-9]+)$`, 'm').exec(body)?.[1] ?? 0);
    expect(refused('malformed')).toBeGreaterThan(0);
    expect(refused('headers-too-large')).toBeGreaterThan(0);
    expect(refused('too-slow')).toBeGreaterThanOrEqual(100);
    expect(linesOf(dc1.log(), '"level":"error"')).toEqual([]);
  }, 40_000);
});

async function stillWell({ agents }: Bed): Promise<void> {
  for (const agent of agents) {
    expect(agent.running).toBe(true);
    const known = await callAgent<readonly string[]>(agent as AgentProcess, 'GET', '/v1/catalog/datacenters');
    expect(known).toHaveLength(2);
  }
}

/** What comes back before the other side closes, or before it has answered as db does. */
function answerOf(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    socket.on('error', () => undefined); // a reset is a refusal too
    socket.on('close', () => resolve(answer));
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString();
      if (answer.includes('db:')) socket.destroy();
    });
    socket.on('end', () => socket.end());
    socket.write(Buffer.from(text, 'latin1'));
  });
}

function linesOf(log: string, part: string): string[] {
  return log.split('\n').filter((line) => line.includes(part));
}
