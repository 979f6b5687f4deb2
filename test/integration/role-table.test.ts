import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { createTlsMaterial, type TlsMaterial } from '../../src/pki/tls-material.ts';
import type { ServerContract } from '../../src/rpc/contract/contract.ts';
import type { ArgumentType } from '../../src/rpc/contract/methods/method.ts';
import { STREAMS, type StreamName } from '../../src/rpc/contract/methods/streams.ts';
import { READS, type ReadName } from '../../src/rpc/contract/reads.ts';
import { makeResult } from '../../src/rpc/contract/result.ts';
import { WRITES, type WriteName } from '../../src/rpc/contract/writes.ts';
import { createChannel, type RpcChannel } from '../../src/rpc/transport/channel.ts';
import { enrolWithCertificate, enrolWithFingerprint } from '../../src/rpc/transport/enrol-client.ts';
import { EnrolServer } from '../../src/rpc/transport/enrol-server.ts';
import type { DuplexStream } from '../../src/rpc/transport/handlers.ts';
import { createRpcListener, type RpcListener } from '../../src/rpc/transport/listener.ts';
import { createRemoteChanges, createRemoteContract } from '../../src/rpc/transport/remote-contract.ts';
import type { TransportSecurity } from '../../src/rpc/transport/security.ts';
import { createRemoteSnapshots } from '../../src/rpc/transport/snapshots-wire.ts';
import { createTlsSecurity } from '../../src/rpc/transport/tls.ts';
import { METHODS } from '../../src/rpc/transport/wire.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import { TestAuthority } from '../fakes/agent-certificates.ts';
import { ROLE_ROWS } from './role-rows.ts';

/** Every method of the server port, over real TLS, by everyone who may knock on it. */

const authority = new TestAuthority();
const never = new AbortController().signal;
const STRICT = { verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true };

/** Who calls, and where the letter for that one stands; undefined: nothing is answered. */
const CALLERS: readonly (readonly [string, TlsMaterial | undefined, number | undefined])[] = [
  ['no certificate', undefined, undefined],
  ['a client agent of this datacenter', authority.material('client'), 0],
  ['a client agent of another', authority.material('client', { datacenter: 'dc2' }), undefined],
  ['a user of the HTTP API', authority.material('cli'), undefined],
  ['a server of another datacenter', authority.material('server', { datacenter: 'dc2' }), 1],
  ['a server of this datacenter', authority.material('server'), 2],
];

const contract = {
  read: async () => makeResult({ index: 1, value: 'answered' }),
  write: async () => ({ value: 'answered', revision: 1 }),
  async *watch() {
    yield { index: 1, value: 'answered' };
  },
} as unknown as ServerContract;

interface Served {
  readonly listener: RpcListener;
  readonly enrolment: EnrolServer;
  readonly port: number;
}

const served: Record<'on' | 'off', Served | undefined> = { on: undefined, off: undefined };
const channels = new Map<string, RpcChannel>();

function securityOf(material: TlsMaterial, other?: EnrolServer): TransportSecurity {
  return createTlsSecurity({
    material: () => material,
    policy: () => STRICT,
    domain: 'consul',
    datacenter: 'dc1',
    clock: systemClock,
    ...(other === undefined ? {} : { other }),
  });
}

async function serve(tokensDecide: boolean): Promise<Served> {
  const base = { clock: systemClock, log: noLog, metrics: noMetrics };
  const enrolment = new EnrolServer({
    ...base,
    datacenter: 'dc1',
    answer: async () => ({ chain: 'answered', root: 'r', token: '' }),
  });
  const listener = createRpcListener({
    ...base,
    listeners: [{ name: 'server', address: '127.0.0.1', port: 0 }],
    limits: { maxConnectionsPerClient: 0 },
    security: securityOf(authority.material('server'), enrolment),
    handlers: {
      datacenter: 'dc1',
      tokensDecide,
      contract,
      changes: {
        async *changes() {
          yield { type: 'progress', revision: 1 } as const;
        },
      },
      snapshots: {
        save: async () => ({ index: 1, archive: noBytes() }),
        restore: async () => ({ index: 1 }),
      },
      link: async (stream) => stream.send({ message: { case: 'hello', value: {} } }),
      session: async (stream) => stream.send({ message: { case: 'welcome', value: {} } }),
    },
  });
  await listener.start(never);
  return { listener, enrolment, port: listener.addresses.server?.port as number };
}

async function* noBytes(): AsyncGenerator<Uint8Array, void, void> {}

beforeAll(async () => {
  served.on = await serve(true);
  served.off = await serve(false);
});

afterAll(async () => {
  for (const channel of channels.values()) channel.close();
  for (const one of Object.values(served)) {
    await one?.enrolment.stop();
    await one?.listener.stop();
  }
});

/** One connection for each caller that is let in; of the others each call is a new one. */
function channelTo(port: number, who: string, material: TlsMaterial | undefined, keep: boolean): RpcChannel {
  const key = `${port} ${who}`;
  const known = channels.get(key);
  if (known !== undefined) return known;
  const channel = createChannel({
    address: `127.0.0.1:${port}`,
    datacenter: 'dc1',
    security: securityOf(material ?? ANONYMOUS),
  });
  if (keep) channels.set(key, channel);
  return channel;
}

/** Trusts the authority and has nothing to show. */
const ANONYMOUS = createTlsMaterial(
  { ca: [{ text: authority.ca, from: 'ca_file' }] },
  { minVersion: 'TLSv1.2', ciphers: '' },
);

const EXAMPLES: Readonly<Record<ArgumentType, unknown>> = { text: 'x', texts: ['x'], number: 1, object: {} };

function argsOf(needs: Readonly<Record<string, ArgumentType>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(needs).map(([name, type]) => [name, EXAMPLES[type]]));
}

async function first(items: AsyncIterable<unknown>): Promise<string> {
  for await (const _ of items) return 'answered';
  return 'nothing';
}

async function firstMessage<M, I>(stream: DuplexStream<M, I>): Promise<string> {
  try {
    return await first(stream.messages);
  } finally {
    stream.end();
  }
}

const fingerprint = createHash('sha256').update(new X509Certificate(authority.ca).raw).digest('hex');

/** Calls a method in every way that there is; `answered`, or the refusal's code. */
async function call(method: string, port: number, channel: RpcChannel, material: TlsMaterial | undefined) {
  const [kind, name = ''] = method.split(' ');
  const remote = createRemoteContract({ channel, clock: systemClock });
  if (kind === 'read') {
    const args = argsOf(READS[name as ReadName].needs as never) as never;
    const asked = await outcome(async () => (await remote.read(name as ReadName, args, { signal: never })).value);
    const watched = await outcome(() => first(remote.watch(name as ReadName, args, { signal: never })));
    return asked === watched ? asked : `read: ${asked}, watched: ${watched}`;
  }
  if (kind === 'write') {
    const { needs, speaksFor } = WRITES[name as WriteName];
    const args = { ...argsOf(needs as never), ...(speaksFor === undefined ? {} : { [speaksFor]: 'dc2' }) } as never;
    return outcome(async () => (await remote.write(name as WriteName, args, { signal: never })).value);
  }
  const target = { address: `127.0.0.1:${port}`, datacenter: 'dc1', domain: 'consul' };
  const streams: Readonly<Record<StreamName, () => Promise<unknown>>> = {
    changes: () => first(createRemoteChanges(channel).changes({ kind: 'config-entries' }, never)),
    async saveSnapshot() {
      await createRemoteSnapshots(channel).save({ signal: never });
      return 'answered';
    },
    async restoreSnapshot() {
      await createRemoteSnapshots(channel).restore(noBytes(), { signal: never });
      return 'answered';
    },
    link: () => firstMessage(channel.link(never)),
    session: () => firstMessage(channel.session(never)),
    async enrolJoin() {
      const request = { op: 'join', secret: 's', datacenter: 'dc2', node: 'n', csr: 'c' } as const;
      const reply =
        material === undefined
          ? enrolWithFingerprint(target, fingerprint, request, systemClock)
          : enrolWithCertificate(target, material, request, systemClock);
      return (await reply).chain;
    },
    async enrolRenew() {
      const request = { op: 'renew', csr: 'c' } as const;
      return (await enrolWithCertificate(target, material ?? ANONYMOUS, request, systemClock)).chain;
    },
  };
  return outcome(streams[name as StreamName]);
}

async function outcome(ask: () => Promise<unknown>): Promise<string> {
  try {
    return String(await ask());
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** `refused` at the door is another error than one of the method. */
function expected(method: string, letter: number | undefined, tokens: 'on' | 'off'): string {
  if (method === 'stream enrolJoin') return 'answered'; // an invitation decides
  if (letter === undefined) return method === 'stream enrolRenew' ? 'permission_denied' : 'unavailable';
  const verdict = ROLE_ROWS[method]?.[letter];
  return verdict === 'y' || (verdict === 't' && tokens === 'on') ? 'answered' : 'permission_denied';
}

const methods = [
  ...Object.keys(READS).map((name) => `read ${name}`),
  ...Object.keys(WRITES).map((name) => `write ${name}`),
  ...Object.keys(STREAMS).map((name) => `stream ${name}`),
];

it('has a row for each method of the table, and a method for each row', () => {
  expect(Object.keys(ROLE_ROWS).sort()).toEqual([...methods].sort());
  const { read, write, watch, ...streams } = METHODS;
  expect([read, write, watch].every(Boolean)).toBe(true);
  for (const name of Object.keys(streams)) expect(Object.keys(STREAMS)).toContain(name);
});

describe.each(CALLERS)('%s', (who, material, letter) => {
  // Who is not let in meets no method, so access control makes no difference to that one.
  it.each(letter === undefined ? (['off'] as const) : (['on', 'off'] as const))(
    'with access control %s',
    async (tokens) => {
      const { port } = served[tokens] as Served;
      const answers: Record<string, string> = {};
      const ask = async (method: string): Promise<void> => {
        const channel = channelTo(port, who, material, letter !== undefined);
        answers[method] = await call(method, port, channel, material);
        if (letter === undefined) channel.close();
      };
      const rest = [...methods];
      const worker = async (): Promise<void> => {
        for (let next = rest.pop(); next !== undefined; next = rest.pop()) await ask(next);
      };
      await Promise.all(Array.from({ length: 16 }, worker));
      expect(answers).toEqual(Object.fromEntries(methods.map((name) => [name, expected(name, letter, tokens)])));
    },
  );
});

it('lets a server of another datacenter speak for that one alone, and an own server pass on what it was asked', async () => {
  const { port } = served.on as Served;
  const ask = (caller: number, of: string): Promise<string> => {
    const [who, material] = CALLERS[caller] as (typeof CALLERS)[number];
    const remote = createRemoteContract({ channel: channelTo(port, who, material, true), clock: systemClock });
    const args = { csr: 'c', datacenter: of };
    return outcome(async () => (await remote.write('ca.signIntermediate', args, { signal: never })).value);
  };
  expect(await ask(4, 'dc2')).toBe('answered');
  expect(await ask(4, 'dc3')).toBe('permission_denied');
  expect(await ask(4, 'dc1')).toBe('permission_denied');
  expect(await ask(5, 'dc3')).toBe('answered');
});

/** What is answered to the headers of a call whose first message never comes: gRPC's status, or what came first. */
async function statusOfHeaders(path: string, port: number, material: TlsMaterial): Promise<string> {
  const raw = connectSocket(port, '127.0.0.1');
  await once(raw, 'connect');
  const target = { address: `127.0.0.1:${port}`, datacenter: 'dc1' };
  const { socket } = await securityOf(material).connect(raw, target);
  const session = connectHttp2(`http://${target.address}`, { createConnection: () => socket });
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const [headers] = await once(stream, 'response');
    return String(headers['grpc-status']);
  } finally {
    session.destroy();
  }
}

it.each([
  ['changes', 1],
  ['link', 1],
  ['session', 4],
  ['saveSnapshot', 1],
  ['saveSnapshot', 4],
  ['restoreSnapshot', 1],
] as const)('refuses %s at its headers, before its first message (caller %i)', async (method, caller) => {
  const { port } = served.off as Served;
  const [, material] = CALLERS[caller] as (typeof CALLERS)[number];
  const path = METHODS[method].path;
  expect(await statusOfHeaders(path, port, material as TlsMaterial)).toBe(String(status.PERMISSION_DENIED));
});
