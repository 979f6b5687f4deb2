import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer as createHttp2Server, createSecureServer } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Server as GrpcServer, ServerCredentials, status, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { type MadePair, TestAuthority } from '../../../../test/fakes/agent-certificates.ts';
import { systemClock } from '../../../lib/clock.ts';
import { probeGrpc } from './grpc.ts';
import { probeH2Ping } from './h2ping.ts';
import { USUAL_REACH } from './reach.ts';
import type { CheckResult } from './runner.ts';
import { probeTcp } from './tcp.ts';
import { probeUdp } from './udp.ts';

const SIGNAL = new AbortController().signal;
const ends: (() => unknown)[] = [];
const sockets = new Set<Socket>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const end of ends.splice(0)) await end();
});

async function listen(server: TcpServer): Promise<string> {
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  ends.push(() => new Promise((resolve) => server.close(resolve)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An address that nothing listens at. */
async function closed(): Promise<string> {
  const server = createTcpServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

/** Takes connections and never says a word. */
const silent = (): Promise<string> => listen(createTcpServer());

const pair = (): MadePair => new TestAuthority().make('server');
const unknownAuthority = 'tls: failed to verify certificate: x509: certificate signed by unknown authority';

describe('TCP with TLS', () => {
  it('passes when the other side proves itself, or need not', async () => {
    const address = await listen(createTlsServer(pair()));
    const probe = (skipVerify: boolean): Promise<CheckResult> =>
      probeTcp(systemClock, address, 10_000, SIGNAL, USUAL_REACH, { skipVerify });
    expect(await probe(true)).toEqual({ status: 'passing', output: `TCP+TLS connect ${address}: Success` });
    expect(await probe(false)).toEqual({ status: 'critical', output: unknownAuthority });
  });

  it('sends the name that is wanted, else that of the host', async () => {
    const names: unknown[] = [];
    const server = createTlsServer(pair());
    server.on('secureConnection', (socket) => names.push(socket.servername));
    const address = await listen(server);
    const port = address.split(':')[1];
    for (const [host, serverName] of [
      [address, 'web.example'],
      [`localhost:${port}`, undefined],
      [address, undefined],
    ] as const)
      await probeTcp(systemClock, host, 10_000, SIGNAL, USUAL_REACH, {
        skipVerify: true,
        ...(serverName === undefined ? {} : { serverName }),
      });
    await expect.poll(() => names, { timeout: 10_000 }).toEqual(['web.example', 'localhost', false]);
  });

  it('is critical where something else is spoken', async () => {
    const address = await listen(createTcpServer((socket) => socket.end('220 hello\r\n')));
    const { status, output } = await probeTcp(systemClock, address, 10_000, SIGNAL, USUAL_REACH, { skipVerify: true });
    expect([status, output]).toEqual(['critical', expect.stringContaining('tls: first record does not look like')]);
  });
});

describe('UDP', () => {
  const bound: UdpSocket[] = [];
  const answering = async (answer: boolean): Promise<string> => {
    const socket = createSocket('udp4');
    bound.push(socket);
    ends.push(() => socket.close());
    socket.on('message', (_message, { port }) => {
      if (answer) socket.send('x', port, '127.0.0.1');
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return `127.0.0.1:${socket.address().port}`;
  };

  it('passes when it is answered, and when nothing comes', async () => {
    for (const [answer, timeoutMs] of [
      [true, 60_000],
      [false, 50],
    ] as const) {
      const address = await answering(answer);
      expect(await probeUdp(systemClock, address, timeoutMs, SIGNAL)).toEqual({
        status: 'passing',
        output: `UDP connect ${address}: Success`,
      });
    }
  });

  it('is critical where nothing listens', async () => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const address = `127.0.0.1:${socket.address().port}`;
    await new Promise<void>((resolve) => socket.close(resolve));
    expect(await probeUdp(systemClock, address, 60_000, SIGNAL)).toEqual({
      status: 'critical',
      output: expect.stringContaining(`dial udp ${address}: connect: connection refused`),
    });
  });
});

describe('HTTP/2 ping', () => {
  const tls = { skipVerify: true };

  it('passes when the ping is answered, with TLS and without', async () => {
    const passing = { status: 'passing', output: 'HTTP2 ping was successful' };
    const plain = await listen(createHttp2Server());
    expect(await probeH2Ping(systemClock, plain, 10_000, SIGNAL)).toEqual(passing);
    const secure = await listen(createSecureServer(pair()));
    expect(await probeH2Ping(systemClock, secure, 10_000, SIGNAL, USUAL_REACH, tls)).toEqual(passing);
    expect(await probeH2Ping(systemClock, secure, 10_000, SIGNAL, USUAL_REACH, { skipVerify: false })).toEqual({
      status: 'critical',
      output: `Failed to dial to ${secure}: ${unknownAuthority}`,
    });
  });

  it('is critical where nothing listens, something else is spoken, or nothing is said', async () => {
    const gone = await closed();
    expect(await probeH2Ping(systemClock, gone, 10_000, SIGNAL)).toEqual({
      status: 'critical',
      output: `Failed to dial to ${gone}: dial tcp ${gone}: connect: connection refused`,
    });
    const other = await listen(createTcpServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
    expect(await probeH2Ping(systemClock, other, 10_000, SIGNAL)).toMatchObject({
      status: 'critical',
      output: expect.stringContaining('HTTP2 ping failed: '),
    });
    expect(await probeH2Ping(systemClock, await silent(), 3_000, SIGNAL)).toEqual({
      status: 'critical',
      output: 'HTTP2 ping failed: context deadline exceeded',
    });
  });
});

describe('gRPC', () => {
  /** A real server with the health service; `states` by name, and 5 (NOT_FOUND) for any other. */
  const serve = async (credentials: ServerCredentials, states: Readonly<Record<string, number>>): Promise<string> => {
    const server = new GrpcServer();
    const implementation: UntypedServiceImplementation = {
      check: (call: { request: { name: string } }, callback: (error: object | null, value?: number) => void) => {
        const state = states[call.request.name];
        if (state === undefined) callback({ code: status.NOT_FOUND, details: 'unknown service' });
        else callback(null, state);
      },
    };
    server.addService(
      {
        check: {
          path: '/grpc.health.v1.Health/Check',
          requestStream: false,
          responseStream: false,
          requestSerialize: () => Buffer.alloc(0),
          requestDeserialize: (bytes: Buffer) => {
            const reader = new BinaryReader(bytes);
            let name = '';
            while (reader.pos < reader.len) {
              reader.tag();
              name = reader.string();
            }
            return { name };
          },
          responseSerialize: (state: number) => Buffer.from(new BinaryWriter().uint32(8).int32(state).finish()),
          responseDeserialize: (bytes: Buffer) => bytes,
        },
      },
      implementation,
    );
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error))),
    );
    ends.push(() => server.forceShutdown());
    return `127.0.0.1:${port}`;
  };
  const plain = ServerCredentials.createInsecure();

  it('passes when the service says SERVING, by its name too', async () => {
    const address = await serve(plain, { '': 1, 'shop.Cart': 1, 'shop.Pay': 2 });
    for (const target of [address, `${address}/shop.Cart`])
      expect(await probeGrpc(systemClock, target, 10_000, SIGNAL)).toEqual({
        status: 'passing',
        output: `gRPC check ${target}: success`,
      });
    expect(await probeGrpc(systemClock, `${address}/shop.Pay`, 10_000, SIGNAL)).toEqual({
      status: 'critical',
      output: `gRPC ${address}/shop.Pay serving status: NOT_SERVING`,
    });
    expect(await probeGrpc(systemClock, `${address}/none`, 10_000, SIGNAL)).toEqual({
      status: 'critical',
      output: 'rpc error: code = NotFound desc = unknown service',
    });
  });

  it('verifies the other side where TLS is wanted', async () => {
    const { cert, key } = pair();
    const credentials = ServerCredentials.createSsl(null, [
      { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) },
    ]);
    const address = await serve(credentials, { '': 1 });
    const probe = (tls?: { skipVerify: boolean }): Promise<CheckResult> =>
      probeGrpc(systemClock, address, 10_000, SIGNAL, USUAL_REACH, tls);
    expect((await probe({ skipVerify: true })).status).toBe('passing');
    for (const tls of [{ skipVerify: false }, undefined])
      expect(await probe(tls)).toMatchObject({
        status: 'critical',
        output: expect.stringContaining('rpc error: code = Unavailable desc = '),
      });
  });

  it('is critical where nothing listens, something else answers, or nothing is said', async () => {
    const gone = await closed();
    expect(await probeGrpc(systemClock, gone, 10_000, SIGNAL)).toEqual({
      status: 'critical',
      output:
        `rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial ` +
        `tcp ${gone}: connect: connection refused"`,
    });
    const http2 = createHttp2Server((_request, response) => response.writeHead(404).end());
    expect(await probeGrpc(systemClock, await listen(http2), 10_000, SIGNAL)).toMatchObject({
      status: 'critical',
      output: expect.stringContaining('rpc error: code = Unimplemented desc = '),
    });
    expect(await probeGrpc(systemClock, await silent(), 50, SIGNAL)).toEqual({
      status: 'critical',
      output: 'rpc error: code = DeadlineExceeded desc = context deadline exceeded',
    });
  });
});

describe('every kind', () => {
  const probes = {
    tcp: probeTcp,
    'tcp with TLS': (...[clock, address, ms, signal, reach]: Parameters<typeof probeTcp>) =>
      probeTcp(clock, address, ms, signal, reach, { skipVerify: true }),
    udp: probeUdp,
    h2ping: probeH2Ping,
    grpc: probeGrpc,
  };
  const hosts = ['169.254.169.254', '[fe80::1]', '[fd00:ec2::254]', '[::ffff:169.254.0.1]', '2852039166', '0xa9fea9fe'];

  it.each(Object.entries(probes))('%s connects to no link-local address', async (_kind, probe) => {
    for (const host of hosts)
      expect(await probe(systemClock, `${host}:80`, 5_000, SIGNAL), host).toMatchObject({
        status: 'critical',
        output: expect.stringContaining('see check_allow_link_local'),
      });
  });

  it.each(Object.entries(probes))('%s refuses what is no address', async (_kind, probe) => {
    for (const [address, fault] of [
      ['nowhere', 'missing port in address'],
      ['nowhere:70000', 'invalid port'],
    ] as const)
      expect(await probe(systemClock, address, 5_000, SIGNAL)).toMatchObject({
        status: 'critical',
        output: expect.stringContaining(`address ${address}: ${fault}`),
      });
  });

  it.each(Object.entries(probes))('%s ends when its check is stopped', async (_kind, probe) => {
    const stop = new AbortController();
    const running = probe(systemClock, await silent(), 600_000, stop.signal);
    stop.abort(new Error('stopped'));
    await Promise.race([running, once(stop.signal, 'abort')]);
    expect(await running.catch(() => 'rejected')).toBeDefined();
  });
});
