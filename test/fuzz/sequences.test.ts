import { afterAll, beforeAll, expect, it } from 'vitest';
import { nodeCatalog } from '../../src/daemon/domains/node-catalog.ts';
import { createCatalog } from '../../src/domain/catalog/catalog.ts';
import { createNodes, type Nodes } from '../../src/domain/nodes/nodes.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { generateNodeKey, readNodeKey } from '../../src/pki/node-key.ts';
import { createChannel } from '../../src/rpc/transport/channel.ts';
import type { LinkMessageInit, SessionMessageInit } from '../../src/rpc/transport/handlers.ts';
import { createRpcListener } from '../../src/rpc/transport/listener.ts';
import { type AgentSessions, createAgentSessions } from '../../src/server/agent-sessions.ts';
import type { Store } from '../../src/store/store.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import { memoryStore } from '../fakes/memory-store.ts';
import { startDatacenter, type TestDatacenter } from '../harness/datacenter.ts';
import { waitFor } from '../harness/wait-for.ts';
import { FUZZ_TIMEOUT_MS, fuzz } from './run.ts';

/** Links and sessions as state machines: each input is a sequence of steps, two bytes each, that a stranger takes. */

const never = new AbortController().signal;
/** Longest sequence. */
const MAX_STEPS = 48;
/** Names that are names, and some that are none. */
const NAMES = ['a', 'b', 's1', 'dc1-s1', '', '..', 'x/y', 'A'.repeat(300), 'n\n'];
const DATACENTERS = ['dc2', 'dc3', 'dc1', 'DC2', '', '../x'];
const LAST = 9_999n;

let dc1: TestDatacenter;
let store: Store;
let nodes: Nodes;
let sessions: AgentSessions;
let address: string;
let stop: () => Promise<void>;

beforeAll(async () => {
  dc1 = await startDatacenter({ datacenter: 'dc1', overrides: { timings: { heartbeatMs: 50 } } });
  store = memoryStore();
  const catalog = createCatalog({ store, datacenter: 'dc1' });
  nodes = createNodes({ store, catalog: nodeCatalog(catalog), server: 's1', clock: systemClock });
  await store.start(never);
  sessions = createAgentSessions(
    {
      datacenter: 'dc1',
      self: () => ({
        Node: 's1',
        ID: idOf(0xff),
        Role: 'server',
        Addr: '127.0.0.1',
        Port: 0,
        Tags: { port: '1' },
        TaggedAddresses: {},
        Meta: {},
      }),
      build: 'test',
      nodes,
      measured: async () => undefined,
      store,
      clock: systemClock,
      log: noLog,
      metrics: noMetrics,
    },
    { nodeTimeoutMs: 200 },
  );
  const listener = createRpcListener({
    listeners: [{ name: 'server', address: '127.0.0.1', port: 0 }],
    handlers: { datacenter: 'dc1', session: (stream, signal) => sessions.hold(stream, signal) },
    clock: systemClock,
    log: noLog,
    metrics: noMetrics,
  });
  await listener.start(never);
  await sessions.service.start(never);
  address = `127.0.0.1:${listener.addresses.server?.port}`;
  stop = async () => {
    await sessions.service.stop();
    await listener.stop();
    await store.stop();
  };
});

afterAll(async () => {
  await stop?.();
  await dc1?.stop();
});

function idOf(n: number): string {
  return `00000000-0000-0000-0000-${n.toString(16).padStart(12, '0')}`;
}

function pick<T>(from: readonly T[], n: number): T {
  return from[n % from.length] as T;
}

/**
 * Sends what the steps say over one stream, reads what comes, and ends when an answer to the last ping came or the
 * stream did.
 */
async function play<Message extends LinkMessageInit | SessionMessageInit>(
  stream: {
    readonly messages: AsyncIterable<{
      readonly message: { readonly case: string | undefined; readonly value?: unknown };
    }>;
    send(message: Message): void;
    end(): void;
  },
  input: Buffer,
  step: (kind: number, detail: number) => Message,
  last: Message,
): Promise<void> {
  const reading = (async () => {
    try {
      for await (const { message } of stream.messages)
        if (message.case === 'pong' && (message.value as { number: bigint }).number === LAST) return;
    } catch {
      // it was cut off
    }
  })();
  for (let at = 0; at + 1 < input.length && at < 2 * MAX_STEPS; at += 2)
    stream.send(step(input[at] as number, input[at + 1] as number));
  stream.send(last);
  stream.end();
  await reading;
}

it(
  'links take any sequence of messages, and hold nothing of it afterwards',
  async () => {
    const step = (kind: number, detail: number): LinkMessageInit => {
      switch (kind % 7) {
        case 0:
        case 1: {
          const servers = Array.from({ length: kind % 7 === 0 ? 0 : detail }, (_, n) => ({
            datacenter: pick(DATACENTERS, detail + n),
            node: pick(NAMES, n),
            nodeId: `h${n}`,
            wan: { host: pick(['127.0.0.1', '', 'unix:/x', 'x y'], n), port: 1 + (n % 7) },
          }));
          const value = {
            protocol: detail === 255 ? 0 : 1,
            datacenter: pick(DATACENTERS, detail >> 4),
            node: pick(NAMES, detail),
            nodeId: `n${detail % 5}`,
            primaryDatacenter: 'dc1',
            epoch: `e${detail % 3}`,
            wan: { host: '127.0.0.1', port: 1 },
            servers,
          };
          return { message: { case: 'hello', value } };
        }
        case 2:
          return { message: { case: 'ping', value: { number: BigInt(detail) } } };
        case 3:
          return { message: { case: 'pong', value: { number: BigInt(detail) } } };
        case 4:
          return { message: { case: 'leaving', value: {} } };
        case 5:
          return { message: { case: 'refusal', value: { reason: pick(NAMES, detail), message: 'x'.repeat(detail) } } };
        default:
          return {};
      }
    };
    await fuzz({
      name: 'sequences on links',
      corpus: [
        [0, 0x00, 2, 1, 0, 0x00, 4, 0],
        [0, 0x10, 1, 0x1f, 2, 1, 1, 0x13],
        [2, 1, 0, 0x01, 5, 3],
        [0, 0x00, 0, 0x00, 0, 0x00, 3, 9, 6, 0],
      ].map((bytes) => Buffer.from(bytes)),
      count: 150,
      async run(input) {
        const channel = createChannel({ address: `127.0.0.1:${dc1.wanPort}` });
        try {
          await play(channel.link(never), input, step, { message: { case: 'ping', value: { number: LAST } } });
        } finally {
          channel.close();
        }
      },
    });
    await waitFor(async () => dc1.federation.members().length === 1 && dc1.federation.links().length === 0, {
      what: 'the end of all links',
    });
    expect(dc1.federation.datacenters()).toEqual(['dc1']);
  },
  FUZZ_TIMEOUT_MS,
);

it(
  'sessions take any sequence of messages, and the server stays a server',
  async () => {
    const keys = [readNodeKey(generateNodeKey()), readNodeKey(generateNodeKey())];
    const step = (kind: number, detail: number): SessionMessageInit => {
      const key = pick(keys, detail);
      switch (kind % 6) {
        case 0: {
          const value = {
            protocol: detail === 255 ? 0 : 1,
            datacenter: pick(['dc1', 'dc1', 'dc1', 'dc2'], detail >> 5),
            node: pick(NAMES, detail),
            nodeId: detail % 16 === 0 ? 'no id' : idOf(detail % 16 === 1 ? 0xff : detail % 4),
            address: pick(['127.0.0.1', '::1', 'x/y', ''], detail >> 6),
            publicKey: pick([key.publicKey, new Uint8Array(), new Uint8Array(detail)], detail >> 2),
            tags: { role: 'consul' },
          };
          return { message: { case: 'hello', value } };
        }
        case 1: {
          const claim = {
            datacenter: 'dc1',
            node: pick(NAMES, detail),
            nodeId: idOf(detail % 4),
            nonce: new Uint8Array(32),
          };
          return { message: { case: 'proof', value: { signature: key.prove(claim) } } };
        }
        case 2:
          return { message: { case: 'ping', value: { number: BigInt(detail), rttUs: detail * 1_000 } } };
        case 3:
          return { message: { case: 'leaving', value: {} } };
        case 4:
          return { message: { case: 'challenge', value: { nonce: new Uint8Array(detail) } } };
        default:
          return {};
      }
    };
    await fuzz({
      name: 'sequences on sessions',
      corpus: [
        [0, 0x04, 2, 1, 3, 0],
        [0, 0x00, 1, 0, 2, 1],
        [0, 0x02, 0, 0x02, 2, 5, 4, 1],
        [2, 1, 3, 0, 0, 0x08],
      ].map((bytes) => Buffer.from(bytes)),
      count: 150,
      async run(input) {
        const channel = createChannel({ address });
        try {
          await play(channel.session(never), input, step, { message: { case: 'ping', value: { number: LAST } } });
        } finally {
          channel.close();
        }
      },
    });
    await waitFor(async () => nodes.tables.nodeSessions.list().length === 1, { what: 'the end of all sessions' });
    expect(nodes.servers().map(({ node }) => node)).toEqual(['s1']);
    expect(nodes.members().every(({ Name, Tags }) => Name === 's1' || Tags.role === 'node')).toBe(true);
  },
  FUZZ_TIMEOUT_MS,
);
