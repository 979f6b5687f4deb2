import { execFile } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTwoDatacenters, type TwoDatacenters } from '../conformance/two-datacenters.ts';
import { callAgent, freePorts, httpRequest, portOf, program, runProgram, waitFor } from '../harness/index.ts';

/** Where an instance of the service `app` runs: its name, its datacenter and its loopback address. */
const INSTANCES = {
  one: { datacenter: 'dc1', address: '127.0.11.1' },
  two: { datacenter: 'dc1', address: '127.0.11.2' },
  three: { datacenter: 'dc1', address: '127.0.11.3' },
  far: { datacenter: 'dc2', address: '127.0.12.1' },
} as const;
type Instance = keyof typeof INSTANCES;

/** How often a client asks before it is believed whom it reaches: enough for each of three to get its turn. */
const ROUNDS = 30;

const dig = program('dig');
const haproxy = program('haproxy');
const nginx = program('nginx');

/** Programs that everyone has find the instances of a service by DNS, and follow as they come, go, and fail over. */
describe('real clients of the DNS server', () => {
  const stops: (() => Promise<unknown>)[] = [];
  let datacenters: TwoDatacenters;
  let folder = '';
  let dns = 0;
  /** Of all instances: a client that asks for addresses knows no other one. */
  let port = 0;

  async function health(name: Instance, status: 'passing' | 'critical'): Promise<void> {
    const { datacenter, address } = INSTANCES[name];
    await callAgent(datacenters[datacenter], 'PUT', '/v1/catalog/register', {
      Node: name,
      Address: address,
      Service: { ID: name, Service: 'app', Port: port },
      Check: { CheckID: `alive-${name}`, Name: 'alive', ServiceID: name, Status: status },
    });
  }

  async function serve(name: Instance): Promise<void> {
    const server = createServer((_request, response) => response.end(name));
    server.listen(port, INSTANCES[name].address);
    await once(server, 'listening');
    stops.push(async () => {
      server.close();
      server.closeAllConnections();
    });
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'isthmus-dns-clients-'));
    datacenters = await startTwoDatacenters();
    stops.push(() => datacenters.stop());
    dns = portOf(datacenters.dc1.ready.dns ?? '');
    port = (await freePorts(1)).first;
    await Promise.all((Object.keys(INSTANCES) as Instance[]).map(serve));
    await callAgent(datacenters.dc1, 'POST', '/v1/query', {
      Name: 'geo-app',
      Service: { Service: 'app', Failover: { Datacenters: ['dc2'] } },
    });
  });

  afterAll(async () => {
    for (const stop of stops.reverse()) await stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const sorted = (names: Iterable<string>): string[] => [...new Set(names)].sort();
  /** Whom `ask` reaches in many rounds becomes these, and no one else. */
  const becomes = (ask: () => Promise<readonly string[]>, wanted: readonly Instance[]): Promise<unknown> => {
    const target = JSON.stringify(sorted(wanted));
    let last = '';
    return waitFor(
      async () => {
        last = JSON.stringify(sorted(await ask()));
        if (last !== target) throw new Error(`now it is ${last}`);
        return true;
      },
      { what: `reaching ${target}`, timeout: 20_000 },
    );
  };

  /** The instances come and go; `service` and `geo` tell whom a client finds by the service and by the query. */
  async function follows(
    service: () => Promise<readonly string[]>,
    geo: () => Promise<readonly string[]>,
  ): Promise<void> {
    for (const name of ['one', 'two', 'far'] as const) await health(name, 'passing');
    await health('three', 'critical');
    await becomes(service, ['one', 'two']);
    await health('three', 'passing');
    await becomes(service, ['one', 'two', 'three']);
    await health('one', 'critical');
    await becomes(service, ['two', 'three']);
    await becomes(geo, ['two', 'three']);
    await health('two', 'critical');
    await health('three', 'critical');
    await becomes(geo, ['far']);
    await health('two', 'passing');
    await becomes(geo, ['two']);
    await becomes(service, ['two']);
  }

  const nameAt = (address: string): string =>
    (Object.keys(INSTANCES) as Instance[]).find((name) => INSTANCES[name].address === address) ?? address;
  /** Asks an HTTP server in front of the instances again and again. */
  const through = (front: number, path: string) => async (): Promise<readonly string[]> => {
    const names: string[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const { status, body } = await httpRequest(`http://127.0.0.1:${front}${path}`);
      names.push(status === 200 ? body : String(status));
    }
    return names;
  };

  it('Node: addresses and SRV records', async () => {
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${dns}`]);
    const geo = async (): Promise<readonly string[]> => (await resolver.resolve4('geo-app.query.consul')).map(nameAt);
    await follows(async () => (await resolver.resolve4('app.service.consul')).map(nameAt), geo);
    await follows(async () => {
      const records = await resolver.resolveSrv('app.service.consul');
      const addresses = await Promise.all(records.map(({ name }) => resolver.resolve4(name)));
      expect(records.every((record) => record.port === port)).toBe(true);
      return addresses.flat().map(nameAt);
    }, geo);
    await health('two', 'critical');
    await expect(resolver.resolve4('app.service.consul')).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });

  it.skipIf(dig.missing)(dig.title('dig: over UDP, TCP and with EDNS'), async () => {
    const run = (name: string, ...more: readonly string[]): Promise<readonly string[]> =>
      new Promise((resolve, reject) => {
        const args = ['@127.0.0.1', '-p', `${dns}`, '+short', '+tries=1', ...more, name];
        execFile(dig.path, args, (error, stdout) =>
          error === null ? resolve(stdout.split('\n').filter(Boolean)) : reject(error),
        );
      });
    const found = (more: string) => async (): Promise<readonly string[]> =>
      (await run('app.service.consul', more)).map(nameAt);
    await follows(found('+noedns'), async () => (await run('geo-app.query.consul')).map(nameAt));
    await becomes(found('+tcp'), ['two']);
    await becomes(found('+bufsize=1232'), ['two']);
    expect(await run('two.node.consul')).toEqual([INSTANCES.two.address]);
    expect(await run('2.11.0.127.in-addr.arpa', 'PTR')).toEqual(['two.node.dc1.consul.']);
    expect(await run('app.service.consul', 'SRV')).toEqual([`1 1 ${port} two.node.dc1.consul.`]);
  });

  it.skipIf(haproxy.missing)(
    haproxy.title('HAProxy: server templates filled by SRV records, and by a query'),
    async () => {
      const { first: front, last: geo } = await freePorts(2);
      const file = join(folder, 'haproxy.cfg');
      writeFileSync(
        file,
        `
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
resolvers isthmus
  nameserver near 127.0.0.1:${dns}
  accepted_payload_size 8192
  resolve_retries 3
  timeout resolve 200ms
  timeout retry 200ms
  hold valid 200ms
  hold obsolete 0s
  hold nx 0s
frontend service
  bind 127.0.0.1:${front}
  default_backend service
frontend geo
  bind 127.0.0.1:${geo}
  default_backend geo
backend service
  server-template app 1-5 _app._tcp.service.consul resolvers isthmus resolve-prefer ipv4 init-addr none check
backend geo
  server-template app 1-5 geo-app.query.consul:${port} resolvers isthmus resolve-prefer ipv4 init-addr none check
`,
      );
      const stop = await runProgram(haproxy.path, ['-db', '-f', file], front);
      try {
        await follows(through(front, '/'), through(geo, '/'));
      } finally {
        await stop();
      }
    },
    60_000,
  );

  it.skipIf(nginx.missing)(
    nginx.title('nginx: upstream names asked of its resolver'),
    async () => {
      const { first: front } = await freePorts(1);
      const file = join(folder, 'nginx.conf');
      const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
        (kind) => `${kind}_temp_path ${join(folder, kind)};`,
      );
      writeFileSync(
        file,
        `
daemon off;
pid ${join(folder, 'nginx.pid')};
error_log stderr;
events {}
http {
  access_log off;
  ${paths.join('\n  ')}
  resolver 127.0.0.1:${dns} valid=1s ipv6=off;
  server {
    listen 127.0.0.1:${front};
    location / {
      set $upstream app.service.consul;
      proxy_pass http://$upstream:${port};
    }
    location /geo {
      set $upstream geo-app.query.consul;
      proxy_pass http://$upstream:${port};
    }
  }
}
`,
      );
      const stop = await runProgram(nginx.path, ['-p', folder, '-e', 'stderr', '-c', file], front);
      try {
        await follows(through(front, '/'), through(front, '/geo'));
      } finally {
        await stop();
      }
    },
    60_000,
  );
});
