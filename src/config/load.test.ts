import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { debugConfig } from './debug-config.ts';
import { KEY_FLAGS, KEYS } from './keys/table.ts';
import { loadConfig } from './load.ts';
import { diffReload } from './reload.ts';
import type { ConfigDeps, InterfaceAddress, LoadedConfig, LoadInput } from './types.ts';

const eth = (name: string, address: string, family: 4 | 6 = 4): InterfaceAddress => ({
  name,
  address,
  family,
  internal: name === 'lo',
});

function fakeDeps(
  files: Record<string, string>,
  interfaces: readonly InterfaceAddress[] = [eth('lo', '127.0.0.1'), eth('eth0', '10.0.0.5'), eth('eth1', '8.8.4.9')],
): ConfigDeps {
  return {
    readFile(path) {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error('gone'), { code: 'ENOENT' });
      return text;
    },
    listDir(path) {
      if (files[path] !== undefined) return undefined;
      const inside = Object.keys(files).filter((name) => name.startsWith(`${path}/`));
      if (inside.length === 0) throw Object.assign(new Error('gone'), { code: 'ENOENT' });
      return inside.map((name) => name.slice(path.length + 1)).reverse();
    },
    hostname: () => 'host-1',
    interfaces: () => interfaces,
  };
}

function load(text: string, more: Partial<LoadInput> & { deps?: ConfigDeps; base?: string } = {}): LoadedConfig {
  const { deps, base = 'data_dir = "/d"\nbind_addr = "127.0.0.1"\n', ...input } = more;
  const files = { 'base.hcl': base, 'config.hcl': text };
  const sources = Object.keys(files).map((path) => ({ kind: 'file' as const, path }));
  return loadConfig({ flags: {}, sources, dev: false, ...input }, deps ?? fakeDeps(files));
}

const config = (text: string): LoadedConfig['config'] => load(text).config;

describe('loadConfig', () => {
  it('has defaults', () => {
    const { config, warnings, noEffect } = load('');
    expect(config).toMatchObject({
      datacenter: 'dc1',
      primaryDatacenter: 'dc1',
      nodeName: 'host-1',
      server: false,
      dataDir: '/d',
      bindAddr: '127.0.0.1',
      advertiseAddr: '127.0.0.1',
      retryIntervalMs: 30_000,
      taggedAddresses: { lan: '127.0.0.1', lan_ipv4: '127.0.0.1', wan: '127.0.0.1', wan_ipv4: '127.0.0.1' },
      log: { level: 'info', json: false, file: '' },
    });
    expect(config.listeners.http).toEqual([{ kind: 'tcp', host: '127.0.0.1', port: 8500 }]);
    expect(config.listeners.https).toEqual([]);
    expect(config.listeners.serfWan).toEqual([]);
    expect(warnings).toEqual([]);
    expect(noEffect).toEqual([]);
    expect(Object.isFrozen(config.dns.soa)).toBe(true);
  });

  it('starts with -dev alone', () => {
    const { config } = loadConfig({ flags: { 'http-port': ['0'] }, sources: [], dev: true }, fakeDeps({}));
    expect(config).toMatchObject({ devMode: true, server: true, bindAddr: '127.0.0.1', dataDir: '' });
    expect(config.listeners.http).toEqual([{ kind: 'tcp', host: '127.0.0.1', port: 0 }]);
    expect(config.listeners.grpc).toEqual([{ kind: 'tcp', host: '127.0.0.1', port: 8502 }]);
    expect(config.listeners.serfWan).toEqual([{ kind: 'tcp', host: '127.0.0.1', port: 8302 }]);
    expect(config.log.level).toBe('debug');
  });

  it('merges defaults, files in order and flags; lists and maps add up', () => {
    const files = {
      'd/b.json': '{"log_level": "WARN", "retry_join": ["b"], "node_meta": {"x": "2", "y": "1"}}',
      'd/a.hcl': 'log_level = "debug"\nretry_join = ["a"]\nnode_meta { x = "1" }\ndatacenter = "dc2"',
      'd/c.txt': 'not for us',
      'one.json': '{"ports": {"http": 1}, "data_dir": "/d", "bind_addr": "127.0.0.1"}',
    };
    const sources = [
      { kind: 'file', path: 'one.json' },
      { kind: 'dir', path: 'd' },
    ] as const;
    const flags = { 'retry-join': ['c', 'd'], 'http-port': ['7'], 'node-meta': ['z:a:b'], server: ['true'] };
    const { config, warnings } = loadConfig({ flags, sources, dev: false }, fakeDeps(files));
    expect(config.log.level).toBe('warn');
    expect(config.datacenter).toBe('dc2');
    expect(config.retryJoin).toEqual(['a', 'b', 'c', 'd']);
    expect(config.nodeMeta).toEqual({ x: '2', y: '1', z: 'a:b' });
    expect(config.ports.http).toBe(7);
    expect(config.server).toBe(true);
    expect(warnings).toEqual(['skipping file d/c.txt, extension must be .hcl or .json, or config format must be set']);
  });

  it('reads any name when the format is given', () => {
    const deps = fakeDeps({ plain: 'datacenter = "x"\ndata_dir = "/d"\nbind_addr = "127.0.0.1"' });
    const input: LoadInput = { flags: {}, sources: [{ kind: 'file', path: 'plain' }], dev: false, format: 'hcl' };
    expect(loadConfig(input, deps).config.datacenter).toBe('x');
  });

  it.each([
    ['\n\nfoo = 1', 'config.hcl:3: unknown key "foo"'],
    ['datacentre = "x"', 'config.hcl:1: unknown key "datacentre"; did you mean "datacenter"?'],
    ['ports {\n  htp = 1\n}', 'config.hcl:2: unknown key "ports.htp"; did you mean "http"?'],
    ['ports = 3', 'config.hcl:1: "ports" must be a block, not 3'],
    ['ports { http = "80" }', 'config.hcl:1: "ports.http" must be a whole number from -1 to 65535, not the text "80"'],
    ['ports { http = 70000 }', 'config.hcl:1: "ports.http" must be a whole number from -1 to 65535, not 70000'],
    ['server = "yes"', 'config.hcl:1: "server" must be true or false, not the text "yes"'],
    ['retry_interval = 30', 'config.hcl:1: "retry_interval" must be a duration such as "30s" or "1h15m", not 30'],
    ['log_level = "loud"', /^config.hcl:1: "log_level" must be one of "trace", .*, not the text "loud"$/],
    ['retry_join = [1]', 'config.hcl:1: "retry_join" must be a list of texts; it holds 1'],
    ['datacenter = "a b"', 'config.hcl:1: datacenter cannot be "a b". Please use only [a-z0-9-_]'],
    ['node_id = "x"', 'config.hcl:1: "node_id" must be a UUID, not "x"'],
    ['x = 1\ndatacenter = ', 'config.hcl:2: expected a value, found the end of the file'],
    ['service { name = "a"\n prt = 1 }', 'config.hcl:2: unknown key "service.prt"; did you mean "port"?'],
    ['service { port = 1 }', 'config.hcl:1: a service without "name"'],
    ['service { name = "a" check { interval = "x" } }', /"service.check.interval" must be a duration/],
    ['bind_addr = "host"', 'config.hcl:1: "bind_addr" must be an IP address or a template, not "host"'],
    ['advertise_addr = "0.0.0.0"', 'config.hcl:1: Advertise address cannot be 0.0.0.0, :: or [::]'],
    ['node_meta { "a b" = "c" }', /config.hcl:1: node_meta invalid: .*Key contains invalid characters/],
    ['cert_file = "a"', 'config.hcl:1: "cert_file" and "key_file" go together'],
    ['connect { ca_provider = "magic" }', 'config.hcl:1: "connect.ca_provider" can only be "consul", not "magic"'],
    ['http_config { allow_write_http_from = ["10.0.0.0"] }', /which is no network such as 10.0.0.0\/8$/],
    ['recursors = ["10.0.0.53", "unix:///dns"]', /"recursors" holds "unix:\/\/\/dns", which is no address/],
    ['dns_config { service_ttl { a = "b" } }', /"dns_config.service_ttl.a" must be a duration/],
  ])('refuses %j', (text, message) => {
    expect(() => load(text)).toThrow(message);
  });

  it('has the texts of Consul for what is missing', () => {
    const sources = [{ kind: 'either', path: 'DIR/absent' }] as const;
    expect(() => loadConfig({ flags: {}, sources, dev: false }, fakeDeps({}))).toThrow(
      'config: Open failed on DIR/absent. open DIR/absent: no such file or directory',
    );
    expect(() => loadConfig({ flags: {}, sources: [], dev: false }, fakeDeps({}))).toThrow('data_dir cannot be empty');
  });

  it('names the flag that is wrong', () => {
    expect(() => load('', { flags: { 'http-port': ['x'] } })).toThrow(
      'flag -http-port: must be a whole number from -1 to 65535, not "x"',
    );
    expect(() => load('', { flags: { bind: ['x'] } })).toThrow('flag -bind: "bind_addr" must be an IP address');
  });

  it('refuses several servers that share no store, with what to do', () => {
    const text = 'server = true\nbootstrap_expect = 3\nretry_join = ["10.0.0.2"]\n';
    expect(() => load(text)).toThrow(
      /^config\.hcl:2: "bootstrap_expect" is 3, and with storage\.engine = "embedded" a datacenter has one server: .*engine = "etcd"/,
    );
    expect(() => load(text.replace('3', '1'))).not.toThrow();
    expect(() => load(text.replace('server = true', ''))).not.toThrow();
    expect(() => load(`${text}storage { engine = "etcd"\netcd { endpoints = ["h:2379"] } }`)).not.toThrow();
  });

  it('warns about ways to find servers that a server does not use', () => {
    const text = 'data_dir = "d"\nretry_join = ["10.0.0.2", "exec=find-servers --secret"]\n';
    const { warnings } = load(`${text}server = true`);
    expect(warnings).toContainEqual(
      expect.stringMatching(/^config\.hcl:2: "retry_join" names servers by exec= or provider=, .*"retry_join_wan"$/),
    );
    expect(JSON.stringify(warnings)).not.toContain('--secret');
    const other = (lines: string): readonly string[] => load(lines).warnings.filter((line) => line.includes('exec='));
    expect(other(text)).toEqual([]);
    expect(other('data_dir = "d"\nserver = true\nretry_join = ["10.0.0.2"]')).toEqual([]);
    expect(other('data_dir = "d"\nserver = true\nretry_join_wan = ["provider=dns name=a.b"]')).toEqual([]);
  });

  it('lists keys without effect once, and warns about older names', () => {
    const { noEffect, warnings, config } = load(
      'protocol = 3\nprotocol = 2\nperformance { raft_multiplier = 1 }\nencrypt = "k"\nacl_token = "t"',
    );
    expect(noEffect).toEqual(['performance.raft_multiplier', 'protocol']);
    expect(warnings).toEqual([
      'config.hcl:5: "acl_token" is an older name; use "acl.tokens.default"',
      expect.stringMatching(/^config.hcl:4: "encrypt" has no effect here: /),
    ]);
    expect(config.acl.tokens.default).toBe('t');
  });

  it('takes keys in any case, and blocks in lists', () => {
    const { ports, datacenter } = config('DataCenter = "DC9"\nports = [{ http = 1, dns = 2 }]');
    expect({ ports, datacenter }).toMatchObject({ ports: { http: 1, dns: 2 }, datacenter: 'dc9' });
  });

  it('takes services and checks of files to the shape of the API', () => {
    const { services, checks } = config(`
service {
  name = "web" id = "web-1" port = 80 tags = ["a"] meta { v = "1" }
  checks = [{ id = "c", ttl = "10s" }, { http = "http://x", interval = "5s", header { h = ["1"] } }]
  connect { sidecar_service { port = 2 proxy { upstreams {
    destination_name = "db" datacenter = "dc2" local_bind_port = 9 config { connect_timeout_ms = 5 }
  } } } }
  tagged_addresses { wan { address = "1.2.3.4" port = 5 } }
}
services = [{ Name = "db", weights { passing = 2 } }]
check { name = "mem" TLSSkipVerify = true http = "http://x" interval = "1s" deregistercriticalserviceafter = "5m" }`);
    expect(services).toEqual([
      { Name: 'db', Weights: { Passing: 2 } },
      {
        Name: 'web',
        ID: 'web-1',
        Port: 80,
        Tags: ['a'],
        Meta: { v: '1' },
        Checks: [
          { CheckID: 'c', TTL: '10s' },
          { HTTP: 'http://x', Interval: '5s', Header: { h: ['1'] } },
        ],
        Connect: {
          SidecarService: {
            Port: 2,
            Proxy: {
              Upstreams: [
                { DestinationName: 'db', Datacenter: 'dc2', LocalBindPort: 9, Config: { connect_timeout_ms: 5 } },
              ],
            },
          },
        },
        TaggedAddresses: { wan: { Address: '1.2.3.4', Port: 5 } },
      },
    ]);
    expect(checks).toEqual([
      { Name: 'mem', TLSSkipVerify: true, HTTP: 'http://x', Interval: '1s', DeregisterCriticalServiceAfter: '5m' },
    ]);
  });

  it("takes the CA's configuration in both spellings", () => {
    const { connect } = config(
      'connect { enabled = true ca_config { leaf_cert_ttl = "72h" RotationPeriod = "1h" cluster_id = "x" } }',
    );
    expect(connect.caConfig).toEqual({ LeafCertTTL: '72h', RotationPeriod: '1h', cluster_id: 'x' });
  });
});

describe('addresses', () => {
  const pick = (text: string, interfaces?: readonly InterfaceAddress[]): LoadedConfig['config'] =>
    load('', { deps: fakeDeps({ 'base.hcl': 'data_dir = "/d"', 'config.hcl': text }, interfaces) }).config;

  it('advertises the only private address when bound to every interface', () => {
    expect(pick('').advertiseAddr).toBe('10.0.0.5');
    expect(() => pick('', [eth('a', '10.0.0.1'), eth('b', '192.168.0.1')])).toThrow(
      "Multiple private IPv4 addresses found. Please configure one with 'bind' and/or 'advertise'.",
    );
    expect(() => pick('', [eth('lo', '127.0.0.1')])).toThrow('No private IPv4 address found');
  });

  it('expands templates', () => {
    expect(pick('bind_addr = "{{ GetPublicIP }}"').bindAddr).toBe('8.8.4.9');
    expect(pick('bind_addr = "{{GetInterfaceIP \\"eth0\\"}}"').bindAddr).toBe('10.0.0.5');
    expect(() => pick('bind_addr = "{{ GetInterfaceIP \\"eth7\\" }}"')).toThrow('found no address on this machine');
    expect(() => pick('bind_addr = "{{ GetMagic }}"')).toThrow(
      'config.hcl:1: "bind_addr" can\'t use the template "{{ GetMagic }}": there is no function GetMagic',
    );
  });

  it('binds each edge to each of its addresses', () => {
    const { listeners } = pick(
      'client_addr = "127.0.0.1 {{ GetPrivateIP }}"\naddresses { http = "unix:///run/i.sock [::1]" }\n' +
        'ports { dns = -1 }',
    );
    expect(listeners.http).toEqual([
      { kind: 'unix', path: '/run/i.sock' },
      { kind: 'tcp', host: '::1', port: 8500 },
    ]);
    expect(listeners.dns).toEqual([]);
  });
});

describe('the key table', () => {
  it('has unique flags and known targets of older names', () => {
    const names = KEY_FLAGS.map((flag) => flag.name);
    expect(new Set(names).size).toBe(names.length);
    for (const [path, key] of KEYS) {
      if (key.aliasOf !== undefined) expect(KEYS.get(key.aliasOf)?.kind.label, path).toBe(key.kind.label);
    }
  });
});

describe('diffReload', () => {
  it('tells what a reload takes over from what needs a restart', () => {
    const before = load('log_level = "info"\nservice { name = "a" }');
    const after = load('log_level = "debug"\nservice { name = "b" }\nports { http = 9 }');
    expect(diffReload(before, after)).toEqual({ reloadable: ['service', 'log_level'], needsRestart: ['ports.http'] });
    expect(diffReload(before, before)).toEqual({ reloadable: [], needsRestart: [] });
  });
});

describe('debugConfig', () => {
  it('shows values and hides secrets', () => {
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    const shown = debugConfig(
      load(
        `acl { tokens { agent = "s3cret" } }\nconnect { ca_config { private_key = ${JSON.stringify(key)} } ` +
          `}\nservice { name = "a" token = "s3cret" }\nacl_token = "s3cret"`,
      ),
    );
    expect(JSON.stringify(shown)).not.toContain('PRIVATE KEY');
    expect(shown).toMatchObject({ Datacenter: 'dc1', RetryInterval: '30s', ACLTokensAgent: 'hidden', PortsHTTP: 8500 });
    expect(JSON.stringify(shown)).not.toContain('s3cret');
  });

  it('reads where the state is kept, and hides the password', () => {
    expect(config('').storage).toMatchObject({ engine: 'embedded', etcd: { prefix: 'isthmus/dc1' } });
    const loaded = load(`
      datacenter = "DC7"
      storage {
        engine = "etcd"
        etcd { endpoints = ["https://a:2379", "b:2379"], ca_file = "/ca.pem", username = "u", password = "geheim" }
      }`);
    expect(loaded.config.storage).toEqual({
      engine: 'etcd',
      etcd: {
        endpoints: ['https://a:2379', 'b:2379'],
        caFile: '/ca.pem',
        certFile: '',
        keyFile: '',
        username: 'u',
        password: 'geheim',
        prefix: 'isthmus/dc7',
        compactionIntervalMs: 300_000,
      },
    });
    expect(JSON.stringify(debugConfig(loaded))).not.toContain('geheim');
    for (const [text, error] of [
      ['engine = "etcd"', 'name "storage.etcd.endpoints"'],
      ['engine = "raft"', 'must be one of "embedded", "etcd"'],
      ['engine = "etcd", etcd { endpoints = ["a"], cert_file = "/c" }', '"storage.etcd.key_file" is missing'],
      ['engine = "etcd", etcd { endpoints = ["a"], password = "x" }', 'needs "storage.etcd.username"'],
    ] as const) {
      expect(() => config(`storage { ${text} }`)).toThrow(error);
    }
  });
});

it('refuses fields of audit sinks by name, whatever name it is', () => {
  const load = (fields: string): unknown =>
    loadConfig(
      { flags: {}, sources: [{ kind: 'file', path: 'a.hcl' }], dev: false },
      {
        readFile: () => `data_dir = "/x"\naudit { enabled = true sink "s" { ${fields} } }`,
        listDir: () => undefined,
        hostname: () => 'h',
        interfaces: () => [{ name: 'eth0', address: '10.0.0.1', family: 4, internal: false }],
      },
    );
  expect(() => load('path = "/a" constructor = 1')).toThrow('unknown key "audit.sink.s.constructor"');
  expect(() => load('type = "file"')).toThrow('needs a "path"');
  expect(() => load('path = "/a" mode = "rw"')).toThrow('it must be like "0600"');
  expect(load('path = "/a" rotate_bytes = 5')).toMatchObject({
    config: { auditSinks: [{ name: 's', path: '/a', mode: 0o600, rotateBytes: 5, rotateMs: 86_400_000 }] },
  });
});
