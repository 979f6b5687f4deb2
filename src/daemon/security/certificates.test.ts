import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CertOptions, TestAuthority } from '../../../test/fakes/agent-certificates.ts';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import type { TlsConfig, TlsSection } from '../../config/types.ts';
import { type Logger, noLog, noMetrics } from '../../telemetry/types.ts';
import { Certificates } from './certificates.ts';

const authority = new TestAuthority();
let folder: string;
let clock: FakeClock;
let lines: { level: string; message: string; fields: Record<string, unknown> }[];
let running: Certificates | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'isthmus-certificates-'));
  clock = new FakeClock(Date.now());
  lines = [];
});

afterEach(async () => {
  await running?.stop();
  running = undefined;
  rmSync(folder, { recursive: true });
});

const log: Logger = {
  ...noLog,
  info: (message, fields) => lines.push({ level: 'info', message, fields: { ...fields } }),
  warn: (message, fields) => lines.push({ level: 'warn', message, fields: { ...fields } }),
  error: (message, fields) => lines.push({ level: 'error', message, fields: { ...fields } }),
  child: () => log,
};

const NONE: TlsSection = {
  caFile: '',
  caPath: '',
  certFile: '',
  keyFile: '',
  verifyIncoming: false,
  minVersion: 'TLSv1.2',
  ciphers: '',
};

function write(options: CertOptions = {}): void {
  const { cert, key } = authority.make('server', options);
  writeFileSync(join(folder, 'ca.pem'), authority.ca);
  writeFileSync(join(folder, 'cert.pem'), cert);
  writeFileSync(join(folder, 'key.pem'), key);
}

function config(section: Partial<TlsSection> = {}): TlsConfig {
  const files = {
    ...NONE,
    caFile: join(folder, 'ca.pem'),
    certFile: join(folder, 'cert.pem'),
    keyFile: join(folder, 'key.pem'),
    ...section,
  };
  const verification = { verifyIncoming: false, verifyOutgoing: true, verifyServerHostname: true };
  const managed = { managed: false, managedCertMs: 1, allowPlaintext: false };
  return {
    rpc: { ...files, ...verification, elsewhere: verification, ...managed },
    https: NONE,
    grpc: NONE,
  };
}

function open(tls: TlsConfig = config()): Certificates {
  return new Certificates({ tls, clock, log, metrics: noMetrics });
}

describe('certificates from files', () => {
  it('are read, with their names and their end', () => {
    write();
    const [expiry, ...more] = open().expiries();
    expect(more).toEqual([]);
    expect(expiry).toMatchObject({ use: 'internal_rpc', names: expect.stringContaining('DNS:server.dc1.consul') });
    expect((expiry?.notAfter ?? 0) - Date.now()).toBeGreaterThan(29 * 86_400_000);
  });

  it('may have their authorities in a directory', () => {
    write();
    writeFileSync(join(folder, 'README'), 'no certificate');
    expect(open(config({ caFile: '', caPath: folder })).material('internal_rpc')?.authorities).toHaveLength(2);
    expect(() => open(config({ caFile: '', caPath: join(folder, 'none') }))).toThrow(/ca_path ".*none" holds no file/);
  });

  it.each([
    ['cert.pem', undefined, /cert_file ".*cert.pem" can't be read: there is no such file/],
    ['cert.pem', 'nothing', /cert_file ".*cert.pem" holds no PEM certificate/],
    ['key.pem', 'nothing', /key_file ".*key.pem" holds no private key that can be read/],
    ['key.pem', authority.make('server').key, /key_file ".*key.pem" is not the key of the certificate in cert_file/],
    [
      'ca.pem',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
      /ca_file ".*" holds a certificate that can't be read/,
    ],
  ])('that are wrong are named: %s', (name, text, message) => {
    write();
    if (text === undefined) rmSync(join(folder, name));
    else writeFileSync(join(folder, name), text);
    expect(() => open()).toThrow(message);
  });

  it('are replaced when the files change, and only by what fits together', async () => {
    write();
    const certificates = open();
    running = certificates;
    const changes: string[] = [];
    certificates.onChange((use) => changes.push(use));
    await certificates.start();
    const first = certificates.material('internal_rpc');
    await clock.advance(10_000);
    expect(changes).toEqual([]);

    const { cert, key } = authority.make('server', { until: 60 });
    writeFileSync(join(folder, 'cert.pem'), cert);
    await clock.advance(2_000); // the key is on its way: nothing is said yet
    expect(lines).toEqual([]);
    await clock.advance(20_000);
    expect(certificates.material('internal_rpc')).toBe(first);
    expect(lines).toHaveLength(1);
    expect(lines[0]?.message).toBe('changed certificates cannot be used; those of before stay in use');
    expect(lines[0]?.fields.error).toMatch(/is not the key of the certificate in cert_file/);

    writeFileSync(join(folder, 'key.pem'), key);
    await clock.advance(2_000);
    expect(changes).toEqual(['internal_rpc']);
    expect(certificates.material('internal_rpc')).not.toBe(first);
    expect(lines.at(-1)?.message).toBe('certificates replaced');
  });

  it('are read by a reload at once, which fails as a whole', () => {
    write();
    const certificates = open();
    const first = certificates.material('internal_rpc');
    writeFileSync(join(folder, 'cert.pem'), authority.make('server').cert);
    expect(() => certificates.configure(config())).toThrow(/is not the key of/);
    expect(certificates.material('internal_rpc')).toBe(first);
    write();
    certificates.configure(config());
    expect(certificates.material('internal_rpc')).not.toBe(first);
  });

  it('are warned about in time, once a day', async () => {
    write({ until: 100 });
    const certificates = open();
    running = certificates;
    await certificates.start();
    const warnings = () => lines.filter(({ message }) => /expire/.test(message));
    await clock.advance(4_000);
    expect(warnings()).toEqual([]);
    clock.jump(71 * 86_400_000);
    await clock.advance(10_000);
    expect(warnings()).toHaveLength(1);
    expect(warnings()[0]).toMatchObject({ level: 'warn', fields: { use: 'internal_rpc' } });
    clock.jump(30 * 86_400_000);
    await clock.advance(4_000);
    expect(warnings().at(-1)).toMatchObject({
      level: 'error',
      message: expect.stringContaining('has expired: replace it'),
    });
  });
});
