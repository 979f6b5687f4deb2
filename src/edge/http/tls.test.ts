import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { TestAuthority } from '../../../test/fakes/agent-certificates.ts';
import { startTestEdge, type TestEdge } from '../../../test/fakes/http-edge.ts';

const authority = new TestAuthority();
let edge: TestEdge | undefined;

afterEach(async () => {
  await edge?.stop();
  edge = undefined;
});

const GET = 'GET /v1/catalog/services HTTP/1.1\r\nHost: x\r\n\r\n';
const PUT = 'PUT /v1/catalog/register HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{"Node":"n"}';

async function start(requireClientCertificate = false): Promise<TestEdge> {
  const { options: context } = authority.material('server');
  edge = await startTestEdge({
    listeners: [{ kind: 'tcp', host: '127.0.0.1', port: 0, tls: { context, requireClientCertificate } }],
  });
  return edge;
}

async function dial({ port }: TestEdge, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', ca: authority.ca, servername: 'localhost', ...options });
  socket.setEncoding('latin1');
  await once(socket, 'secureConnect');
  return socket;
}

async function ask(socket: TLSSocket, request: string): Promise<string> {
  socket.write(request);
  return (await once(socket, 'data'))[0] as string;
}

describe('HTTPS', () => {
  it('answers simple GETs straight from the socket, and all else on the same connection', async () => {
    const socket = await dial(await start());
    for (let n = 0; n < 3; n += 1) {
      const answer = await ask(socket, GET);
      expect(answer).toMatch(/^HTTP\/1.1 200 OK\r\n/);
      expect(answer).not.toMatch(/^Keep-Alive: /m); // Node's way has it
    }
    expect(await ask(socket, PUT)).toMatch(/^HTTP\/1.1 200 OK\r\n(?:.*\r\n)*Keep-Alive: (?:.*\r\n)*\r\ntrue/);
    expect(await ask(socket, GET)).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect((edge as TestEdge).contract.calls.map(({ name }) => name)).toEqual([
      'catalog.services',
      'catalog.services',
      'catalog.services',
      'catalog.register',
      'catalog.services',
    ]);
    socket.destroy();
  });

  it('says to whoever speaks HTTP that this is the HTTPS port', async () => {
    const { port } = await start();
    for (const request of [GET, PUT, 'GET / HTTP/1.0\r\n\r\n']) {
      const socket = connectPlain(port, '127.0.0.1', () => socket.write(request));
      let text = '';
      socket.setEncoding('latin1');
      socket.on('data', (chunk: string) => {
        text += chunk;
      });
      await once(socket, 'close');
      expect(text).toMatch(/^HTTP\/1\.0 400 Bad Request\r\n/);
      expect(text).toContain('\r\n\r\nClient sent an HTTP request to an HTTPS server.\n');
    }
    expect(await ask(await dial(edge as TestEdge), GET)).toMatch(/^HTTP\/1.1 200 OK/);
  });

  it('lets in only clients with a certificate of the authorities, when it is to', async () => {
    const served = await start(true);
    const { cert, key } = authority.make('cli');
    const known = await dial(served, { cert, key });
    expect(await ask(known, GET)).toMatch(/^HTTP\/1.1 200/);
    known.destroy();
    const stranger = new TestAuthority('Other CA').make('cli');
    for (const own of [{}, stranger]) {
      const socket = await dial(served, own);
      socket.on('error', () => undefined);
      let text = '';
      socket.on('data', (chunk) => (text += chunk));
      socket.write(GET);
      await new Promise<void>((resolve) => socket.once('close', () => resolve()));
      expect(text).toBe('');
    }
    expect(served.contract.calls).toHaveLength(1);
  });

  it('uses new certificates for new connections', async () => {
    const served = await start();
    const open = await dial(served);
    const before = open.getPeerX509Certificate()?.serialNumber;
    served.edge.setTls(authority.material('server').options);
    const next = await dial(served);
    expect(next.getPeerX509Certificate()?.serialNumber).not.toBe(before);
    expect(await ask(open, GET)).toMatch(/^HTTP\/1.1 200/);
    for (const socket of [open, next]) socket.destroy();
  });

  it('speaks no TLS below 1.2', async () => {
    await expect(dial(await start(), { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' })).rejects.toThrow();
  });

  it('stops although handshakes are under way', async () => {
    const served = await start();
    const socket = connectPlain(served.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.on('error', () => undefined);
    socket.write(Buffer.from([0x16, 3, 1])); // the beginning of one
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const idle = await dial(served); // the other has arrived before this one
    await served.stop();
    edge = undefined;
    await closed;
    idle.destroy();
  });
});
