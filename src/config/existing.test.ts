import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IsthmusError } from '../lib/errors.ts';
import { KEYS } from './keys/table.ts';
import { loadConfig } from './load.ts';
import type { ConfigDeps, LoadedConfig } from './types.ts';

function load(text: string, name: string): LoadedConfig {
  const deps: ConfigDeps = {
    readFile: () => text,
    listDir: () => undefined,
    hostname: () => 'h',
    interfaces: () => [{ name: 'eth0', address: '10.0.0.1', family: 4, internal: false }],
  };
  return loadConfig({ flags: {}, sources: [{ kind: 'file', path: name }], dev: false }, deps);
}

/** Written as operators of Consul write theirs. */
const SERVER = `{
  "datacenter": "EU-West", "primary_datacenter": "eu-west", "data_dir": "/opt/consul",
  "log_level": "INFO", "server": true,
  "bootstrap_expect": 1, "ui": false, "encrypt": "x", "client_addr": "0.0.0.0", "bind_addr": "{{ GetPrivateIP }}",
  "retry_join": ["10.0.0.2", "exec=discover addrs provider=aws"], "retry_join_wan": ["192.0.2.1"],
  "ca_file": "ca.pem", "cert_file": "c.pem", "key_file": "k.pem", "verify_incoming": true, "verify_outgoing": true,
  "verify_server_hostname": true, "auto_encrypt": {"allow_tls": true}, "ports": {"https": 8501, "grpc": 8502},
  "acl": {"enabled": true, "default_policy": "deny", "down_policy": "extend-cache",
    "tokens": {"agent": "a", "default": "b"}},
  "connect": {"enabled": true, "ca_provider": "consul",
    "ca_config": {"leaf_cert_ttl": "24h", "rotation_period": "2160h"}},
  "performance": {"raft_multiplier": 1}, "autopilot": {"min_quorum": 3}, "gossip_lan": {"gossip_nodes": 3},
  "telemetry": {"prometheus_retention_time": "24h", "disable_hostname": true, "statsd_address": "",
    "disable_compat_1.9": true},
  "dns_config": {"service_ttl": {"*": "5s"}, "node_ttl": "30s"}, "limits": {"http_max_conns_per_client": 500},
  "watches": [], "enable_syslog": true,
  "config_entries": {"bootstrap": [{"kind": "proxy-defaults", "name": "global"}]}, "leave_on_terminate": true
}`;

const CLIENT = `
datacenter = "eu-west"
data_dir   = "/opt/consul"
retry_join = ["10.0.0.2"]
enable_local_script_checks = true
raft_protocol = 3
service {
  id   = "web-1"
  name = "web"
  port = 80
  checks = [
    { http = "http://127.0.0.1:80/health", interval = "10s", timeout = "1s" },
    { alias_service = "db" },
  ]
  connect {
    sidecar_service {
      proxy {
        upstreams {
          destination_name = "db"
          local_bind_port  = 9191
        }
        upstreams {
          destination_type = "prepared_query"
          destination_name = "near"
          local_bind_port  = 9192
        }
      }
    }
  }
}
`;

describe('commands of checks', () => {
  const text = `
service {
  name = "web"
  check { args = ["/bin/check"] interval = "10s" }
  check { docker_container_id = "c" shell = "sh" args = ["x"] interval = "10s" }
  connect {
    sidecar_service {
      check { args = ["/bin/check"] interval = "10s" }
    }
  }
}
check { name = "disk" args = ["/bin/df"] interval = "10s" }`;
  const at = (allowed: string): string => `data_dir = "/d"\n${allowed}${text}`;

  it('are run when an operator has said so, and refused otherwise, each with its line', () => {
    const why =
      "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or " +
      "'enable_local_script_checks' to true";
    expect(() => load(at(''), 'c.hcl')).toThrow(
      [
        '4 problems:',
        ...['5: service "web"', '6: service "web"', '9: service "web"', '13: check "disk"'].map(
          (place) => `c.hcl:${place}: ${why}`,
        ),
      ].join('\n  '),
    );
    for (const key of ['enable_script_checks', 'enable_local_script_checks'])
      expect(load(at(`${key} = true`), 'c.hcl').config.checks).toHaveLength(1);
  });
});

describe('existing configurations of Consul', () => {
  it("load: a server's", () => {
    const { config, noEffect, warnings } = load(SERVER, 'server.json');
    expect(config).toMatchObject({
      datacenter: 'eu-west',
      primaryDatacenter: 'eu-west',
      advertiseAddr: '10.0.0.1',
      acl: { enabled: true, defaultPolicy: 'deny' },
      connect: { caProvider: 'consul', caConfig: { LeafCertTTL: '24h', RotationPeriod: '2160h' } },
      dns: { nodeTtlMs: 30_000, serviceTtlMs: { '*': 5_000 } },
    });
    expect(config.listeners.https).toHaveLength(1);
    expect(noEffect).toContain('performance.raft_multiplier');
    expect(noEffect).toContain('telemetry.disable_compat_1.9');
    expect(warnings).toEqual([
      expect.stringMatching(/^server.json:4: "encrypt" has no effect here: gossip keys protect nothing, .*TLS/),
      expect.stringMatching(/^server.json:13: "telemetry.disable_hostname" has no effect here: /),
      expect.stringMatching(/^server.json:16: "enable_syslog" has no effect here: .* use logrotate/),
      expect.stringMatching(/^server.json:5: "retry_join" names servers by exec= or provider=/),
    ]);
  });

  it('are refused with what to do when they count on a provider that is not built in', () => {
    const text = SERVER.replace('exec=discover addrs provider=aws', 'provider=aws tag_key=a tag_value=b');
    expect(() => load(text, 'server.json')).toThrow(/^server.json:5: "retry_join" names the provider "aws", .*exec=/);
  });

  it("load: an agent's", () => {
    const { config, noEffect } = load(CLIENT, 'client.hcl');
    const [web] = config.services as { Connect: { SidecarService: { Proxy: { Upstreams: unknown[] } } } }[];
    expect(web?.Connect.SidecarService.Proxy.Upstreams).toHaveLength(2);
    expect(config.localScriptChecks).toBe(true);
    expect(noEffect).toEqual(['raft_protocol']);
  });
});

it('lists at once all that would be counted on and does not happen', () => {
  const refused = `
data_dir = "/d"
ui = true
watches = [{ type = "keyprefix" }]
telemetry { statsd_address = "x:1" dogstatsd_tags = ["a"] }
connect { ca_provider = "vault" }
service {
  name = "web"
  check { args = ["/bin/check"] interval = "10s" }
  check { docker_container_id = "c" shell = "sh" args = ["x"] interval = "10s" }
  checks = [{ script = "/bin/check" interval = "10s" }]
}`;
  expect(() => load(refused, 'c.hcl')).toThrow(
    [
      '6 problems:',
      'c.hcl:4: "watches": Must specify a single prefix to watch',
      'c.hcl:11: service "web": Invalid check: Script is no longer taken: give Args, for a line of a shell ["sh", ' +
        '"-c", "…"]',
      'c.hcl:3: "ui" is refused: there is no browser interface yet; leave it out',

      ...['statsd_address', 'dogstatsd_tags'].map(
        (key) =>
          `c.hcl:5: "telemetry.${key}" is refused: metrics are sent nowhere; let Prometheus collect ` +
          `/v1/agent/metrics?format=prometheus (docs/metrics.md)`,
      ),
      'c.hcl:6: "connect.ca_provider" can only be "consul", not "vault"',
    ].join('\n  '),
  );
});

describe('any configuration', () => {
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom<unknown>('10s', '127.0.0.1', -1, 0, 8500, true, 'deny', ['a'], [{}], { name: 'x' }, { name: [{}] }),
  );
  const path = fc.constantFrom(...KEYS.keys(), 'nonsense', '__proto__', 'ports.nonsense');
  const tree = fc.array(fc.tuple(path, value), { maxLength: 6 }).map((entries) => {
    const parts = entries.map(([key, content]) => {
      const steps = key === 'telemetry.disable_compat_1.9' ? [key] : key.split('.');
      return steps.reduceRight<string>((inner, step) => `{${JSON.stringify(step)}: ${inner}}`, JSON.stringify(content));
    });
    const inner = parts.map((part) => part.slice(1, -1));
    return `{"data_dir": "/d"${inner.map((part) => `,\n${part}`).join('')}}`;
  });

  it('loads, frozen, or is refused with a typed error', () => {
    fc.assert(
      fc.property(tree, (text) => {
        try {
          expect(Object.isFrozen(load(text, 'c.json').config)).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(IsthmusError);
          expect((error as IsthmusError).code).toBe('invalid_argument');
          const { message, details } = error as IsthmusError;
          // what is missing has no line
          for (const problem of (details.problems ?? [message]) as string[])
            expect(problem).toMatch(/^(c\.json:[1-9][0-9]*: |data_dir cannot be empty$)/);
        }
      }),
      { numRuns: 1500 },
    );
  });
});
