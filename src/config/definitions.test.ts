import { describe, expect, it } from 'vitest';
import { IsthmusError } from '../lib/errors.ts';
import { loadConfig } from './load.ts';
import type { LoadedConfig } from './types.ts';

function load(text: string, name = 'c.hcl', onlyFiles = false): LoadedConfig {
  return loadConfig(
    { flags: {}, sources: [{ kind: 'file', path: name }], dev: true, onlyFiles },
    {
      readFile: () => text,
      listDir: () => undefined,
      hostname: () => 'h',
      interfaces: () => [],
    },
  );
}

function problems(text: string, name?: string, onlyFiles?: boolean): readonly string[] {
  try {
    load(text, name, onlyFiles);
  } catch (error) {
    const { message, details } = IsthmusError.from(error);
    return (details.problems as string[] | undefined) ?? [message];
  }
  return [];
}

describe('blocks that stand twice', () => {
  it('several checks of a service are all taken, whichever way they are written', () => {
    const { services } = load(`service {
      name = "web"
      checks = [{ id = "a" ttl = "1s" }]
      check { id = "b" ttl = "2s" }
      check { id = "c" ttl = "3s" }
      checks { id = "d" ttl = "4s" }
    }`).config;
    const ids = (services[0] as { Checks: { CheckID: string }[] }).Checks.map((check) => check.CheckID);
    expect(ids.sort()).toEqual(['a', 'b', 'c', 'd']);
    expect(services[0]).not.toHaveProperty('Check');
  });

  it.each([
    ['service.proxy', 'service {\n name = "a"\n proxy {}\n proxy {}\n}'],
    ['service.connect', 'service {\n name = "a"\n connect {}\n connect {}\n}'],
    ['service.weights', 'service {\n name = "a"\n weights {}\n weights {}\n}'],
    [
      'service.connect.sidecar_service',
      'service {\n name = "a" connect {\n sidecar_service {}\n sidecar_service {}\n} }',
    ],
    ['service.proxy.config', 'service {\n name = "a" proxy {\n config { a = 1 }\n config { b = 2 } } }'],
    ['service.proxy.expose', 'service {\n name = "a" proxy {\n expose {}\n expose {} } }'],
    ['service.proxy.mesh_gateway', 'service {\n name = "a" proxy {\n mesh_gateway {}\n mesh_gateway {} } }'],
    ['ports', 'server = true\n\nports { http = 1 }\nports { dns = 2 }'],
    ['dns_config.soa', 'dns_config {\n\nsoa { retry = 1 }\nsoa { expire = 2 } }'],
    ['connect.ca_config', 'connect {\n\nca_config { a = 1 }\nca_config { b = 2 } }'],
  ])('a second %s is refused with file, line and what to do', (path, text) => {
    const name = path.split('.').at(-1);
    expect(problems(text)).toEqual([
      `c.hcl:4: "${path}" takes one block; the first is in line 3. Put everything into one "${name}" block`,
    ]);
  });

  it('a list of two is refused as two blocks are', () => {
    expect(problems('{"ports": [{"http": 1}, {"dns": 2}]}', 'c.json')).toEqual([
      expect.stringContaining('"ports" takes one block'),
    ]);
  });

  it('names of a map may come one by one, but not twice', () => {
    const named = 'service { name = "a"\n tagged_addresses "lan" { address = "1.1.1.1" }\n tagged_addresses';
    expect(problems(`${named} "wan" { address = "2.2.2.2" } }`)).toEqual([]);
    expect(problems(`${named} "lan" { address = "2.2.2.2" } }`)).toEqual([
      'c.hcl:3: "service.tagged_addresses" has "lan" twice; the first is in line 2',
    ]);
    expect(problems('node_meta { a = "1" }\nnode_meta { a = "2" }')).toEqual([
      'c.hcl:2: "node_meta" has "a" twice; the first is in line 1',
    ]);
  });

  it('of a single value that a file gives twice the last counts, and a warning says so', () => {
    const { warnings, config } = load(
      'datacenter = "a"\nservice { name = "x"\n port = 1\n port = 2 }\ndatacenter = "b"',
    );
    expect(config).toMatchObject({ datacenter: 'b', services: [{ Port: 2 }] });
    expect(warnings).toEqual([
      'c.hcl:5: "datacenter" was given in line 1 already; the last one counts',
      'c.hcl:4: "service.port" was given in line 3 already; the last one counts',
    ]);
  });
});

it('lists everything that is wrong, in all its parts, at once', () => {
  expect(
    problems(`
datacentre = "x"
server = "yes"
ports { htp = 1  http = 70000 }
node_meta { "a b" = "c" }
service {
  name = "web"
  prt = 80
  tags = [1]
  check { intervall = "1s"  interval = "x" }
}
service { name = "db"  port = 70000 }
service { name = "cache"  weights { passing = 0 }  check { http = "http://x" } }
service {
  name = "api"
  connect { sidecar_service { proxy { upstreams { local_bind_port = 0 } } } }
}
services = [{ port = 1 }, { kind = "connect-proxy" name = "p" }]
check { name = "mem"  ttl = "1s"  interval = "1s" }
check { ttl = "1s"  status = "fine" }
`),
  ).toEqual([
    'c.hcl:2: unknown key "datacentre"; did you mean "datacenter"?',
    'c.hcl:3: "server" must be true or false, not the text "yes"',
    'c.hcl:4: unknown key "ports.htp"; did you mean "http"?',
    'c.hcl:4: "ports.http" must be a whole number from -1 to 65535, not 70000',
    'c.hcl:8: unknown key "service.prt"; did you mean "port"?',
    'c.hcl:9: "service.tags" must be a list of texts; it holds 1',
    'c.hcl:10: unknown key "service.check.intervall"; did you mean "interval"?',
    'c.hcl:10: "service.check.interval" must be a duration such as "30s" or "1h15m", not the text "x"',
    'c.hcl:12: "service.port" must be a whole number from 0 to 65535, not 70000',
    'c.hcl:13: service "cache": Invalid Weights: Passing must be greater than 0',
    'c.hcl:13: service "cache": Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService ' +
      'checks',
    'c.hcl:14: service "api": sidecar_service: upstream destination name cannot be empty',
    'c.hcl:14: service "api": sidecar_service: upstream local bind port cannot be zero',
    'c.hcl:18: a service without "name": Missing service name',
    'c.hcl:18: service "p": Proxy.DestinationServiceName must be non-empty for Connect proxy services',
    'c.hcl:18: service "p": Port must be set for a Connect proxy',
    'c.hcl:19: check "mem": Invalid check: Interval and TTL cannot both be specified',
    'c.hcl:20: a check without "name": Missing check name',
    'c.hcl:20: a check without "name": Bad check status',
    expect.stringMatching(/^c.hcl:5: node_meta invalid: /),
  ]);
});

it.each([-1, 70_000])('port %d is refused in every definition', (port) => {
  const text = `service { name = "a"
    port = ${port}
    tagged_addresses { lan { address = "1.1.1.1" port = ${port} } }
    proxy { local_service_port = ${port}
      upstreams { destination_name = "b" local_bind_port = ${port} } }
    connect { sidecar_service { port = ${port} } } }`;
  expect(problems(text)).toHaveLength(5);
});

it('the agent itself is in the default partition, and clusters have no peers', () => {
  expect(problems('partition = "default"')).toEqual([]);
  expect(problems('partition = "team"')).toEqual([
    'c.hcl:1: "partition" is "team": there is no partition "team" here: a datacenter has one, "default"',
  ]);
  const upstream = 'destination_name = "b" local_bind_port = 1 destination_peer = "cloud"';
  expect(problems(`service { name = "a" proxy { upstreams { ${upstream} } } }`)).toEqual([
    expect.stringMatching(/"service.proxy.upstreams\[0\].destination_peer" is "cloud": there are no peers here/),
  ]);
});

it.each(['namespace', 'partition'])('anything but the default %s is refused', (field) => {
  expect(problems(`service { name = "a" ${field} = "default" check { ttl = "1s" ${field} = "" } }`)).toEqual([]);
  expect(problems(`service { name = "a" ${field} = "team" }`)).toHaveLength(1);
  expect(problems(`check { name = "a" ttl = "1s" ${field} = "team" }`)).toHaveLength(1);
  expect(
    problems(
      `service { name = "a" proxy { upstreams { destination_name = "b" local_bind_port = 1 destination_${field} = ` +
        `"team" } } }`,
    ),
  ).toEqual([expect.stringMatching(/^c.hcl:1: .*destination_.* "team" here: a datacenter has one, "default"$/)]);
});

describe('definitions beside each other', () => {
  it('a second one with the same ID is refused', () => {
    const twice = `service { name = "web" }
service { name = "web" port = 2 }
service { name = "api" connect { sidecar_service {} } }
service { name = "api-sidecar-proxy" }
check { name = "mem" ttl = "1s" }
check { id = "mem" name = "other" ttl = "1s" }`;
    expect(problems(twice)).toEqual([
      'c.hcl:2: the service ID "web" stands in c.hcl:1 already; give each an "id"',
      'c.hcl:4: the service ID "api-sidecar-proxy" stands in c.hcl:3 already; give each an "id"',
      'c.hcl:6: the check ID "mem" stands in c.hcl:5 already; give each an "id"',
    ]);
  });

  it('a second sidecar with the same port is refused, at another address it is not', () => {
    const sidecar = (id: string, more = ''): string =>
      `service { name = "web" id = "${id}" connect { sidecar_service { port = 21000 ${more} } } }\n`;
    expect(problems(sidecar('a') + sidecar('b'))).toEqual([
      'c.hcl:2: the proxy "b-sidecar-proxy" has port 21000, as "a-sidecar-proxy" in c.hcl:1 has; give each a port',
    ]);
    expect(problems(sidecar('a') + sidecar('b', 'address = "127.0.0.2"'))).toEqual([]);
  });

  it('says so when no port is left for a sidecar', () => {
    const text = `ports { sidecar_min_port = 9 sidecar_max_port = 9 }
service { name = "a" connect { sidecar_service {} } }
service { name = "b" connect { sidecar_service {} } }`;
    expect(problems(text)).toEqual([expect.stringMatching(/^c.hcl:3: .*none left to allocate .*\[9, 9\]$/)]);
  });

  it('warns of a port that others are not sent to', () => {
    const text = 'service { name = "a" connect { sidecar_service { port = 1 proxy { config { bind_port = 2 } } } } }';
    expect(load(text).warnings).toEqual([
      'c.hcl:1: the proxy "a-sidecar-proxy" listens on its "bind_port" 2, but others are sent to its port 1',
    ]);
  });

  it('a check of a service that no file defines is refused where the files are all there is', () => {
    const text =
      'service { name = "a" }\ncheck { name = "c" service_id = "a" ttl = "1s" }\ncheck { name = "d" service_id = ' +
      '"b" ttl = "1s" }';
    expect(problems(text)).toEqual([]);
    expect(problems(text, 'c.hcl', true)).toEqual([
      'c.hcl:3: check "d": ServiceID "b" does not exist: no file defines that service',
    ]);
  });
});
