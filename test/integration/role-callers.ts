import { createHash, X509Certificate } from 'node:crypto';
import { systemClock } from '../../src/lib/clock.ts';
import { createTlsMaterial, type TlsMaterial } from '../../src/pki/tls-material.ts';
import type { ArgumentType } from '../../src/rpc/contract/methods/method.ts';
import { STREAMS, type StreamName } from '../../src/rpc/contract/methods/streams.ts';
import { READS, type ReadName } from '../../src/rpc/contract/reads.ts';
import { WRITES, type WriteName } from '../../src/rpc/contract/writes.ts';
import { createChannel, type RpcChannel } from '../../src/rpc/transport/channel.ts';
import { enrolWithCertificate, enrolWithFingerprint } from '../../src/rpc/transport/enrol-client.ts';
import type { EnrolServer } from '../../src/rpc/transport/enrol-server.ts';
import type { DuplexStream } from '../../src/rpc/transport/handlers.ts';
import { createRemoteChanges, createRemoteContract } from '../../src/rpc/transport/remote-contract.ts';
import type { TransportSecurity } from '../../src/rpc/transport/security.ts';
import { createRemoteSnapshots } from '../../src/rpc/transport/snapshots-wire.ts';
import { createTlsSecurity } from '../../src/rpc/transport/tls.ts';
import { TestAuthority } from '../fakes/agent-certificates.ts';
import { ROLE_ROWS } from './role-rows.ts';

/** Everyone who may call the server port, and every method of it: what each is answered. */

export const authority = new TestAuthority();
const never = new AbortController().signal;
const STRICT = { verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true };

/** Who calls, and where the letter for that one stands; undefined: nothing is answered. */
export const CALLERS: readonly (readonly [string, TlsMaterial | undefined, number | undefined])[] = [
  ['no certificate', undefined, undefined],
  ['a client agent of this datacenter', authority.material('client'), 0],
  ['a client agent of another', authority.material('client', { datacenter: 'dc2' }), undefined],
  ['a user of the HTTP API', authority.material('cli'), undefined],
  ['a server of another datacenter', authority.material('server', { datacenter: 'dc2' }), 1],
  ['a server of this datacenter', authority.material('server'), 2],
];

export const channels = new Map<string, RpcChannel>();

export function securityOf(material: TlsMaterial, other?: EnrolServer): TransportSecurity {
  return createTlsSecurity({
    material: () => material,
    policy: () => STRICT,
    domain: 'consul',
    datacenter: 'dc1',
    clock: systemClock,
    ...(other === undefined ? {} : { other }),
  });
}

export async function* noBytes(): AsyncGenerator<Uint8Array, void, void> {}

/** One connection for each caller that is let in; of the others each call is a new one. */
export function channelTo(port: number, who: string, material: TlsMaterial | undefined, keep: boolean): RpcChannel {
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
export async function call(method: string, port: number, channel: RpcChannel, material: TlsMaterial | undefined) {
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

export async function outcome(ask: () => Promise<unknown>): Promise<string> {
  try {
    return String(await ask());
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** `refused` at the door is another error than one of the method. */
export function expected(method: string, letter: number | undefined, tokens: 'on' | 'off'): string {
  if (method === 'stream enrolJoin') return 'answered'; // an invitation decides
  if (letter === undefined) return method === 'stream enrolRenew' ? 'permission_denied' : 'unavailable';
  const verdict = ROLE_ROWS[method]?.[letter];
  return verdict === 'y' || (verdict === 't' && tokens === 'on') ? 'answered' : 'permission_denied';
}

export const methods = [
  ...Object.keys(READS).map((name) => `read ${name}`),
  ...Object.keys(WRITES).map((name) => `write ${name}`),
  ...Object.keys(STREAMS).map((name) => `stream ${name}`),
];
