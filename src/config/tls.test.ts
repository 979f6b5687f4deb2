import { describe, expect, it } from 'vitest';
import { loadConfig } from './load.ts';
import type { LoadedConfig } from './types.ts';

function load(text: string): LoadedConfig {
  return loadConfig(
    { flags: {}, sources: [{ kind: 'file', path: 'c.hcl' }], dev: false },
    {
      readFile: () => `data_dir = "/d" bind_addr = "127.0.0.1"\n${text}`,
      listDir: () => undefined,
      hostname: () => 'h',
      interfaces: () => [],
    },
  );
}

const FILES = 'ca_file = "ca" cert_file = "c" key_file = "k"';

describe('the configuration of TLS', () => {
  it('has the names of Consul 1.9, for both uses or one', () => {
    const { config, warnings, noEffect } = load(
      `${FILES} verify_incoming_rpc = true verify_outgoing = true verify_server_hostname = true tls_min_version = ` +
        `"tls13"`,
    );
    const files = { caFile: 'ca', certFile: 'c', keyFile: 'k', caPath: '', minVersion: 'TLSv1.3' };
    expect(config.tls.rpc).toMatchObject({
      ...files,
      verifyIncoming: true,
      verifyOutgoing: true,
      verifyServerHostname: true,
    });
    expect(config.tls.https).toMatchObject({ ...files, verifyIncoming: false });
    expect({ warnings, noEffect }).toEqual({ warnings: [], noEffect: [] });
    expect(load(`${FILES} verify_incoming_https = true`).config.tls).toMatchObject({
      rpc: { verifyIncoming: false },
      https: { verifyIncoming: true },
    });
  });

  it('has the newer block, whose parts count over its defaults and these over the older names', () => {
    const { config } = load(`
ca_file = "old" verify_incoming = true
tls {
  defaults { ca_file = "ca" cert_file = "c" key_file = "k" verify_outgoing = true tls_min_version = "TLSv1_2" }
  internal_rpc { cert_file = "rpc" key_file = "rpck" verify_server_hostname = true }
  https { verify_incoming = false }
  grpc { use_auto_cert = true }
}`);
    expect(config.tls).toMatchObject({
      rpc: { caFile: 'ca', certFile: 'rpc', keyFile: 'rpck', verifyIncoming: true, verifyServerHostname: true },
      https: { caFile: 'ca', certFile: 'c', verifyIncoming: false },
    });
  });

  it('dials with TLS when it checks the names of servers', () => {
    expect(load('ca_path = "p" verify_server_hostname = true').config.tls.rpc.verifyOutgoing).toBe(true);
  });

  it('asks other machines for certificates, unless plain text is allowed', () => {
    const strict = { verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true };
    const none = { verifyIncoming: false, verifyOutgoing: false, verifyServerHostname: false };
    const managed = 'tls { internal_rpc { managed = true';
    const rows: readonly (readonly [string, object, object])[] = [
      ['', none, strict],
      ['allow_plaintext = true', none, none],
      [FILES, none, { ...strict, verifyServerHostname: false }],
      [
        `${FILES} allow_plaintext = true verify_outgoing = true`,
        { ...none, verifyOutgoing: true },
        { ...none, verifyOutgoing: true },
      ],
      [`${managed} } }`, strict, strict],
      [`${managed} verify_incoming = false } }`, { ...strict, verifyIncoming: false }, strict],
      [
        `allow_plaintext = true ${managed} } }`,
        { ...none, verifyServerHostname: true },
        { ...none, verifyServerHostname: true },
      ],
    ];
    for (const [text, here, elsewhere] of rows)
      expect(load(text).config.tls.rpc, text).toMatchObject({ ...here, elsewhere });
  });

  it('takes cipher suites by their names in the RFCs', () => {
    const { rpc } = load(
      'tls_cipher_suites = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"',
    ).config.tls;
    expect(rpc.ciphers.split(':').slice(3)).toEqual(['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384']);
  });

  it('raises a version of TLS that is too old', () => {
    const { config, warnings } = load('tls_min_version = "tls10"');
    expect(config.tls.rpc.minVersion).toBe('TLSv1.2');
    expect(warnings).toEqual(['c.hcl:2: "tls_min_version" is below TLS 1.2, which is the oldest that is spoken']);
  });

  it.each([
    [
      'verify_incoming = true',
      'c.hcl:2: to verify who comes in, the server ports need ca_file (or ca_path), cert_file and key_file',
    ],
    [
      'ca_file = "ca"\nverify_incoming_rpc = true',
      'c.hcl:3: to verify who comes in, the server ports need cert_file and key_file',
    ],
    ['verify_outgoing = true', 'c.hcl:2: to verify servers, ca_file or ca_path must name the authorities'],
    ['tls { internal_rpc { verify_server_hostname = true } }', 'c.hcl:2: to verify servers, ca_file or ca_path'],
    ['tls { https { cert_file = "c" } }', 'c.hcl:2: "cert_file" and "key_file" go together'],
    [
      'tls_cipher_suites = "RC4"',
      'c.hcl:2: unknown cipher suite "RC4"; known: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    ],
    ['tls_min_version = "tls9"', 'c.hcl:2: "tls_min_version" must be one of "tls10"'],
  ])('refuses %j', (text, message) => {
    expect(() => load(text)).toThrow(message);
  });
});
