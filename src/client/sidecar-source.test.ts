import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { systemClock } from '../lib/clock.ts';
import type { SidecarUpdate } from '../model/sidecar.ts';
import { createSidecarSource, type SidecarTarget } from './sidecar-source.ts';
import { createTransport } from './transport.ts';

let server: Server | undefined;
afterEach(() => {
  server?.close();
  server?.closeAllConnections();
});

async function agent(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const TARGET: SidecarTarget = { kind: 'proxy', proxyId: 'web-sidecar-proxy' };

function first(updates: AsyncIterable<SidecarUpdate>): Promise<IteratorResult<SidecarUpdate>> {
  return updates[Symbol.asyncIterator]().next();
}

describe('sidecar source over HTTP', () => {
  it('yields updates however they are cut, and acknowledges to the stream they came from', async () => {
    const seen: string[] = [];
    const address = await agent((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      if (request.method === 'PUT') {
        response.end();
        return;
      }
      response.write('{"session":"s 1"}\n{"version":1,"conf');
      setImmediate(() => response.write('ig":{"proxyId":"p"}}\n{}\n{"version":2}\n'));
    });
    const transport = createTransport({ address });
    const source = createSidecarSource({ transport, clock: systemClock }, TARGET);
    const stop = new AbortController();
    const got: SidecarUpdate[] = [];
    for await (const update of source.updates(stop.signal)) {
      got.push(update);
      await source.acknowledge(update.version, stop.signal);
      if (got.length === 2) stop.abort();
    }
    expect(got).toEqual([{ version: 1, config: { proxyId: 'p' } }, { version: 2 }]);
    expect(seen).toEqual([
      'GET /v1/internal/sidecar?proxy=web-sidecar-proxy',
      'PUT /v1/internal/sidecar/s%201/ack?version=1',
      'PUT /v1/internal/sidecar/s%201/ack?version=2',
    ]);
    await expect(source.acknowledge(2, new AbortController().signal)).rejects.toMatchObject({ code: 'unavailable' });
    transport.close();
  });

  it('adds what only the command line of a standalone proxy knows', async () => {
    let url = '';
    const address = await agent((request, response) => {
      url = request.url ?? '';
      response.write('{"session":"s"}\n{"version":1,"config":{"proxyId":"p"}}\n');
    });
    const transport = createTransport({ address });
    const listen = { address: '127.0.0.1', port: 1 };
    const local = { address: '127.0.0.1', port: 2 };
    const target: SidecarTarget = { kind: 'standalone', service: 'web', upstreams: ['db.dc2:1', 'c:2'], listen, local };
    const stop = new AbortController();
    for await (const update of createSidecarSource({ transport, clock: systemClock }, target).updates(stop.signal)) {
      expect(update.config).toEqual({ proxyId: 'p', listen, local });
      stop.abort();
    }
    expect(url).toBe('/v1/internal/sidecar?service=web&upstream=db.dc2%3A1&upstream=c%3A2');
    transport.close();
  });

  it('tells a refusal, a broken stream, nonsense and silence apart', async () => {
    const answers: ((response: ServerResponse) => void)[] = [
      (response) => response.writeHead(404).end('unknown proxy'),
      (response) => response.write('{"session":"s"}\n', () => response.destroy()),
      (response) => response.write('hello\n'),
      (response) => response.write('{"session":"s"}\n'),
    ];
    const address = await agent((_request, response) => answers.shift()?.(response));
    const clock = new FakeClock();
    const transport = createTransport({ address });
    const source = createSidecarSource({ transport, clock }, TARGET, { silenceMs: 1_000 });
    const never = new AbortController().signal;
    await expect(first(source.updates(never))).rejects.toMatchObject({ code: 'not_found' });
    await expect(first(source.updates(never))).rejects.toMatchObject({ code: 'unavailable' });
    await expect(first(source.updates(never))).rejects.toMatchObject({ code: 'unavailable' });
    const silent = first(source.updates(never));
    silent.catch(() => undefined); // looked at below
    await clock.waitArmed();
    await clock.advance(1_001);
    await expect(silent).rejects.toMatchObject({ code: 'deadline' });
    transport.close();
  });
});
