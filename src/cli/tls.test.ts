import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COMMANDS } from './commands.ts';
import { runCli } from './run.ts';
import { systemIo } from './system-io.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'isthmus-tls-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

async function tls(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const io = systemIo();
  const status = await runCli(['tls', ...args], COMMANDS, {
    ...io,
    out: (text) => (out += text),
    err: (text) => (err += text),
    readFile: (path) => io.readFile(join(folder, path)),
    exists: (path) => io.exists(join(folder, path)),
    createFile: (path, content, mode) => io.createFile(join(folder, path), content, mode),
  });
  return { status, out, err };
}

const certificate = (name: string): X509Certificate => new X509Certificate(readFileSync(join(folder, name)));
const openssl = (...args: string[]): string => execFileSync('openssl', args, { cwd: folder, encoding: 'utf8' });

describe('isthmus tls', () => {
  it('makes an authority and certificates as Consul does', async () => {
    expect(await tls('ca', 'create')).toEqual({
      status: 0,
      out: '==> Saved consul-agent-ca.pem\n==> Saved consul-agent-ca-key.pem\n',
      err: '',
    });
    const server = await tls('cert', 'create', '-server', '-node', 'n1', '-additional-ipaddress', '::1');
    expect(server.out).toBe(
      '==> Using consul-agent-ca.pem and consul-agent-ca-key.pem\n==> Saved dc1-server-consul-0.pem\n==> Saved ' +
        'dc1-server-consul-0-key.pem\n',
    );
    expect(server.err).toMatch(/^==> WARNING: Server Certificates grants authority to become a\n {4}server/);
    await tls('cert', 'create', '-server');
    await tls('cert', 'create', '-client', '-dc', 'dc2', '-additional-dnsname', 'web.example.com');
    await tls('cert', 'create', '-cli', '-days', '1');
    expect(readdirSync(folder).sort()).toEqual([
      'consul-agent-ca-key.pem',
      'consul-agent-ca.pem',
      'dc1-cli-consul-0-key.pem',
      'dc1-cli-consul-0.pem',
      'dc1-server-consul-0-key.pem',
      'dc1-server-consul-0.pem',
      'dc1-server-consul-1-key.pem',
      'dc1-server-consul-1.pem',
      'dc2-client-consul-0-key.pem',
      'dc2-client-consul-0.pem',
    ]);
    for (const name of readdirSync(folder))
      expect([name, statSync(join(folder, name)).mode & 0o077]).toEqual([name, name.includes('-key') ? 0 : 0o044]);
    expect(certificate('dc1-server-consul-0.pem').subjectAltName).toBe(
      'DNS:server.dc1.consul, DNS:n1.server.dc1.consul, DNS:localhost, IP Address:0:0:0:0:0:0:0:1, IP ' +
        'Address:127.0.0.1',
    );
    expect(certificate('dc2-client-consul-0.pem').subjectAltName).toBe(
      'DNS:client.dc2.consul, DNS:web.example.com, DNS:localhost, IP Address:127.0.0.1',
    );
    const life = Date.parse(certificate('dc1-cli-consul-0.pem').validTo) - Date.now();
    expect(Math.abs(life - 86_400_000)).toBeLessThan(60_000);
    for (const [name, purpose] of [
      ['dc1-server-consul-0.pem', 'sslserver'],
      ['dc1-server-consul-0.pem', 'sslclient'],
      ['dc2-client-consul-0.pem', 'sslclient'],
      ['dc1-cli-consul-0.pem', 'sslclient'],
    ] as const)
      expect(openssl('verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'consul-agent-ca.pem', name)).toMatch(
        /: OK/,
      );
    expect(() =>
      openssl('verify', '-purpose', 'sslserver', '-CAfile', 'consul-agent-ca.pem', 'dc1-cli-consul-0.pem'),
    ).toThrow();
    const key = openssl('pkey', '-in', 'dc1-server-consul-0-key.pem', '-pubout');
    expect(openssl('x509', '-in', 'dc1-server-consul-0.pem', '-pubkey', '-noout')).toBe(key);
  });

  it('holds names to the domain when it is asked to', async () => {
    await tls('ca', 'create', '-domain', 'mesh', '-name-constraint', '-additional-name-constraint', 'example.com');
    const make = (name: string) => tls('cert', 'create', '-client', '-domain', 'mesh', '-additional-dnsname', name);
    await make('a.example.com');
    await make('a.example.org');
    const verify = (n: number): string => openssl('verify', '-CAfile', 'mesh-agent-ca.pem', `dc1-client-mesh-${n}.pem`);
    expect(verify(0)).toMatch(/OK/);
    expect(() => verify(1)).toThrow(/permitted subtree violation/);
  });

  it('overwrites nothing, and says what is wrong', async () => {
    expect((await tls('cert', 'create', '-client')).err).toMatch(
      /consul-agent-ca.pem does not exist; "isthmus tls ca create"/,
    );
    await tls('ca', 'create');
    const before = readFileSync(join(folder, 'consul-agent-ca.pem'), 'utf8');
    const again = await tls('ca', 'create');
    expect(again).toMatchObject({ status: 1, out: '' });
    expect(again.err).toMatch(/consul-agent-ca.pem already exists\./);
    expect(readFileSync(join(folder, 'consul-agent-ca.pem'), 'utf8')).toBe(before);
    for (const [args, text] of [
      [[], 'Please provide either -server, -client, or -cli'],
      [['-server', '-client'], 'Please provide either -server, -client, or -cli'],
      [['-cli', '-node', 'n'], '-node requires -server or -client'],
      [['-client', '-node', '../n'], '-node "../n" is no host name'],
      [['-server', '-dc', '../dc1'], `can't be the name of a datacenter`],
      [['-client', '-additional-ipaddress', 'x'], '"x" is not an IP address'],
      [['-client', '-days', '0'], '-days must be at least 1'],
      [['-client', '-key', 'consul-agent-ca.pem'], 'the private key is not readable PEM'],
    ] as const)
      expect((await tls('cert', 'create', ...args)).err).toContain(text);
    await tls('cert', 'create', '-client', '-dc', 'DC1', '-node', 'N1');
    expect(certificate('dc1-client-consul-0.pem').subjectAltName).toContain(
      'DNS:client.dc1.consul, DNS:n1.client.dc1.consul',
    );
    expect(JSON.parse((await tls('cert', 'create', '-server', '-format=json')).out)).toEqual({
      Cert: 'dc1-server-consul-0.pem',
      Key: 'dc1-server-consul-0-key.pem',
    });
  });
});
