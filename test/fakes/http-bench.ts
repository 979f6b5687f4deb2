import { createServer, type IncomingMessage, type RequestOptions, request, type ServerResponse } from 'node:http';
import { createServer as createHttp2, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { Duplex } from 'node:stream';
import { NO_CHANGES } from '../../src/model/layer7/headers.ts';
import { compileMesh } from '../../src/model/layer7/mesh-settings.ts';
import type { Destination, RequestProtocol, Route, Split } from '../../src/model/layer7/route-table.ts';
import type { SidecarInbound, SidecarRequests } from '../../src/model/sidecar.ts';
import { fakeEndpoint } from './fake-mesh.ts';
import { listening, portOf, type SidecarBench } from './sidecar-bench.ts';

export const HTTP: SidecarInbound = { protocol: 'http', mesh: compileMesh() };
export const HTTP2: SidecarInbound = { ...HTTP, protocol: 'http2' };

/** An application that answers HTTP/1.1; returns its port. */
export async function httpApp(
  bench: SidecarBench,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  onUpgrade?: (request: IncomingMessage, socket: Duplex) => void,
): Promise<number> {
  const server = createServer(handler);
  const upgraded = new Set<Duplex>();
  if (onUpgrade !== undefined)
    server.on('upgrade', (incoming, socket) => {
      upgraded.add(socket);
      onUpgrade(incoming, socket);
    });
  const port = await listening(server);
  bench.defer(async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    for (const socket of upgraded) socket.destroy();
    await closed;
  });
  return port;
}

/** An application that answers HTTP/2 without TLS; returns its port. */
export async function http2App(
  bench: SidecarBench,
  handler: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
): Promise<number> {
  const server = createHttp2({}, handler);
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => void sessions.add(session));
  const port = await listening(server);
  bench.defer(async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const session of sessions) session.destroy();
    await closed;
  });
  return port;
}

export function split(destination: string, weight = 10_000, more: Partial<Split> = {}): Split {
  return { destination, weight, requestHeaders: NO_CHANGES, responseHeaders: NO_CHANGES, ...more };
}

export function route(more: Partial<Route> = {}): Route {
  return {
    match: { headers: [], query: [], methods: [] },
    splits: [split('db')],
    requestTimeoutMs: 15_000,
    requestHeaders: NO_CHANGES,
    responseHeaders: NO_CHANGES,
    hashPolicies: [],
    ...more,
  };
}

/** Requests to one upstream: targets by name, each with the addresses of its instances, all of service db in dc2. */
export function requestsTo(
  targets: Readonly<Record<string, readonly string[]>>,
  options: {
    readonly routes?: readonly Route[];
    readonly destinations?: Readonly<Record<string, Partial<Destination>>>;
    readonly protocol?: RequestProtocol;
  } = {},
): SidecarRequests {
  const { routes = [route()], destinations = {}, protocol = 'http' } = options;
  const names = Object.keys(targets);
  return {
    table: {
      service: 'db',
      protocol,
      routes,
      destinations: Object.fromEntries(
        names.map((name) => [
          name,
          { targets: [name], connectTimeoutMs: 5_000, balancer: { policy: 'round_robin' }, ...destinations[name] },
        ]),
      ),
      targets: Object.fromEntries(
        names.map((name) => [name, { id: name, service: 'db', datacenter: 'dc2', sni: 'db' }]),
      ),
    },
    endpoints: Object.fromEntries(
      Object.entries(targets).map(([name, addresses]) => [
        name,
        addresses.map((address) => ({ ...fakeEndpoint(address, 'db', 'dc2'), target: name })),
      ]),
    ),
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly trailers: IncomingMessage['trailers'];
}

/** One request to `host:port`, with its whole answer. */
export function ask(
  address: string,
  path = '/',
  options: RequestOptions & { readonly body?: string | Buffer } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port: portOf(address), path, agent: false, ...options },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () => {
          const { statusCode: status = 0, headers, trailers } = incoming;
          resolve({ status, headers, body: Buffer.concat(chunks).toString(), trailers });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(options.body);
  });
}
