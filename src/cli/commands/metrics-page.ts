import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { HostPort } from './proxy-options.ts';

export interface MetricsPage {
  readonly address: string;
  close(): Promise<void>;
}

/** Serves `GET /metrics`. */
export async function serveMetrics(
  at: HostPort,
  metrics: { readonly prometheusType: string; prometheus(): Promise<string> },
): Promise<MetricsPage> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404).end('only GET /metrics is here\n');
      return;
    }
    metrics.prometheus().then(
      (text) => response.writeHead(200, { 'content-type': metrics.prometheusType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.address, resolve);
  });
  const { address, port, family } = server.address() as AddressInfo;
  return {
    address: family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
