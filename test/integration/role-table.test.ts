import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import type { TlsMaterial } from '../../src/pki/tls-material.ts';
import type { ServerContract } from '../../src/rpc/contract/contract.ts';
import { STREAMS } from '../../src/rpc/contract/methods/streams.ts';
import { makeResult } from '../../src/rpc/contract/result.ts';
import { EnrolServer } from '../../src/rpc/transport/enrol-server.ts';
import { createRpcListener, type RpcListener } from '../../src/rpc/transport/listener.ts';
import { createRemoteContract } from '../../src/rpc/transport/remote-contract.ts';
import { METHODS } from '../../src/rpc/transport/wire.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import {
  authority,
  CALLERS,
  call,
  channels,
  channelTo,
  expected,
  methods,
  noBytes,
  outcome,
  securityOf,
} from './role-callers.ts';
import { ROLE_ROWS } from './role-rows.ts';

/**
 * Every method of the server port, over real TLS, by everyone who can reach it; on a real server:
 * test/e2e/role-matrix.test.ts.
 */

const never = new AbortController().signal;

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

it('lets a server of another datacenter speak for that one alone, and an own server forward calls', async () => {
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
