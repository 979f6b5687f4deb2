import { createServer, type Server } from 'node:http';
import type { Service } from '../lib/service.ts';
import type { Logger } from '../telemetry/types.ts';
import { listen } from './wire/listening.ts';
import { hostPort } from './wire/sockets.ts';

export interface MetricsPageDeps {
  readonly log: Logger;
  /** The page, in Prometheus' text format. */
  readonly render: () => Promise<string>;
  readonly address: string;
  /** 0 picks one. */
  readonly port: number;
}

export interface MetricsPage extends Service {
  /** Bound address, once started. */
  address(): string;
}

/** A small HTTP server with one page, `/metrics`. */
export function createMetricsPage(deps: MetricsPageDeps): MetricsPage {
  let server: Server | undefined;
  let bound = 0;
  return {
    name: 'metrics page',
    async start() {
      server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
        const [path] = (request.url ?? '').split('?');
        if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
          response.writeHead(path === '/metrics' ? 405 : 404, { 'content-type': 'text/plain; charset=utf-8' });
          response.end('the page is GET /metrics\n');
          return;
        }
        deps.render().then(
          (text) => {
            response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
            response.end(request.method === 'HEAD' ? undefined : text);
          },
          (error: unknown) => {
            deps.log.error('metrics not rendered', { error: error instanceof Error ? error.message : String(error) });
            response.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' });
            response.end('the metrics could not be rendered; the log says why\n');
          },
        );
      });
      bound = await listen(server, deps.address, deps.port);
    },
    async stop() {
      const running = server;
      if (running === undefined) return;
      await new Promise<void>((resolve) => {
        running.close(() => resolve());
        running.closeAllConnections();
      });
    },
    address: () => hostPort(deps.address === '' ? '127.0.0.1' : deps.address, bound),
  };
}
