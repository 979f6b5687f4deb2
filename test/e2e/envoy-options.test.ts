import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type AgentProcess,
  assertNoneLeft,
  callAgent,
  envoyProgram,
  freePorts,
  httpRequest,
  isthmus,
  startAgent,
  startEnvoy,
  waitFor,
} from '../harness/index.ts';

const envoy = envoyProgram();
const TOKEN = '6f1c2f5e-aaaa-4bbb-8ccc-0123456789ab';

/** Processes of this machine whose command line or environment holds a text. */
function processesWith(part: 'cmdline' | 'environ', text: string): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const found = readFileSync(`/proc/${pid}/${part}`, 'utf8').includes(text);
        return found ? [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')] : [];
      } catch {
        return []; // it has ended, or belongs to someone else
      }
    });
}

describe.skipIf(envoy.missing)(envoy.title('isthmus connect envoy'), () => {
  let agent: AgentProcess;
  let metricsPort = 0;
  let statsPort = 0;
  /** First of two. */
  let exposePort = 0;
  const run = (...args: readonly string[]) =>
    isthmus(['connect', 'envoy', '-http-addr', agent.ready.http, '-grpc-addr', agent.ready.grpc ?? '', ...args]);
  const register = (name: string, config: Readonly<Record<string, unknown>> = {}): Promise<unknown> =>
    callAgent(agent, 'PUT', '/v1/agent/service/register', {
      Name: name,
      Port: 8_080,
      Connect: { SidecarService: { Proxy: { Config: config } } },
    });

  beforeAll(async () => {
    const ports = await freePorts(4);
    metricsPort = ports.first;
    statsPort = ports.first + 1;
    exposePort = ports.first + 2;
    agent = await startAgent({
      name: 'n1',
      datacenter: 'dc1',
      config: { ports: { grpc: 0, expose_min_port: exposePort, expose_max_port: exposePort + 1 } },
    });
    await callAgent(agent, 'PUT', '/v1/config', {
      Kind: 'proxy-defaults',
      Name: 'global',
      Config: { envoy_prometheus_bind_addr: `127.0.0.1:${metricsPort}`, envoy_stats_tags: ['team=blue'] },
    });
    await register('web', { envoy_stats_bind_addr: `127.0.0.1:${statsPort}` });
  });
  afterAll(async () => {
    await agent?.stop();
    await assertNoneLeft();
  });

  it('serves metrics with the tags of Consul, shows what was confirmed, and ends as its Envoy does', async () => {
    const web = await startEnvoy({ agent, sidecarFor: 'web' });
    const metrics = await httpRequest(`http://127.0.0.1:${metricsPort}/metrics`);
    expect(metrics.body).toMatch(/envoy_cluster_\w+\{[^}]*consul_source_service="web"[^}]*\} \d/);
    expect(metrics.body).toMatch(/team="blue"/);
    expect((await httpRequest(`http://127.0.0.1:${metricsPort}/stats`)).status).toBe(404);
    expect((await httpRequest(`http://127.0.0.1:${statsPort}/stats?filter=server.live`)).body).toContain('server.live');
    const people = await run('-status', '-sidecar-for', 'web');
    expect(people.out).toMatch(
      /^web-sidecar-proxy \(service web\): follows since .*\n(?:.*\n)*.*LDS +\d+ sent, last \w+; confirmed/,
    );
    expect(people.out).toContain('Nothing is rejected.');
    const json = JSON.parse((await run('-status', '-format=json')).out) as readonly unknown[];
    expect(json).toMatchObject([{ ProxyID: 'web-sidecar-proxy', Rejected: [] }]);
    expect(await run('-status', '-proxy-id', 'other')).toMatchObject({ code: 1 });
    web.process.signal('SIGTERM');
    expect(await web.process.exited).toEqual({ code: 0, signal: null });
  });

  it('without -grpc-addr, finds the port that the agent says is open', async () => {
    const { out } = await isthmus([
      ...['connect', 'envoy', '-http-addr', agent.ready.http],
      ...['-sidecar-for', 'web', '-bootstrap'],
    ]);
    const [, port] = /:(\d+)$/.exec(agent.ready.grpc ?? '') ?? [];
    expect(JSON.stringify(JSON.parse(out))).toContain(`{"address":"127.0.0.1","port_value":${port}}`);
  });

  it('shows its token to no other process and leaves it in no file', async () => {
    const before = new Set(readdirSync(tmpdir()));
    const web = await startEnvoy({ agent, sidecarFor: 'web', token: TOKEN });
    expect(await web.ask('/config_dump')).toContain(TOKEN);
    expect(processesWith('cmdline', TOKEN)).toEqual([]);
    // The command has it from whoever started it, where it stays the parent of the Envoy.
    expect(processesWith('environ', TOKEN).filter((line) => line.includes('--config-path'))).toEqual([]);
    await waitFor(
      async () => readdirSync(tmpdir()).every((name) => before.has(name) || !name.startsWith('isthmus-envoy')),
      {
        what: 'the folder of the pipe to go',
      },
    );
    await web.stop();
  });

  it('a bootstrap larger than a pipe holds goes through it', async () => {
    const extra = {
      name: 'extra',
      connect_timeout: '1s',
      metadata: { filter_metadata: { test: { text: 'x'.repeat(400_000) } } },
    };
    await register('large', {
      envoy_prometheus_bind_addr: '',
      envoy_extra_static_clusters_json: JSON.stringify(extra),
    });
    const large = await startEnvoy({ agent, sidecarFor: 'large' });
    expect(await large.ask('/clusters')).toContain('extra::');
    await large.stop();
  });

  it('ends by the signal that ended its Envoy', async () => {
    const web = await startEnvoy({ agent, sidecarFor: 'web' });
    const [child] = readFileSync(`/proc/${web.process.pid}/task/${web.process.pid}/children`, 'utf8').split(' ');
    process.kill(Number(child) || web.process.pid, 'SIGKILL');
    expect(await web.process.exited).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('refuses an Envoy that is not supported, none at all, and gateways', async () => {
    const old = join(agent.dataDir, 'old-envoy');
    writeFileSync(
      old,
      '#!/bin/sh\n[ "$1" = --version ] && echo "$0 version: abc/1.30.1/Clean/RELEASE/BoringSSL" && exit\nexit 7\n',
      {
        mode: 0o755,
      },
    );
    const refused = await run('-sidecar-for', 'web', '-envoy-binary', old);
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.err).toContain('Envoy version 1.30.1 is not supported');
    // It starts, and its exit code is passed on.
    expect((await run('-sidecar-for', 'web', '-envoy-binary', old, '-ignore-envoy-compatibility')).code).toBe(7);
    expect((await run('-sidecar-for', 'web', '-envoy-binary', old, '-envoy-version', '1.38.3')).code).toBe(7);
    expect((await run('-sidecar-for', 'web', '-envoy-binary', '/no/envoy')).err).toContain('-envoy-binary');
    expect((await run('-gateway', 'mesh')).err).toContain('gateways come with a later version');
  });

  it('carries the HTTP and gRPC checks of a service with expose.checks, and no others', async () => {
    const hosts = new Set<string>();
    const http = createServer((request, response) => {
      hosts.add(`http ${request.headers.host}`);
      response.end();
    });
    const grpc = createHttp2Server();
    grpc.on('stream', (stream, headers) => {
      hosts.add(`grpc ${headers[':authority']}`);
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, 1])); // SERVING
    });
    const servers = [http, grpc];
    for (const server of servers) await once(server.listen(0, '127.0.0.1'), 'listening');
    const [httpPort, grpcPort] = servers.map((server) => (server.address() as AddressInfo).port);
    await callAgent(agent, 'PUT', '/v1/agent/service/register', {
      Name: 'checked',
      Port: httpPort,
      Checks: [
        { HTTP: `http://127.0.0.1:${httpPort}/health`, Interval: '200ms' },
        { GRPC: `127.0.0.1:${grpcPort}`, Interval: '200ms' },
      ],
      Connect: { SidecarService: { Proxy: { Expose: { Checks: true } } } },
    });
    const arrive = (...wanted: readonly string[]) =>
      waitFor(async () => wanted.every((host) => hosts.has(host)), { what: `checks by ${wanted.join(', ')}` });
    const direct = [`http 127.0.0.1:${httpPort}`, `grpc 127.0.0.1:${grpcPort}`];
    await arrive(...direct);
    const checked = await startEnvoy({ agent, sidecarFor: 'checked' });
    await arrive(`http 127.0.0.1:${exposePort}`, `grpc 127.0.0.1:${exposePort + 1}`);
    expect((await httpRequest(`http://127.0.0.1:${exposePort}/health`)).status).toBe(200);
    expect((await httpRequest(`http://127.0.0.1:${exposePort}/other`)).status).toBe(404);
    const own = Object.values(networkInterfaces())
      .flat()
      .find((each) => each !== undefined && !each.internal && each.family === 'IPv4')?.address;
    // From another address than the agent's: no answer.
    if (own !== undefined) await expect(httpRequest(`http://${own}:${exposePort}/health`)).rejects.toThrow();
    await checked.stop();
    hosts.clear();
    await arrive(...direct); // without an Envoy the application itself is asked
    await callAgent(agent, 'PUT', '/v1/agent/service/deregister/checked');
    for (const server of servers) server.close();
  });

  it('writes access logs, and serves the paths that are exposed and no others', async () => {
    const application = createServer((request, response) => response.end(`answer of ${request.url}`));
    application.listen(0, '127.0.0.1');
    await once(application, 'listening');
    const log = join(agent.dataDir, 'access.log');
    const { first: port } = await freePorts(1);
    await callAgent(agent, 'PUT', '/v1/config', {
      Kind: 'proxy-defaults',
      Name: 'global',
      AccessLogs: { Enabled: true, Type: 'file', Path: log, JSONFormat: '{"path": "%REQ(:PATH)%"}' },
    });
    await callAgent(agent, 'PUT', '/v1/agent/service/register', {
      Name: 'exposed',
      Port: (application.address() as AddressInfo).port,
      Connect: {
        SidecarService: {
          Proxy: {
            Config: { balance_inbound_connections: 'exact_balance' },
            Expose: { Paths: [{ Path: '/health', ListenerPort: port, LocalPathPort: 0 }] },
          },
        },
      },
    });
    const exposed = await startEnvoy({ agent, sidecarFor: 'exposed' });
    expect((await httpRequest(`http://127.0.0.1:${port}/health`)).body).toBe('answer of /health');
    expect((await httpRequest(`http://127.0.0.1:${port}/other`)).status).toBe(404);
    await waitFor(
      async () => {
        await exposed.ask('/reopen_logs', 'POST'); // Envoy gathers lines for up to ten seconds
        return readFileSync(log, 'utf8').includes('{"path":"/health"}');
      },
      { what: 'the access log' },
    );
    expect((await run('-status', '-sidecar-for', 'exposed')).out).toContain('Nothing is rejected.');
    await exposed.stop();
    application.close();
  });

  it('every bootstrap is one that Envoy takes', async () => {
    await register('all', {
      envoy_statsd_url: 'udp://127.0.0.1:8125',
      envoy_dogstatsd_url: 'udp://127.0.0.1:8126',
      envoy_stats_flush_interval: '2s',
      envoy_prometheus_bind_addr: '127.0.0.1:20200',
      envoy_stats_bind_addr: '127.0.0.1:20201',
      envoy_tracing_json: JSON.stringify({
        http: {
          name: 'envoy.tracers.zipkin',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.config.trace.v3.ZipkinConfig',
            collector_cluster: 'zipkin',
            collector_endpoint: '/api/v2/spans',
            collector_endpoint_version: 'HTTP_JSON',
          },
        },
      }),
      xds_fetch_timeout_ms: 5,
      envoy_extra_static_clusters_json: '{"name": "zipkin", "connect_timeout": "1s"}',
    });
    for (const args of [
      ['-omit-deprecated-tags'],
      ['-prometheus-backend-port', '20100', '-prometheus-scrape-path', '/scrape'],
      ['-envoy-ready-bind-address', '127.0.0.1', '-envoy-ready-bind-port', '20300'],
    ]) {
      const { out, err, code } = await run('-sidecar-for', 'all', '-bootstrap', ...args);
      expect(code).toBe(0);
      expect(err).toContain('Warning: xds_fetch_timeout_ms has no effect');
      const file = join(agent.dataDir, 'bootstrap.json');
      writeFileSync(file, out);
      const { stdout, stderr } = spawnSync(envoy.path, ['--mode', 'validate', '-c', file], { encoding: 'utf8' });
      expect(stdout + stderr).toContain(`configuration '${file}' OK`);
    }
  });
});
