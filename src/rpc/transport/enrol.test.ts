import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { TestAuthority } from '../../../test/fakes/agent-certificates.ts';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import { enrolWithCertificate, enrolWithFingerprint } from './enrol-client.ts';
import { EnrolServer, type EnrolServerDeps } from './enrol-server.ts';
import { ENROL_ALPN, type EnrolRequest } from './enrol-wire.ts';
import { createRpcListener } from './listener.ts';
import { plaintext } from './security.ts';
import { createTlsSecurity } from './tls.ts';
import { nameOf } from './verify-error.ts';

const never = new AbortController().signal;
const cleanup: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

const authority = new TestAuthority();
const JOIN: EnrolRequest = { op: 'join', secret: 's', datacenter: 'dc2', node: 'n', csr: 'c' };
const REPLY = { chain: 'chain', root: 'root', token: 'token' };

const fingerprint = (ca: string): string => createHash('sha256').update(new X509Certificate(ca).raw).digest('hex');

async function serve(answer: EnrolServerDeps['answer'], options: { clock?: Clock; secured?: boolean } = {}) {
  const { clock = systemClock, secured = true } = options;
  const enrolment = new EnrolServer({ datacenter: 'dc1', answer, clock, log: noLog, metrics: noMetrics });
  const material = authority.material('server');
  const policy = { verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true };
  const listener = createRpcListener({
    listeners: [{ name: 'serf_wan', address: '127.0.0.1', port: 0 }],
    handlers: { datacenter: 'dc1' },
    security: secured
      ? createTlsSecurity({
          material: () => material,
          policy: () => policy,
          domain: 'consul',
          datacenter: 'dc1',
          other: enrolment,
          clock,
        })
      : plaintext,
    clock,
    log: noLog,
    metrics: noMetrics,
  });
  await listener.start(never);
  cleanup.push(
    () => enrolment.stop(),
    () => listener.stop(),
  );
  const port = listener.addresses.serf_wan?.port as number;
  return { port, target: { address: `127.0.0.1:${port}`, datacenter: 'dc1', domain: 'consul' } };
}

async function dial(port: number): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: [ENROL_ALPN] });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  return socket;
}

async function send(port: number, text: string): Promise<string> {
  const socket = await dial(port);
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
  socket.write(text);
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return answer;
}

describe('asking for certificates', () => {
  it('works without one, from whom the fingerprint belongs to', async () => {
    const seen: unknown[] = [];
    const { target } = await serve(async (request, certificate) => {
      seen.push(request, certificate);
      return REPLY;
    });
    const reply = await enrolWithFingerprint(target, fingerprint(authority.ca), JOIN, systemClock);
    expect(reply).toMatchObject({ chain: 'chain', token: 'token' });
    expect(fingerprint(reply.root)).toBe(fingerprint(authority.ca)); // what was checked, not what was said
    expect(seen).toEqual([JOIN, undefined]);
  });

  it('tells nothing to anyone else', async () => {
    const { target } = await serve(async () => expect.unreachable());
    const other = fingerprint(new TestAuthority('Other CA').ca);
    await expect(enrolWithFingerprint(target, other, JOIN, systemClock)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('does not belong to the authority that the invitation names'),
    });
    const dc9 = { ...target, datacenter: 'dc9' };
    await expect(enrolWithFingerprint(dc9, fingerprint(authority.ca), JOIN, systemClock)).rejects.toThrow(
      /is not that of a server of "dc9"/,
    );
    const plain = await serve(async () => expect.unreachable(), { secured: false });
    await expect(enrolWithFingerprint(plain.target, fingerprint(authority.ca), JOIN, systemClock)).rejects.toThrow(
      /it ended the TLS handshake/,
    );
  });

  it('knows who asks by the certificate that it has', async () => {
    const seen: (string | undefined)[] = [];
    const { target } = await serve(async (_request, certificate) => {
      seen.push(certificate === undefined ? undefined : nameOf(certificate));
      return REPLY;
    });
    const renew = { op: 'renew', csr: 'c' } as const;
    await enrolWithCertificate(target, authority.material('server', { datacenter: 'dc2' }), renew, systemClock);
    const stranger = new TestAuthority('Other CA').material('server', { trusted: authority });
    const expired = authority.material('client', { from: -9, until: -8 });
    for (const material of [stranger, expired]) {
      await enrolWithCertificate(target, material, { ...JOIN, node: 'again' }, systemClock);
      await expect(enrolWithCertificate(target, material, renew, systemClock)).rejects.toMatchObject({
        code: 'permission_denied',
      });
    }
    expect(seen).toEqual(['server.dc2.consul', undefined, undefined]);
  });

  it('passes refusals on as they were meant', async () => {
    const { target } = await serve(async () => {
      throw new IsthmusError('permission_denied', 'this invitation was used');
    });
    await expect(enrolWithFingerprint(target, fingerprint(authority.ca), JOIN, systemClock)).rejects.toMatchObject({
      code: 'permission_denied',
      message: 'this invitation was used',
    });
  });

  it('answers nonsense with what is wrong, and bounds it', async () => {
    const { port } = await serve(async () => expect.unreachable());
    for (const [text, why] of [
      ['nonsense\n', 'the message is not JSON'],
      ['null\n', 'the request is not understood'],
      ['{"op":"join","secret":1}\n', 'the request is not understood'],
      [`${JSON.stringify({ op: 'other', csr: 'x' })}\n`, 'the request is not understood'],
      ['x'.repeat(70_000), 'the message is too long'],
    ] as const)
      expect(JSON.parse(await send(port, text)).error.message).toContain(why);
  });

  it('closes silent connections, and takes a bounded number at once', async () => {
    const clock = new FakeClock();
    const { port } = await serve(async () => expect.unreachable(), { clock });
    const open = await Promise.all(Array.from({ length: 33 }, () => dial(port)));
    const ends = open.map((socket) => {
      socket.resume();
      return new Promise<void>((resolve) => socket.once('close', () => resolve()));
    });
    await Promise.race(ends); // one is too many
    await clock.advance(10_001);
    await clock.advance(10_001);
    await Promise.all(ends);
  });
});
