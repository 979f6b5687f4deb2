import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ConnectionOptions,
  connect as connectTls,
  createServer as createTlsServer,
  type TLSSocket,
} from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { denying, FakeAuthority, type LeafOptions } from '../../test/fakes/fake-mesh.ts';
import { dial, ending, exchange, holdOpen, listening, portOf, SidecarBench } from '../../test/fakes/sidecar-bench.ts';
import { compileMesh } from '../model/layer7/mesh-settings.ts';
import type { SidecarLeaf } from '../model/sidecar.ts';

let bench: SidecarBench;
beforeEach(() => {
  bench = new SidecarBench();
});
afterEach(() => bench.close());

const HOUR_MS = 3_600_000;

/** Connects as a proxy of another make: mutual TLS, no tunnels. */
function proxy(
  address: string,
  leaf: SidecarLeaf | undefined,
  options: { alpn?: readonly string[]; tls12?: boolean } = {},
): TLSSocket {
  // Node knows `allowHalfOpen` here, its types don't.
  const settings: ConnectionOptions & { allowHalfOpen: boolean } = {
    allowHalfOpen: true,
    host: '127.0.0.1',
    port: portOf(address),
    ca: [bench.ca.rootPem],
    checkServerIdentity: () => undefined,
    ...(leaf === undefined ? {} : { cert: leaf.certPem, key: leaf.keyPem }),
    ...(options.alpn === undefined ? {} : { ALPNProtocols: [...options.alpn] }),
    ...(options.tls12 === true ? { maxVersion: 'TLSv1.2' } : {}),
  };
  const socket = connectTls(settings);
  socket.on('error', () => undefined);
  return socket;
}

async function ended(socket: TLSSocket): Promise<void> {
  socket.resume();
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
}

async function read(socket: TLSSocket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

describe('inbound, one connection each', () => {
  it('serves TLS 1.3 and 1.2 and keeps half-closed connections', async () => {
    const db = await bench.db(await bench.echo());
    for (const tls12 of [false, true]) {
      const socket = proxy(db.address, bench.ca.leaf('web', 'dc1'), { tls12 });
      await once(socket, 'secureConnect');
      expect(socket.getProtocol()).toBe(tls12 ? 'TLSv1.2' : 'TLSv1.3');
      socket.end('hello');
      expect(await read(socket)).toBe('hello');
    }
  });

  it('speaks the versions of TLS and the ciphers of the mesh entry, from its change on', async () => {
    const cipher = 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384';
    const mesh = (Incoming: object) => ({ protocol: 'tcp', mesh: compileMesh({ Kind: 'mesh', TLS: { Incoming } }) });
    const db = await bench.db(await bench.echo(), { parts: { inbound: mesh({ TLSMinVersion: 'TLSv1_3' }) } });
    const agreed = async (tls12: boolean): Promise<string> => {
      const socket = proxy(db.address, bench.ca.leaf('web', 'dc1'), { tls12 });
      const told = await Promise.race([
        once(socket, 'secureConnect').then(() => `${socket.getProtocol()} ${socket.getCipher().standardName}`),
        once(socket, 'close').then(() => 'refused'),
      ]).catch(() => 'refused');
      socket.destroy();
      return told;
    };
    expect(await agreed(true)).toBe('refused');
    expect(await agreed(false)).toContain('TLSv1.3');
    await db.source.put({ inbound: mesh({ TLSMaxVersion: 'TLSv1_2', CipherSuites: [cipher] }) });
    expect(await agreed(true)).toBe(`TLSv1.2 ${cipher}`);
    expect(await agreed(false)).toBe(`TLSv1.2 ${cipher}`);
  });

  it('agrees on a protocol with peers that insist on one', async () => {
    const db = await bench.db(await bench.echo());
    for (const [alpn, agreed] of [
      [['h2', 'http/1.1'], 'http/1.1'],
      [['h2'], 'h2'],
    ] as const) {
      const socket = proxy(db.address, bench.ca.leaf('web', 'dc1'), { alpn });
      await once(socket, 'secureConnect');
      expect(socket.alpnProtocol).toBe(agreed);
      socket.end('hello');
      expect(await read(socket)).toBe('hello');
    }
  });

  it('serves openssl s_client', async () => {
    const db = await bench.db(await bench.echo());
    const leaf = bench.ca.leaf('web', 'dc1');
    const dir = await mkdtemp(join(tmpdir(), 'sidecar-'));
    try {
      const file = async (name: string, text: string): Promise<string> => {
        await writeFile(join(dir, name), text);
        return join(dir, name);
      };
      const cert = await file('cert.pem', leaf.certPem);
      const key = await file('key.pem', leaf.keyPem);
      const roots = await file('roots.pem', bench.ca.rootPem);
      const args = ['s_client', '-connect', db.address, '-cert', cert, '-key', key, '-CAfile', roots];
      const client = spawn('openssl', [...args, '-verify_return_error', '-quiet'], {
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      client.stdin.write('hello\n');
      const [answer] = (await once(client.stdout, 'data')) as [Buffer];
      expect(answer.toString()).toBe('hello\n');
      const exited = once(client, 'exit');
      client.kill();
      await exited;
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('refuses and closes what an intention denies, open ones too', async () => {
    const db = await bench.db(await bench.echo());
    const web = proxy(db.address, bench.ca.leaf('web', 'dc1'));
    web.write('x');
    await once(web, 'data');
    const failed = ended(web);
    await db.source.put({ verdicts: denying('web') });
    await failed;
    await ended(proxy(db.address, bench.ca.leaf('web', 'dc1')));
    expect(db.log.refusals()).toMatchObject([{ reason: 'denied', precedence: 9 }]);
    expect(db.sidecar.stats()).toMatchObject({ closedByChange: 1, refused: { denied: 1 } });
  });

  const refusals: readonly (readonly [string, string, string, LeafOptions])[] = [
    ['an expired certificate', 'expired', 'web', { notBefore: Date.now() - HOUR_MS, notAfter: Date.now() - 60_000 }],
    [
      'one not yet valid',
      'not_yet_valid',
      'web',
      { notBefore: Date.now() + HOUR_MS, notAfter: Date.now() + 2 * HOUR_MS },
    ],
    ['another trust domain below the same root', 'wrong_trust_domain', 'web', { trustDomain: 'other.consul' }],
    [
      'an agent',
      'bad_identity',
      'web',
      { uri: 'spiffe://11111111-2222-3333-4444-555555555555.consul/agent/client/dc/dc1/id/n' },
    ],
    ['no SPIFFE identity', 'bad_identity', 'web', { uri: 'https://web.example' }],
  ];
  it.each(refusals)('refuses %s, logs it once and goes on', async (_name, reason, service, options) => {
    const db = await bench.db(await bench.echo());
    const leaf = bench.ca.leaf(service, 'dc1', options);
    await ended(proxy(db.address, leaf));
    await ended(proxy(db.address, leaf));
    expect(db.sidecar.stats().refused).toEqual({ [reason]: 2 });
    expect(db.log.refusals()).toMatchObject([{ reason, direction: 'inbound', source: leaf.uri }]);
    const good = proxy(db.address, bench.ca.leaf('web', 'dc1'));
    good.end('hello');
    expect(await read(good)).toBe('hello');
  });

  it('refuses a certificate of another root, and none at all', async () => {
    const db = await bench.db(await bench.echo());
    const stranger = new FakeAuthority(bench.ca.trustDomain).leaf('web', 'dc1');
    await ended(proxy(db.address, stranger));
    await ended(proxy(db.address, undefined));
    expect(db.sidecar.stats().refused).toEqual({ untrusted: 1, no_certificate: 1 });
    expect(db.log.refusals()[0]).toMatchObject({ reason: 'untrusted', source: stranger.uri });
  });

  it('refuses what another datacenter than its own has signed', async () => {
    const db = await bench.db(await bench.echo());
    const good = proxy(db.address, bench.ca.leaf('web', 'dc1', { signedBy: 'dc1' }));
    good.end('hello');
    expect(await read(good)).toBe('hello');
    const forged = bench.ca.leaf('web', 'dc1', { signedBy: 'dc2' });
    await ended(proxy(db.address, forged));
    await ended(proxy(db.address, forged, { tls12: true }));
    expect(db.sidecar.stats().refused).toEqual({ untrusted: 2 });
    expect(db.log.refusals()[0]).toMatchObject({
      reason: 'untrusted',
      source: forged.uri,
      error: expect.stringContaining('its identity is of datacenter "dc1", and its issuer may sign for "dc2" alone'),
    });
  });

  it('refuses plain text, notices who hangs up, and bounds slow handshakes', async () => {
    const db = await bench.db(await bench.echo(), { limits: { handshakeTimeoutMs: 100, maxPendingHandshakes: 2 } });
    const talk = async (text: string): Promise<void> => {
      const socket = connectTcp({ host: '127.0.0.1', port: portOf(db.address) });
      socket.on('error', () => undefined);
      socket.write(text);
      socket.resume();
      await once(socket, 'close');
    };
    await talk('GET / HTTP/1.1\r\nhost: db\r\n\r\n');
    await talk('SSH-2.0-client\r\n');
    const silent = Array.from({ length: 3 }, () => {
      const socket = connectTcp({ host: '127.0.0.1', port: portOf(db.address) });
      socket.on('error', () => undefined);
      socket.resume();
      return once(socket, 'close');
    });
    await Promise.all(silent);
    expect(db.sidecar.stats().refused).toMatchObject({ plain_text: 2, handshake_timeout: 2, limit: 1 });
    const good = proxy(db.address, bench.ca.leaf('web', 'dc1'));
    good.end('hello');
    expect(await read(good)).toBe('hello');
  });

  it('resets the caller when the application does not answer', async () => {
    const db = await bench.db(1); // nothing listens there
    await ended(proxy(db.address, bench.ca.leaf('web', 'dc1')));
    expect(db.sidecar.stats().refused).toEqual({ local_unreachable: 1 });
  });
});

describe('outbound to a TLS server that knows no tunnels', () => {
  async function server(alpn?: string[], leaf = bench.ca.leaf('db', 'dc2')): Promise<string> {
    const tls = createTlsServer(
      {
        cert: leaf.certPem,
        key: leaf.keyPem,
        ca: [bench.ca.rootPem],
        requestCert: true,
        allowHalfOpen: true,
        ...(alpn === undefined ? {} : { ALPNProtocols: alpn }),
      },
      (socket) => {
        socket.on('error', () => undefined);
        socket.pipe(socket);
      },
    );
    const sockets = new Set<Socket>();
    tls.on('connection', (socket: Socket) => sockets.add(socket));
    const port = await listening(tls);
    bench.defer(() => {
      for (const socket of sockets) socket.destroy(); // half-open ones of refused handshakes among them
      return new Promise((resolve) => void tls.close(() => resolve()));
    });
    return `127.0.0.1:${port}`;
  }

  it.each([
    ['without protocols', undefined],
    ['that insists on its own', ['h2']],
  ])('reaches one %s', async (_name, alpn) => {
    const web = await bench.web([await server(alpn)]);
    const texts = Array.from({ length: 20 }, (_, n) => `connection ${n}`);
    expect((await Promise.all(texts.map((text) => exchange(web.address, text)))).map(String)).toEqual(texts);
    expect(web.sidecar.stats().outbound).toEqual({ connections: 0, tunnels: 0 });
    expect(web.sidecar.stats().refused).toEqual({});
  });

  it('refuses one that another datacenter than its own has signed', async () => {
    const good = await bench.web([await server(undefined, bench.ca.leaf('db', 'dc2', { signedBy: 'dc2' }))]);
    expect(String(await exchange(good.address, 'hello'))).toBe('hello');
    const web = await bench.web([await server(undefined, bench.ca.leaf('db', 'dc2', { signedBy: 'dc3' }))]);
    expect(await ending(dial(web.address))).toBe('reset');
    expect(web.log.refusals()[0]).toMatchObject({ reason: 'untrusted', direction: 'outbound' });
  });

  it('reaches openssl s_server', async () => {
    const leaf = bench.ca.leaf('db', 'dc2');
    const dir = await mkdtemp(join(tmpdir(), 'sidecar-'));
    await writeFile(join(dir, 'all.pem'), leaf.certPem + leaf.keyPem);
    await writeFile(join(dir, 'roots.pem'), bench.ca.rootPem);
    const files = ['-cert', join(dir, 'all.pem'), '-CAfile', join(dir, 'roots.pem')];
    const args = ['s_server', '-accept', '127.0.0.1:0', ...files, '-Verify', '2', '-verify_return_error', '-rev'];
    const openssl = spawn('openssl', args, { stdio: ['pipe', 'pipe', 'ignore'] });
    try {
      let output = '';
      while (!/ACCEPT 127\.0\.0\.1:\d+/.test(output)) output += String((await once(openssl.stdout, 'data'))[0]);
      const port = /ACCEPT 127\.0\.0\.1:(\d+)/.exec(output)?.[1] ?? '';
      const web = await bench.web([`127.0.0.1:${port}`]);
      const socket = dial(web.address);
      socket.write('hello\n');
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(answer.toString()).toBe('olleh\n');
      socket.destroy();
    } finally {
      const exited = once(openssl, 'exit');
      openssl.kill();
      await exited;
      await rm(dir, { recursive: true });
    }
  });

  it('passes a reset on in both directions', async () => {
    const port = await bench.app((socket) => void socket.once('data', () => socket.resetAndDestroy()));
    const db = await bench.db(port);
    const web = proxy(db.address, bench.ca.leaf('web', 'dc1'));
    const failed = new Promise<Error>((resolve) => web.once('error', resolve));
    web.write('x');
    expect((await failed).message).toContain('ECONNRESET');
    const appEnd: Promise<'end' | 'reset'>[] = [];
    const other = await bench.db(
      await bench.app((socket) => {
        appEnd.push(ending(socket));
        socket.write('x');
      }),
    );
    const sidecar = await bench.web([other.address]);
    const socket = await holdOpen(sidecar.address);
    socket.resetAndDestroy();
    expect(await appEnd[0]).toBe('reset');
  });
});
