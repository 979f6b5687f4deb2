import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import {
  ALLOW_ALL,
  FakeAuthority,
  FakeSidecarSource,
  fakeConfig,
  fakeEndpoint,
  fakeUpstream,
} from '../../test/fakes/fake-mesh.ts';
import { systemClock } from '../lib/clock.ts';
import { noLog, noMetrics } from '../telemetry/types.ts';
import { createSidecar } from './sidecar.ts';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const step of cleanups.splice(0).reverse()) await step();
});

async function echo(): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => void server.close());
  return (server.address() as { port: number }).port;
}

describe('sidecar', () => {
  it('carries a connection over a tunnel', async () => {
    const ca = new FakeAuthority();
    const port = await echo();
    const never = new AbortController().signal;
    const db = new FakeSidecarSource({
      config: fakeConfig({ service: 'db', datacenter: 'dc2', localPort: port }),
      roots: ca.roots(),
      leaf: ca.leaf('db', 'dc2'),
      verdicts: ALLOW_ALL,
    });
    const dbSidecar = createSidecar({ source: db, clock: systemClock, log: noLog, metrics: noMetrics });
    await dbSidecar.start(never);
    cleanups.push(() => dbSidecar.stop());
    const upstream = fakeUpstream('db', 'dc2');
    const web = new FakeSidecarSource({
      config: fakeConfig({ service: 'web', datacenter: 'dc1', upstreams: [upstream] }),
      roots: ca.roots(),
      leaf: ca.leaf('web', 'dc1'),
      verdicts: ALLOW_ALL,
      endpoints: { [upstream.key]: [fakeEndpoint(dbSidecar.addresses().listen!, 'db', 'dc2')] },
    });
    const webSidecar = createSidecar({ source: web, clock: systemClock, log: noLog, metrics: noMetrics });
    await webSidecar.start(never);
    cleanups.push(() => webSidecar.stop());
    const address = webSidecar.addresses().upstreams[upstream.key]!;
    const socket = connect({ host: '127.0.0.1', port: Number(address.split(':')[1]), allowHalfOpen: true });
    socket.end('hello');
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe('hello');
    expect(dbSidecar.stats().inbound.tunnels).toBe(1);
    expect(dbSidecar.stats().inbound.connections).toBe(0);
  });
});
