import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EnvoyStatus } from '../../src/model/envoy.ts';
import {
  type AgentProcess,
  assertNoneLeft,
  callAgent,
  type EnvoyService,
  envoyProgram,
  freePorts,
  type HttpAnswer,
  httpRequest,
  startAgent,
  startEnvoy,
  startEnvoyService,
  waitFor,
} from '../harness/index.ts';

const envoy = envoyProgram();
const TYPE = 'type.googleapis.com/envoy';
const any = (type: string, fields: object): object => ({ '@type': `${TYPE}.${type}`, ...fields });
const at = (port: number): object => ({
  endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
});
const cluster = (name: string, port: number, fields: object = {}): object => ({
  name,
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [at(port)] }] },
  ...fields,
});
const ROUTER = { name: 'envoy.filters.http.router', typed_config: any('extensions.filters.http.router.v3.Router', {}) };
const manager = (route: object): object => ({
  name: 'envoy.filters.network.http_connection_manager',
  typed_config: any('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'own',
    route_config: { virtual_hosts: [{ name: 'own', domains: ['*'], routes: [route] }] },
    http_filters: [ROUTER],
  }),
});

/** web asks api by HTTP/1.1; both behind Envoys of one agent. What users add to theirs is tried one by one. */
describe.skipIf(envoy.missing)(envoy.title('what users add to their Envoys'), () => {
  let agent: AgentProcess;
  let web: EnvoyService;
  let api: EnvoyService;
  const services: EnvoyService[] = [];
  const servers: (Server | GrpcServer)[] = [];

  const serve = async (answer: RequestListener): Promise<number> => {
    const server = createServer(answer);
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const application = (name: string): Promise<number> =>
    serve((asked, answer) => answer.end(JSON.stringify({ by: name, headers: asked.headers })));
  const entry = (fields: Readonly<Record<string, unknown>>): Promise<unknown> =>
    callAgent(agent, 'PUT', '/v1/config', fields);
  const service = async (name: string, options: Parameters<typeof startEnvoyService>[2]): Promise<EnvoyService> => {
    const started = await startEnvoyService(agent, name, options);
    services.push(started);
    return started;
  };
  const get = (from: EnvoyService, headers: Readonly<Record<string, string>> = {}): Promise<HttpAnswer> =>
    httpRequest(`http://127.0.0.1:${from.upstreamPorts.api ?? 0}/`, { headers, timeoutMs: 10_000 });
  const until = (what: string, test: () => Promise<unknown>): Promise<unknown> => waitFor(test, { what });
  const extend = (...EnvoyExtensions: readonly object[]): Promise<unknown> =>
    entry({ Kind: 'service-defaults', Name: 'api', Protocol: 'http', EnvoyExtensions });
  const rejected = async (proxy: string): Promise<EnvoyStatus['Rejected']> => {
    const all = await callAgent<readonly EnvoyStatus[]>(agent, 'GET', '/v1/agent/connect/envoys');
    return all.find(({ ProxyID }) => ProxyID === `${proxy}-sidecar-proxy`)?.Rejected ?? [];
  };

  beforeAll(async () => {
    agent = await startAgent({ name: 'n1', datacenter: 'dc1', config: { ports: { grpc: 0 } } });
    await extend();
    api = await service('api', { port: await application('api') });
    web = await service('web', { upstreams: [{ DestinationName: 'api' }] });
    await until('the way to api', async () => (await get(web)).status === 200);
  }, 60_000);
  afterAll(async () => {
    await Promise.all(services.map((each) => each.envoy.stop()));
    await agent?.stop();
    for (const server of servers) server instanceof GrpcServer ? server.forceShutdown() : server.close();
    await assertNoneLeft();
  });

  it('builtin/lua: a script changes requests that come in, and those that go out', async () => {
    const script = (name: string): string =>
      `function envoy_on_request(handle) handle:headers():add("x-lua", "${name}") end`;
    await extend({
      Name: 'builtin/lua',
      Arguments: { ProxyType: 'connect-proxy', Listener: 'inbound', Script: script('in') },
    });
    await until('the script', async () => (await get(web)).body.includes('"x-lua":"in"'));
    await entry({
      Kind: 'service-defaults',
      Name: 'web',
      EnvoyExtensions: [{ Name: 'builtin/lua', Arguments: { ListenerType: 'outbound', Script: script('out') } }],
    });
    await until('both scripts', async () => (await get(web)).body.includes('"x-lua":"out, in"'));
    await extend();
    await callAgent(agent, 'DELETE', '/v1/config/service-defaults/web');
    await until('no script', async () => !(await get(web)).body.includes('x-lua'));
  });

  it('builtin/ext-authz: a service decides, and when it is away nothing gets in', async () => {
    const asked: string[] = [];
    const port = await serve((request, answer) => {
      asked.push(`${request.url} ${String(request.headers['x-user'])}`);
      answer.statusCode = request.headers['x-user'] === 'ann' ? 200 : 401;
      answer.setHeader('x-decided', 'yes');
      answer.end();
    });
    const http = (target: number): object => ({
      Name: 'builtin/ext-authz',
      Required: true,
      Arguments: {
        ProxyType: 'connect-proxy',
        Config: {
          HttpService: {
            Target: { URI: `localhost:${target}` },
            PathPrefix: '/check',
            AuthorizationRequest: { AllowedHeaders: [{ Exact: 'x-user' }] },
            AuthorizationResponse: { AllowedUpstreamHeaders: [{ Prefix: 'x-dec' }] },
          },
        },
      },
    });
    await extend(http(port));
    await until('the decisions', async () => (await get(web)).status === 401);
    expect((await get(web, { 'x-user': 'ann' })).body).toContain('"x-decided":"yes"');
    expect(asked).toContain('/check/ ann');
    await extend(http((await freePorts(1)).first));
    await until('nobody that decides', async () => (await get(web, { 'x-user': 'ann' })).status === 403);
    // Required, and it can't be carried out: what was there before goes on.
    await extend({
      Name: 'builtin/ext-authz',
      Required: true,
      Arguments: { Config: { GrpcService: { Target: { Service: { Name: 'nowhere' } } } } },
    });
    await until('the reason', async () => (await rejected('api'))[0]?.Error.includes('no upstream nowhere'));
    expect((await get(web, { 'x-user': 'ann' })).status).toBe(403);
    await extend();
    await until('the way to api', async () => (await get(web)).status === 200);
    expect(await rejected('api')).toEqual([]);
  });

  it('builtin/property-override: fields are set by their path, and a wrong path is named', async () => {
    const patch = (Path: string, Value: unknown): object => ({
      Name: 'builtin/property-override',
      Arguments: {
        ProxyType: 'connect-proxy',
        Patches: [
          { ResourceFilter: { ResourceType: 'cluster', TrafficDirection: 'inbound' }, Op: 'add', Path, Value },
          {
            ResourceFilter: { ResourceType: 'listener', TrafficDirection: 'inbound' },
            Op: 'add',
            Path: '/per_connection_buffer_limit_bytes',
            Value: 70_000,
          },
        ],
      },
    });
    await extend(patch('/upstream_connection_options/tcp_keepalive/keepalive_time', 77));
    await until('the fields', async () => {
      const dump = await api.envoy.ask('/config_dump');
      return dump.includes('"keepalive_time": 77') && dump.includes('"per_connection_buffer_limit_bytes": 70000');
    });
    expect((await get(web)).status).toBe(200);
    await extend(patch('/no_such_field', 1));
    await until('the reason', async () => (await rejected('api'))[0]?.Error.includes('has no field no_such_field'));
    expect((await get(web)).status).toBe(200);
    await extend();
  });

  it('builtin/otel-access-logging: a collector gets a line about each request', async () => {
    let logged = '';
    const collector = new GrpcServer();
    servers.push(collector);
    const raw = { deserialize: (bytes: Buffer) => bytes, serialize: (bytes: Buffer) => bytes };
    collector.addService(
      {
        Export: {
          path: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
          requestStream: false,
          responseStream: false,
          requestDeserialize: raw.deserialize,
          requestSerialize: raw.serialize,
          responseDeserialize: raw.deserialize,
          responseSerialize: raw.serialize,
        },
      },
      {
        Export: (call: { request: Buffer }, done: (error: null, answer: Buffer) => void) => {
          logged += call.request.toString('latin1');
          done(null, Buffer.alloc(0));
        },
      },
    );
    const port = await new Promise<number>((resolve, reject) =>
      collector.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    await extend({
      Name: 'builtin/otel-access-logging',
      Arguments: {
        ProxyType: 'connect-proxy',
        ListenerType: 'inbound',
        Config: {
          LogName: 'lines',
          GrpcService: { Target: { URI: `127.0.0.1:${port}` } },
          BufferFlushInterval: '100ms',
          Body: 'asked %REQ(X-MARK)%',
          Attributes: { code: '%RESPONSE_CODE%' },
        },
      },
    });
    await until('a line', async () => {
      await get(web, { 'x-mark': 'by-web' });
      return logged.includes('asked by-web') && logged.includes('code');
    });
    await extend();
  });

  it('builtin/wasm: an Envoy without a runtime says so, and goes on with what it had', async () => {
    await extend({
      Name: 'builtin/wasm',
      Required: true,
      Arguments: {
        Protocol: 'http',
        ListenerType: 'inbound',
        PluginConfig: { VmConfig: { Code: { Local: { Filename: '/no/such.wasm' } } } },
      },
    });
    await until('the reason', async () => (await rejected('api')).some(({ Type }) => Type === 'LDS'));
    expect((await get(web)).status).toBe(200);
    await extend();
    await until('no rejection', async () => (await rejected('api')).length === 0);
  });

  it('envoy_public_listener_json and envoy_local_cluster_json: TLS and the rules are put back', async () => {
    const other = await application('other');
    const config = {
      envoy_public_listener_json: JSON.stringify(
        any('config.listener.v3.Listener', {
          name: 'mine',
          address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
          filter_chains: [
            {
              filters: [
                manager({
                  match: { prefix: '/' },
                  route: { cluster: 'local_app' },
                  response_headers_to_add: [{ header: { key: 'x-own', value: 'listener' } }],
                }),
              ],
            },
          ],
        }),
      ),
      envoy_local_cluster_json: JSON.stringify(cluster('local_app', other)),
    };
    await entry({ Kind: 'service-defaults', Name: 'own', Protocol: 'http' });
    const { first: port } = await freePorts(1);
    const filled = {
      ...config,
      envoy_public_listener_json: config.envoy_public_listener_json.replace('"port_value":0', `"port_value":${port}`),
    };
    await callAgent(agent, 'PUT', '/v1/agent/service/register', {
      Name: 'own',
      Port: 1,
      Connect: { SidecarService: { Port: port, Proxy: { Config: filled } } },
    });
    const own = await startEnvoy({ agent, sidecarFor: 'own' });
    services.push({ id: 'own', envoy: own, upstreamPorts: {} });
    const caller = await service('caller', { upstreams: [{ DestinationName: 'own' }] });
    const ask = (): Promise<HttpAnswer> => httpRequest(`http://127.0.0.1:${caller.upstreamPorts.own ?? 0}/`);
    await until('the own listener', async () => (await ask()).headers['x-own'] === 'listener');
    expect((await ask()).body).toContain('"by":"other"');
    // In plain text nothing is said.
    const plain = connect(port, '127.0.0.1');
    plain.on('error', () => undefined);
    plain.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    let heard = '';
    plain.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
    });
    await once(plain, 'close');
    expect(heard).not.toContain('HTTP/1.1');
    await entry({
      Kind: 'service-intentions',
      Name: 'own',
      Sources: [{ Name: 'caller', Permissions: [{ Action: 'deny', HTTP: { PathPrefix: '/' } }] }],
    });
    await until('the rule', async () => (await ask()).status === 403);
    await callAgent(agent, 'DELETE', '/v1/config/service-intentions/own');
    expect(await rejected('own')).toEqual([]);
  });

  it('envoy_listener_json and envoy_cluster_json of an upstream; a wrong one is named and does nothing', async () => {
    const { first: port } = await freePorts(1);
    const [{ ServicePort } = { ServicePort: 0 }] = await callAgent<readonly { readonly ServicePort: number }[]>(
      agent,
      'GET',
      '/v1/catalog/connect/api',
    );
    const client = await service('client', {
      upstreams: [
        {
          DestinationName: 'api',
          LocalBindPort: port,
          Config: {
            envoy_listener_json: JSON.stringify({
              name: 'mine',
              address: { socket_address: { address: '127.0.0.1', port_value: port } },
              filter_chains: [{ filters: [manager({ match: { prefix: '/' }, direct_response: { status: 299 } })] }],
            }),
          },
        },
      ],
    });
    expect((await get(client)).status).toBe(299);
    const replaced = await service('replaced', {
      upstreams: [
        {
          DestinationName: 'api',
          Config: {
            envoy_cluster_json: JSON.stringify(cluster('any', ServicePort, { max_requests_per_connection: 1 })),
          },
        },
      ],
    });
    await until('the own cluster', async () => (await get(replaced)).status === 200);
    expect(await replaced.envoy.ask('/config_dump')).toContain('"max_requests_per_connection": 1');
    const wrong = await service('wrong', {
      upstreams: [{ DestinationName: 'api', Config: { envoy_cluster_json: '{"no_such_field": 1}' } }],
    });
    await until('the way to api', async () => (await get(wrong)).status === 200);
    expect(await rejected('wrong')).toMatchObject([
      { Type: 'option', Error: expect.stringContaining('no_such_field') },
    ]);
  });

  it('envoy_listener_tracing_json: spans of both sides reach the collector, with the same trace', async () => {
    const spans: { readonly traceId: string; readonly localEndpoint?: { readonly serviceName?: string } }[] = [];
    const port = await serve((asked, answer) => {
      let body = '';
      asked.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      asked.on('end', () => {
        spans.push(...(JSON.parse(body) as typeof spans));
        answer.statusCode = 202;
        answer.end();
      });
    });
    const provider = {
      name: 'envoy.tracers.zipkin',
      typed_config: any('config.trace.v3.ZipkinConfig', {
        collector_cluster: 'zipkin',
        collector_endpoint: '/api/v2/spans',
        collector_endpoint_version: 'HTTP_JSON',
      }),
    };
    const config = {
      envoy_extra_static_clusters_json: JSON.stringify(cluster('zipkin', port)),
      envoy_listener_tracing_json: JSON.stringify({ provider, random_sampling: { value: 100 } }),
    };
    await entry({ Kind: 'service-defaults', Name: 'traced', Protocol: 'http' });
    await service('traced', { port: await application('traced'), config });
    const tracer = await service('tracer', { upstreams: [{ DestinationName: 'traced' }], config });
    await until('spans', async () => {
      await httpRequest(`http://127.0.0.1:${tracer.upstreamPorts.traced ?? 0}/`);
      const names = new Map<string, Set<string>>();
      for (const { traceId, localEndpoint } of spans)
        names.set(traceId, (names.get(traceId) ?? new Set()).add(localEndpoint?.serviceName ?? ''));
      return [...names.values()].some((of) => of.has('tracer') && of.has('traced'));
    });
  });
});
