import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import type { Engine, Txn } from '../../src/store/engine.ts';
import { type EtcdEngineOptions, openEtcdEngine } from '../../src/store/etcd/etcd-engine.ts';
import { etcdMeters } from '../../src/store/etcd/meters.ts';
import { type Logger, noLog, noMetrics } from '../../src/telemetry/types.ts';
import { assertNoneLeft, type EtcdCluster, startEtcd, waitFor, withoutEtcd } from '../harness/index.ts';

const WRITE: Txn = { compare: [], ops: [{ type: 'put', key: 'a', value: '1' }] };
const PASSWORD = 'open-sesame-4711';

function openssl(...args: string[]): void {
  const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`);
}

/** A CA and a certificate that it signed, for an address as server and as client. */
function certificate(folder: string, name: string, address = '127.0.0.1'): { ca: string; cert: string; key: string } {
  const at = (file: string): string => join(folder, `${name}-${file}`);
  const [ca, caKey, cert, key, csr, extensions] = ['ca.pem', 'ca.key', 'cert.pem', 'key.pem', 'csr', 'ext'].map(at) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...ec, '-keyout', caKey, '-out', ca, '-subj', `/CN=${name} CA`, '-days', '2');
  openssl('req', ...ec, '-keyout', key, '-out', csr, '-subj', `/CN=${name}`);
  writeFileSync(extensions, `subjectAltName=IP:${address},DNS:etcd\nextendedKeyUsage=serverAuth,clientAuth\n`);
  const signed = ['-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-out', cert, '-days', '2', '-extfile', extensions];
  openssl('x509', '-req', '-in', csr, ...signed);
  return { ca, cert, key };
}

// Skipped only where there is no etcd, which says so; in CI that is an error.
describe.skipIf(withoutEtcd() !== undefined)('the etcd engine and who may use etcd', () => {
  let folder: string;
  let etcd: EtcdCluster | undefined;
  const engines: Engine[] = [];
  const lines: string[] = [];
  const log: Logger = {
    ...noLog,
    warn: (message, fields) => void lines.push(`${message} ${JSON.stringify(fields)}`),
    info: (message, fields) => void lines.push(`${message} ${JSON.stringify(fields)}`),
  };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'isthmus-etcd-tls-'));
  });

  afterEach(async () => {
    await Promise.all(engines.splice(0).map((engine) => engine.close()));
    await etcd?.stop();
    lines.length = 0;
    await assertNoneLeft();
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  const open = async (options: Partial<EtcdEngineOptions>): Promise<Engine> => {
    const common = { prefix: 'allowed/dc1', clock: systemClock, log, meters: etcdMeters(noMetrics, []) };
    const engine = await openEtcdEngine({ endpoints: etcd?.endpoints ?? [], ...common, ...options });
    engines.push(engine);
    return engine;
  };

  it('shows and checks certificates', { timeout: 120_000 }, async () => {
    const server = certificate(folder, 'server');
    const stranger = certificate(folder, 'stranger');
    etcd = await startEtcd({ tls: { certFile: server.cert, keyFile: server.key, clientCaFile: server.ca } });
    const tls = { caFile: server.ca, certFile: server.cert, keyFile: server.key };
    const engine = await open({ tls });
    expect((await engine.txn(WRITE)).succeeded).toBe(true);

    // Another authority and other certificates, in the same files.
    const renewed = certificate(folder, 'renewed');
    for (const name of ['ca', 'cert', 'key'] as const) copyFileSync(renewed[name], server[name]);
    const [member] = etcd.members;
    await member?.kill9();
    await member?.restart();
    await waitFor(async () => (await engine.txn(WRITE)).succeeded, { what: 'a write with the renewed certificates' });

    for (const wrong of [
      { ...tls, certFile: stranger.cert, keyFile: stranger.key },
      { ...tls, caFile: stranger.ca },
    ]) {
      lines.length = 0;
      const given = new AbortController();
      const failed = open({ tls: wrong, signal: given.signal }).catch((error: unknown) => error);
      await waitFor(
        async () => lines.some((line) => /waiting for etcd .*(certificate|alert|reset|handshake)/i.test(line)),
        {
          what: 'the line that tells why',
        },
      );
      given.abort();
      expect(await failed).toMatchObject({ code: 'cancelled' });
    }
    // A member at another address than its certificate says.
    const elsewhere = certificate(folder, 'elsewhere', '127.0.0.9');
    const files = { key: readFileSync(elsewhere.key), cert: readFileSync(elsewhere.cert), ALPNProtocols: ['h2'] };
    const liar = createServer(files, (socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    await once(liar, 'listening');
    lines.length = 0;
    const given = new AbortController();
    const failed = open({
      endpoints: [`https://127.0.0.1:${(liar.address() as AddressInfo).port}`],
      tls: { ...tls, caFile: elsewhere.ca },
      signal: given.signal,
    }).catch((error: unknown) => error);
    await waitFor(async () => lines.some((line) => /IP: 127\.0\.0\.1 is not in the cert's list/.test(line)), {
      what: 'the line that tells why',
    });
    given.abort();
    expect(await failed).toMatchObject({ code: 'cancelled' });
    liar.close();

    const gone = join(folder, 'none.pem');
    await expect(open({ tls: { ...tls, caFile: gone } })).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(gone),
    });
  });

  it('says who it is, and again when etcd has forgotten it', { timeout: 120_000 }, async () => {
    etcd = await startEtcd();
    etcd.ctl('user', 'add', `root:${PASSWORD}`);
    etcd.ctl('user', 'add', `isthmus:${PASSWORD}`);
    etcd.ctl('user', 'grant-role', 'root', 'root');
    etcd.ctl('role', 'add', 'mesh');
    etcd.ctl('role', 'grant-permission', 'mesh', 'readwrite', '--prefix', 'allowed/');
    etcd.ctl('user', 'grant-role', 'isthmus', 'mesh');
    etcd.ctl('auth', 'enable');
    const user = { username: 'isthmus', password: PASSWORD };
    const engine = await open(user);
    const ending = new AbortController();
    let seen = 0;
    const watching = (async () => {
      for await (const _ of engine.watch({ prefix: '', fromRevision: 1, signal: ending.signal })) seen += 1;
    })().catch(() => undefined);
    await engine.txn(WRITE);
    await waitFor(async () => seen === 1, { what: 'the watch to begin' });
    const lease = await engine.grantLease(60_000);
    await engine.keepLease(lease.id);
    await engine.compact(1);

    const [member] = etcd.members;
    await member?.kill9(); // its tokens were in its memory
    await member?.restart();
    expect((await engine.txn(WRITE)).succeeded).toBe(true);
    await waitFor(async () => seen === 2, { what: 'the watch to go on' });
    ending.abort();
    await watching;

    const refused = (options: Partial<EtcdEngineOptions>): Promise<unknown> =>
      open(options).catch((error: Error) => error.message);
    expect(await refused({})).toContain('it wants a user');
    expect(await refused({ ...user, password: 'wrong' })).toContain('it refuses "storage.etcd.username"');
    expect(await refused({ ...user, prefix: 'elsewhere' })).toContain('may not read and write below');
    expect(lines.join('\n')).not.toContain(PASSWORD);
  });
});
