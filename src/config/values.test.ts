import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { IsthmusError } from '../lib/errors.ts';
import { loadConfig } from './load.ts';
import type { LoadedConfig } from './types.ts';

function load(files: Readonly<Record<string, string>>, ignoreUnknownKeys = false): LoadedConfig {
  const sources = Object.keys(files).map((path) => ({ kind: 'file' as const, path }));
  return loadConfig(
    { flags: {}, sources, dev: true, ignoreUnknownKeys },
    { readFile: (path) => files[path] ?? '', listDir: () => undefined, hostname: () => 'h', interfaces: () => [] },
  );
}

function problems(text: string, name = 'c.hcl'): readonly string[] {
  try {
    load({ [name]: text });
  } catch (error) {
    const { message, details } = IsthmusError.from(error);
    return (details.problems as string[] | undefined) ?? [message];
  }
  return [];
}

const pem = (namedCurve: string): string =>
  generateKeyPairSync('ec', { namedCurve }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;

describe('values of connect.ca_config', () => {
  it('are checked by the rules of the provider, all at once, each with its line', () => {
    const text = [
      'connect {',
      '  ca_config {',
      '    leaf_cert_ttl = "5m"',
      '    IntermediateCertTTL = "soon"',
      '    root_cert_ttl = "24h"',
      '    rotation_period = "1m"',
      '    private_key_type = "dsa"',
      '    csr_max_per_second = "many"',
      '    leaf_cert_tl = "72h"',
      '  }',
      '}',
    ].join('\n');
    expect(problems(text)).toEqual([
      'c.hcl:9: unknown key "connect.ca_config.leaf_cert_tl"; did you mean "leaf_cert_ttl"?',
      'c.hcl:3: "connect.ca_config": leaf cert TTL must be greater or equal than 1h0m0s',
      'c.hcl:4: "connect.ca_config": IntermediateCertTTL must be a duration such as "72h"',
      'c.hcl:5: "connect.ca_config": root cert TTL must be greater than intermediate cert TTL (>8760h0m0s)',
      'c.hcl:6: "connect.ca_config": rotation period must be 0 or at least 1h0m0s',
      `c.hcl:7: "connect.ca_config": private key type must be either 'ec' or 'rsa'`,
      'c.hcl:8: "connect.ca_config": CSRMaxPerSecond must be a whole number',
    ]);
  });

  it('of two files are one configuration, and each error names its own file', () => {
    const first = 'connect { ca_config { leaf_cert_ttl = "1000h" } }';
    expect(() =>
      load({ 'a.hcl': first, 'b.hcl': 'connect {\n ca_config { IntermediateCertTTL = "2000h" } }' }),
    ).toThrow(
      'b.hcl:2: "connect.ca_config": intermediate cert TTL must be greater or equal than 3 * LeafCertTTL (>=3000h0m0s)',
    );
    const { config } = load({ 'a.hcl': first, 'b.hcl': 'connect { ca_config { LeafCertTTL = "2h" } }' });
    expect(config.connect.caConfig).toEqual({ LeafCertTTL: '2h' });
  });

  it.each([
    [
      'a key that is none',
      'private_key = "secret words"',
      'PrivateKey is not readable PEM (PKCS #8, SEC 1 or PKCS #1)',
    ],
    ['a key of another kind', `private_key = ${JSON.stringify(pem('secp256k1'))}`, 'PrivateKey must be an EC key'],
    [
      'a key unlike the kind that is named',
      `private_key_bits = 384 private_key = ${JSON.stringify(pem('P-256'))}`,
      'PrivateKey is not of the kind that PrivateKeyType and PrivateKeyBits name',
    ],
    ['a root without its key', 'root_cert = "x"', 'RootCert needs the PrivateKey that belongs to it'],
    [
      'a root that is none',
      `root_cert = "x" private_key = ${JSON.stringify(pem('P-256'))}`,
      'RootCert is no certificate in PEM',
    ],
  ])('%s is refused without being repeated', (_what, text, because) => {
    const [only, ...others] = problems(`connect { ca_config { ${text} } }`);
    expect(only).toContain(`c.hcl:1: "connect.ca_config": ${because}`);
    expect(only).not.toMatch(/secret words|BEGIN/);
    expect(others).toEqual([]);
  });

  it('a good key is taken', () => {
    const key = pem('P-384');
    expect(createPrivateKey(key).asymmetricKeyDetails?.namedCurve).toBe('secp384r1');
    expect(problems(`connect { ca_config { private_key = ${JSON.stringify(key)} } }`)).toEqual([]);
  });
});

describe('entries of config_entries.bootstrap', () => {
  it('are checked as a write checks them, all at once, each with its line', () => {
    const text = [
      'config_entries {',
      '  bootstrap {',
      '    kind = "service-resolver"',
      '    name = "web"',
      '    conect_timeout = "5s"',
      '    subsets {',
      '      v1 { filter = 7',
      '        only_passing = "yes" }',
      '    }',
      '  }',
      '  bootstrap {',
      '    kind = "service-intentions" name = "db"',
      '    sources { name = "web" action = "allow" }',
      '    sources { name = "api"',
      '      action = "perhaps" }',
      '  }',
      '  bootstrap { kind = "service-teapot" name = "x" }',
      '  bootstrap { kind = "proxy-defaults" name = "global" namespace = "team" }',
      '  bootstrap = [{ Kind = "mesh", Nme = 1 }]',
      '}',
    ].join('\n');
    expect(problems(text)).toEqual([
      'c.hcl:5: unknown key "config_entries.bootstrap[0].conect_timeout"; did you mean "connect_timeout"?',
      `c.hcl:8: "config_entries.bootstrap[0]": 'Subsets[v1].OnlyPassing' expected type 'bool', got unconvertible ` +
        `type 'string'`,
      expect.stringContaining('c.hcl:11: "config_entries.bootstrap[1]": Sources[1].Action must be'),
      'c.hcl:17: "config_entries.bootstrap[2]": Bad request: Request decoding failed: invalid config entry kind: ' +
        'service-teapot',
      expect.stringContaining('c.hcl:18: "config_entries.bootstrap[3]": "namespace", '),
      'c.hcl:19: unknown key "config_entries.bootstrap[4].Nme"; did you mean "name"?',
    ]);
  });

  it('that are good are as a write keeps them', () => {
    const { config } = load({
      'c.hcl': 'config_entries { bootstrap { kind = "service-defaults" name = "Web" protocol = "http" } }',
    });
    expect(config.bootstrapEntries).toEqual([expect.objectContaining({ Kind: 'service-defaults', Name: 'web' })]);
  });
});

describe('unknown keys, where they are ignored', () => {
  const text = [
    'qwerty = 1',
    'connect { ca_config { qwerty = 1 } }',
    'config_entries { bootstrap { kind = "service-defaults" name = "web" qwerty = 1 } }',
    'service { name = "web" qwerty = 1 }',
    'audit { sink "a" { path = "/a" qwerty = 1 } }',
  ].join('\n');

  it('are warnings, each with its line, and everything else counts', () => {
    const { warnings, config } = load({ 'c.hcl': text }, true);
    const found = warnings.filter((warning) => warning.includes('qwerty'));
    expect(found.map((warning) => warning.slice(0, 8)).sort()).toEqual([1, 2, 3, 4, 5].map((line) => `c.hcl:${line}:`));
    for (const warning of found) expect(warning).toMatch(/unknown key .* \(ignored\)$/);
    expect(config.services).toEqual([{ Name: 'web' }]);
    expect(config.bootstrapEntries).toMatchObject([{ Kind: 'service-defaults', Name: 'web' }]);
    expect(config.bootstrapEntries[0]).not.toHaveProperty('qwerty');
  });

  it('are errors otherwise, and other errors stay errors', () => {
    expect(problems(text)).toHaveLength(5);
    expect(() => load({ 'c.hcl': `${text}\nserver = "perhaps"` }, true)).toThrow(
      'c.hcl:6: "server" must be true or false',
    );
  });
});
