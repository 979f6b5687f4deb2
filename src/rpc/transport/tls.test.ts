import { once } from 'node:events';
import { connect as tcpConnect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { TestAuthority } from '../../../test/fakes/agent-certificates.ts';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import type { TlsMaterial } from '../../pki/tls-material.ts';
import { type Logger, noLog, noMetrics } from '../../telemetry/types.ts';
import type { ServerContract } from '../contract/contract.ts';
import { makeResult } from '../contract/result.ts';
import { createChannel } from './channel.ts';
import type { LinkStream } from './handlers.ts';
import { createRpcListener, type RpcListener } from './listener.ts';
import { createRemoteChanges, createRemoteContract } from './remote-contract.ts';
import { plaintext, type TransportSecurity } from './security.ts';
import { createTlsSecurity, serverDatacenters, type TlsPolicy } from './tls.ts';

const never = new AbortController().signal;
const cleanup: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

const STRICT: TlsPolicy = { verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true };

function tls(material: () => TlsMaterial | undefined, policy: Partial<TlsPolicy> = {}, clock: Clock = systemClock) {
  return createTlsSecurity({
    material,
    policy: () => ({ ...STRICT, ...policy }),
    domain: 'consul',
    datacenter: 'dc1',
    clock,
  });
}

const contract = {
  read: async () => makeResult({ index: 1, value: 'answer' }),
  write: async () => ({ revision: 1, value: 'signed' }),
} as unknown as ServerContract;

interface Served {
  readonly port: number;
  readonly reasons: string[];
  readonly listener: RpcListener;
  /** Resolves once a connection was refused. */
  refused(): Promise<string>;
}

async function serve(
  security: TransportSecurity,
  link?: (stream: LinkStream) => Promise<void>,
  clock: Clock = systemClock,
): Promise<Served> {
  const reasons: string[] = [];
  let wake: () => void = () => undefined;
  const log: Logger = {
    ...noLog,
    warn: (_message, fields) => {
      reasons.push(String(fields?.detail));
      wake();
    },
    child: () => log,
  };
  const listener = createRpcListener({
    listeners: [{ name: 'server', address: '127.0.0.1', port: 0 }],
    handlers: {
      datacenter: 'dc1',
      contract,
      ...(link === undefined ? {} : { link }),
    },
    security,
    clock,
    log,
    metrics: noMetrics,
  });
  await listener.start(never);
  cleanup.push(() => listener.stop());
  return {
    listener,
    reasons,
    port: listener.addresses.server?.port as number,
    async refused() {
      while (reasons.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return reasons[0] as string;
    },
  };
}

function dial(port: number, security: TransportSecurity, datacenter?: string) {
  const channel = createChannel({
    address: `127.0.0.1:${port}`,
    security,
    ...(datacenter === undefined ? {} : { datacenter }),
  });
  cleanup.push(() => channel.close());
  const remote = createRemoteContract({ channel, clock: systemClock });
  return { channel, ask: () => remote.read('ca.roots', {}, { signal: never }) };
}

const authority = new TestAuthority();
const stranger = new TestAuthority('Other CA');

describe('mutual TLS between servers', () => {
  it('carries calls between those whose certificates are of one authority', async () => {
    const server = authority.material('server');
    const client = authority.material('client');
    const { port } = await serve(tls(() => server));
    const { ask } = dial(
      port,
      tls(() => client),
      'dc1',
    );
    expect((await ask()).value).toBe('answer');
  });

  it('names an authority that is not trusted, on both sides', async () => {
    const server = authority.material('server');
    const other = stranger.material('server', { trusted: authority });
    const { port, refused } = await serve(tls(() => server));
    await expect(
      dial(
        port,
        tls(() => other),
      ).ask(),
    ).rejects.toThrow(
      /it refuses this server: its certificate \(server\.dc1\.consul\) was made by an authority that is not trusted here \("Other CA"\)/,
    );
    expect(await refused()).toMatch(/made by an authority that is not trusted here \("Other CA"\).*ca_file/);

    const distrusting = authority.material('server', { trusted: stranger });
    await expect(
      dial(
        port,
        tls(() => distrusting),
      ).ask(),
    ).rejects.toThrow(
      /127\.0\.0\.1:\d+: its certificate \(server\.dc1\.consul\) was made by an authority that is not trusted here \("Test CA"\)/,
    );
  });

  it('names what has expired and what is not valid yet', async () => {
    const good = authority.material('server');
    const expired = authority.material('server', { from: -20, until: -10 });
    const early = authority.material('server', { from: 10, until: 20 });
    const { port } = await serve(tls(() => expired));
    await expect(
      dial(
        port,
        tls(() => good),
      ).ask(),
    ).rejects.toThrow(/has expired \(valid until .*GMT\): renew it there/);
    const second = await serve(tls(() => good));
    await expect(
      dial(
        second.port,
        tls(() => early),
      ).ask(),
    ).rejects.toThrow(/it refuses this server: .*not valid yet/);
    await expect(
      dial(
        second.port,
        tls(() => expired),
      ).ask(),
    ).rejects.toThrow(/it refuses this server: .*has expired/);
  });

  it('does not take a client for a server, nor a server of dc2 for one of dc1', async () => {
    const own = authority.material('server');
    for (const { role, datacenter } of [
      { role: 'client', datacenter: 'dc1' },
      { role: 'cli', datacenter: 'dc1' },
      { role: 'server', datacenter: 'dc2' },
    ] as const) {
      const { port } = await serve(tls(() => material));
      const material = authority.material(role, { datacenter });
      await expect(
        dial(
          port,
          tls(() => own),
          'dc1',
        ).ask(),
      ).rejects.toThrow(
        role === 'cli' ? /its certificate/ : /is not that of a server: it must hold the name server\.dc1\.consul/,
      );
      // Without the check of names any certificate of the authority will do.
      if (role !== 'cli') {
        const loose = tls(() => own, { verifyServerHostname: false });
        expect((await dial(port, loose, 'dc1').ask()).value).toBe('answer');
      }
    }
    const dc2 = authority.material('server', { datacenter: 'dc2' });
    const { port } = await serve(tls(() => dc2));
    expect(
      (
        await dial(
          port,
          tls(() => own),
        ).ask()
      ).value,
    ).toBe('answer'); // a server of any datacenter will do
  });

  it('lets the authority of a datacenter make certificates with its own names alone', async () => {
    const dc2 = new TestAuthority('', { root: authority, datacenter: 'dc2' });
    const own = authority.material('server');
    const good = dc2.material('server', { datacenter: 'dc2' });
    expect(
      (
        await dial(
          (
            await serve(tls(() => good))
          ).port,
          tls(() => own),
          'dc2',
        ).ask()
      ).value,
    ).toBe('answer');
    const forged = dc2.material('server', { datacenter: 'dc1' });
    await expect(
      dial(
        (await serve(tls(() => forged))).port,
        tls(() => own),
      ).ask(),
    ).rejects.toThrow(/breaks a rule of its authority: .* that of another datacenter/);
    const { port } = await serve(tls(() => own));
    await expect(
      dial(
        port,
        tls(() => forged),
      ).ask(),
    ).rejects.toThrow(/it refuses this server: .* breaks a rule of its authority/);
  });

  it('tells the one who answers a link who dialled it', async () => {
    const seen: unknown[] = [];
    const server = authority.material('server');
    const { port } = await serve(
      tls(() => server),
      async (stream) => {
        seen.push(stream.identity);
      },
    );
    const link = async (material: TlsMaterial): Promise<void> => {
      const stream = dial(
        port,
        tls(() => material),
      ).channel.link(never);
      for await (const _ of stream.messages) expect.unreachable();
    };
    await link(authority.material('server', { datacenter: 'dc2' }));
    await expect(link(authority.material('client'))).rejects.toThrow(/link is for a server/);
    expect(seen).toEqual([{ serverOf: ['dc2'], clientOf: [], name: 'server.dc2.consul' }]);
  });

  it('lets only servers follow tables, and each get certificates for its own datacenter alone', async () => {
    const server = authority.material('server');
    const { port } = await serve(tls(() => server));
    const sign = (role: 'server' | 'client', wanted: string, datacenter = 'dc2') => {
      const material = authority.material(role, { datacenter });
      const { channel } = dial(
        port,
        tls(() => material),
      );
      const remote = createRemoteContract({ channel, clock: systemClock });
      return remote.write('ca.signIntermediate', { csr: 'c', datacenter: wanted }, { signal: never });
    };
    expect((await sign('server', 'dc2')).value).toBe('signed');
    // A server of the same datacenter passes on what it was asked.
    expect((await sign('server', 'dc2', 'dc1')).value).toBe('signed');
    await expect(sign('server', 'dc3')).rejects.toThrow(/for another datacenter than that of the caller's certificate/);
    await expect(sign('client', 'dc2', 'dc1')).rejects.toThrow(
      /ca\.signIntermediate is for a server of this datacenter or .* client\.dc1\.consul, is that of a client agent/,
    );
    await expect(sign('client', 'dc2')).rejects.toThrow(
      /client\.dc2\.consul\) is neither that of a server nor that of a client agent of dc1/,
    );
    const client = authority.material('client');
    const { channel } = dial(
      port,
      tls(() => client),
    );
    const follow = async () => {
      for await (const _ of createRemoteChanges(channel).changes({ kind: 'k', epoch: '', revision: 0 } as never, never))
        expect.unreachable();
    };
    await expect(follow()).rejects.toThrow(/changes is for a server/);
  });

  it('holds a certificate to the name that it has, whatever the settings say of servers’ names', async () => {
    const server = authority.material('server');
    const outcome = async (policy: Partial<TlsPolicy>, material: TlsMaterial): Promise<string> => {
      const { port } = await serve(tls(() => server, policy));
      const { channel } = dial(
        port,
        tls(() => material, { verifyServerHostname: false }),
      );
      const remote = createRemoteContract({ channel, clock: systemClock });
      try {
        await remote.write('ca.signIntermediate', { csr: 'c', datacenter: 'dc2' }, { signal: never });
        return 'signed';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    const client = authority.material('client');
    const unnamed = authority.material('server', { domain: 'other.example' });
    for (const policy of [
      {},
      { verifyServerHostname: false },
      { verifyIncoming: false, verifyServerHostname: false },
    ]) {
      expect(await outcome(policy, authority.material('server', { datacenter: 'dc2' }))).toBe('signed');
      expect(await outcome(policy, client)).toBe('permission_denied');
      expect(await outcome(policy, authority.material('server', { datacenter: 'dc3' }))).toBe('permission_denied');
      expect(await outcome(policy, authority.material('client', { datacenter: 'dc2' }))).not.toBe('signed');
    }
    // One that names no agent is good for a client, and for a server where that is not checked.
    expect(await outcome({}, unnamed)).toBe('permission_denied');
    expect(await outcome({ verifyServerHostname: false }, unnamed)).toBe('signed');
  });

  it('refuses who presents no certificate', async () => {
    const server = authority.material('server');
    const { port, refused } = await serve(tls(() => server));
    const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'close');
    expect(Buffer.concat(chunks).toString()).toMatch(/^isthmus refuses: it presented no certificate/);
    expect(await refused()).toMatch(/presented no certificate.*cert_file and key_file/);
  });

  it('tells plain text from TLS, both ways round', async () => {
    const server = authority.material('server');
    const secured = await serve(tls(() => server));
    await expect(dial(secured.port, plaintext).ask()).rejects.toMatchObject({ code: 'unavailable' });
    expect(await secured.refused()).toMatch(/it spoke plain text, and this port asks for TLS: invite it/);

    const plain = await serve(plaintext);
    await expect(
      dial(
        plain.port,
        tls(() => server),
      ).ask(),
    ).rejects.toThrow(/it ended the TLS handshake; when it has no certificates yet/);
    expect(await plain.refused()).toMatch(/it spoke TLS, and this server has no certificate/);
  });

  it('takes both while certificates are being introduced', async () => {
    const server = authority.material('server');
    const { port } = await serve(tls(() => server, { verifyIncoming: false }));
    expect((await dial(port, plaintext).ask()).value).toBe('answer');
    expect(
      (
        await dial(
          port,
          tls(() => server),
        ).ask()
      ).value,
    ).toBe('answer');
    expect(
      (
        await dial(
          port,
          tls(() => server, { verifyOutgoing: false }),
        ).ask()
      ).value,
    ).toBe('answer');
  });

  it('uses new certificates for new connections and leaves open ones alone', async () => {
    let now = authority.material('server');
    const client = authority.material('client');
    const { port } = await serve(tls(() => now));
    const open = dial(
      port,
      tls(() => client),
    );
    await open.ask();
    now = stranger.material('server');
    expect((await open.ask()).value).toBe('answer');
    await expect(
      dial(
        port,
        tls(() => client),
      ).ask(),
    ).rejects.toThrow(/authority that is not trusted here \("Other CA"\)/);
  });

  it('ends handshakes that do not come to an end', async () => {
    const clock = new FakeClock();
    const server = authority.material('server');
    const { port, reasons, refused } = await serve(
      tls(() => server, {}, clock),
      undefined,
      clock,
    );
    const ended: Promise<unknown>[] = [];
    for (const first of ['', '\x16\x03\x01']) {
      const socket = tcpConnect(port, '127.0.0.1');
      await once(socket, 'connect');
      if (first !== '') socket.write(Buffer.from(first, 'latin1'));
      socket.on('error', () => undefined);
      ended.push(once(socket, 'close'));
    }
    await clock.waitArmed(2);
    for (let turn = 0; turn < 20; turn += 1) await settle();
    await clock.advance(10_001);
    await Promise.all(ended);
    await refused();
    expect(reasons[0]).toMatch(/it said nothing|not finished within 10000 ms/);
  });

  it('outlives garbage after the handshake', async () => {
    const server = authority.material('server');
    const { port } = await serve(tls(() => server));
    const { cert, key } = authority.make('client');
    for (const alpn of [['h2'], ['http/1.1'], []]) {
      const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false, cert, key, ALPNProtocols: alpn });
      socket.on('error', () => undefined);
      socket.on('data', () => undefined);
      socket.on('secureConnect', () => socket.write('x'.repeat(10_000)));
      await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    }
    expect(
      (
        await dial(
          port,
          tls(() => server),
        ).ask()
      ).value,
    ).toBe('answer');
  });
});

describe('the names of servers', () => {
  it.each([
    ['DNS:server.dc1.consul, DNS:localhost, IP Address:127.0.0.1', ['dc1']],
    ['DNS:Server.DC1.Consul', ['dc1']],
    ['DNS:server.dc1.consul, DNS:server.dc2.consul', ['dc1', 'dc2']],
    ['DNS:client.dc1.consul', []],
    ['DNS:server.dc1.consul.evil.example', []],
    ['DNS:a.server.dc1.consul', []],
    ['DNS:server.a.dc1.consul', []],
    ['URI:"spiffe://x, DNS:server.dc1.consul, y"', []],
    ['DNS:"x, DNS:server.dc1.consul, y"', []],
    ['DNS:server..consul', []],
    ['', []],
  ])('%s', (subjectaltname, expected) => {
    expect(serverDatacenters({ subjectaltname } as never, 'consul')).toEqual(expected);
  });
});
