import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { nodeCatalog } from '../../daemon/domains/node-catalog.ts';
import { type Catalog, createCatalog } from '../../domain/catalog/catalog.ts';
import { nodeKey } from '../../domain/catalog/tables.ts';
import { createNodes, type Nodes } from '../../domain/nodes/nodes.ts';
import { systemClock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { type Caller, type Callers, NO_RIGHTS } from '../../model/rights.ts';
import { generateNodeKey, type NodeKey, readNodeKey } from '../../pki/node-key.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { makeResult } from '../../rpc/contract/result.ts';
import { type Followed, WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { createChannel } from '../../rpc/transport/channel.ts';
import { createRpcListener } from '../../rpc/transport/listener.ts';
import type { PeerIdentity } from '../../rpc/transport/security.ts';
import { createAgentSessions } from '../../server/agent-sessions.ts';
import type { Store } from '../../store/store.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import { ServerList } from './server-list.ts';
import { ServerSessions, type ServerSessionsOptions } from './server-sessions.ts';
import { SessionContract } from './session-contract.ts';

const never = new AbortController().signal;
/** Long enough that no test's outcome depends on it; the tests that wait for it take a short one. */
const LONG_MS = 60_000;
/** Where a node is to be lost: a busy machine must not lose it before. */
const LOST_MS = 1_500;
const cleanup: (() => Promise<void> | void)[] = [];

let store: Store;
let catalog: Catalog;
let nodes: Nodes;

beforeEach(async () => {
  store = memoryStore();
  catalog = createCatalog({ store, datacenter: 'dc1' });
  nodes = createNodes({ store, catalog: nodeCatalog(catalog), server: 'any', clock: systemClock });
  await store.start(never);
  cleanup.push(() => store.stop());
});

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

/** Resolves once the store shows it. */
async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (;;) {
    const { revision } = store;
    const value = look();
    if (value !== undefined && value !== false) return value;
    await store.waitFor(revision + 1);
  }
}

/** Bytes of watched answers that servers have sent, by form. */
let sent: Record<string, number> = {};
const count = (name: string, { form = '' }: Readonly<Record<string, string>>, amount: number): void => {
  if (name === 'isthmus_rpc_watch_bytes_total') sent[form] = (sent[form] ?? 0) + amount;
};

interface ServerOptions {
  readonly nodeTimeoutMs?: number;
  readonly callers?: Callers;
  /** Whose certificate every agent has. */
  readonly identity?: PeerIdentity;
}

interface Server {
  readonly address: string;
  stop(): Promise<void>;
}

/** A server of the datacenter as far as sessions go; all share the store. It answers each read with its name. */
async function server(
  name: string,
  contract: Partial<ServerContract> = {},
  { nodeTimeoutMs = LONG_MS, callers, identity }: ServerOptions = {},
): Promise<Server> {
  const answers = {
    read: async () => makeResult({ index: 1, value: name }),
    write: async () => ({ revision: 1, value: name }),
    ...contract,
  } as unknown as ServerContract;
  const sessions = createAgentSessions(
    {
      datacenter: 'dc1',
      self: () => ({
        Node: name,
        ID: uuidOf(name),
        Role: 'server',
        Addr: '127.0.0.1',
        Port: 0,
        Tags: { port: String(listener.addresses.server?.port) },
        TaggedAddresses: {},
        Meta: {},
      }),
      build: 'test',
      nodes,
      ...(callers === undefined ? {} : { callers }),
      measured: async () => undefined,
      store,
      clock: systemClock,
      log: noLog,
      metrics: noMetrics,
    },
    { nodeTimeoutMs },
  );
  const listener = createRpcListener({
    listeners: [{ name: 'server', address: '127.0.0.1', port: 0 }],
    handlers: {
      datacenter: 'dc1',
      contract: answers,
      session: (stream, signal) =>
        sessions.hold({ ...stream, ...(identity === undefined ? {} : { identity }) }, signal),
    },
    clock: systemClock,
    log: noLog,
    metrics: {
      ...noMetrics,
      counter: ({ name }) => ({ add: (amount = 1, labels = {}) => count(name, labels, amount) }),
    },
  });
  await listener.start(never);
  await sessions.service.start(never);
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= sessions.service.stop().then(() => listener.stop());
    return stopped;
  };
  cleanup.push(stop);
  return { address: `127.0.0.1:${listener.addresses.server?.port}`, stop };
}

function uuidOf(text: string): string {
  const hex = Buffer.from(text).toString('hex').padEnd(32, '0').slice(-32);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

type Known = readonly string[] | 'gone' | 'away';

/**
 * Tokens by their secret: the nodes that each may write.
 * @param options.elsewhere only the primary knows them: no event reports a change
 */
function tokens(known: Record<string, Known>, { elsewhere = false } = {}) {
  const listeners = new Set<() => void>();
  let count = 0;
  const waiting: (() => void)[] = [];
  const look = (token: string): Caller => {
    const nodes = known[token] ?? 'gone';
    if (nodes === 'gone') throw new IsthmusError('permission_denied', 'ACL not found');
    if (nodes === 'away') return { accessor: '', rights: NO_RIGHTS, undecided: true };
    const may = (_resource: unknown, name: string): boolean => nodes.includes(name);
    return { accessor: '', rights: { ...NO_RIGHTS, may } };
  };
  const callers: Callers = {
    peek: (token) => (elsewhere || (known[token] ?? 'gone') === 'gone' ? undefined : look(token)),
    async resolve(token) {
      count += 1;
      for (const wake of waiting.splice(0)) wake();
      return look(token);
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return {
    callers,
    set(token: string, nodes: Known): void {
      known[token] = nodes;
      if (!elsewhere) for (const listener of listeners) listener();
    },
    /** Resolves once tokens were asked for so many times more. */
    async asked(times: number): Promise<void> {
      const until = count + times;
      while (count < until) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}

interface AgentOptions extends Partial<ServerSessionsOptions> {
  readonly datacenter?: string;
  readonly nodeId?: string;
  readonly key?: NodeKey;
  readonly token?: string;
  readonly dataDir?: string;
  readonly random?: () => number;
  readonly holdMs?: number;
  readonly onGivenUp?: (error: IsthmusError) => void;
}

async function agent(node: string, seeds: readonly string[], options: AgentOptions = {}) {
  const { datacenter = 'dc1', dataDir = '', random = () => 0.5, onGivenUp = () => undefined, token = '' } = options;
  const nodeId = uuidOf(options.nodeId ?? node);
  const servers = new ServerList({ seeds, dataDir, random, log: noLog });
  let session = 0;
  const heard: (() => void)[] = [];
  const sessions = new ServerSessions(
    {
      datacenter: 'dc1',
      servers,
      hello: () => ({
        protocol: 1,
        datacenter,
        node,
        nodeId,
        build: 'test',
        address: '127.0.0.2',
        tags: { role: 'node' },
        token,
      }),
      ...(options.key === undefined ? {} : { key: options.key }),
      clock: systemClock,
      monotonicMs: () => performance.now(),
      random,
      log: noLog,
      metrics: noMetrics,
      onSession: () => {
        session += 1;
        for (const wake of heard.splice(0)) wake();
      },
    },
    { retryIntervalMs: 50, retryMax: 0, ...options },
  );
  sessions.onFailure(onGivenUp);
  await sessions.start(never);
  cleanup.push(() => sessions.stop());
  const contract = new SessionContract({
    datacenter: 'dc1',
    sessions,
    clock: systemClock,
    holdMs: options.holdMs ?? LONG_MS,
  });
  return {
    sessions,
    servers,
    contract,
    /** Resolves once there have been so many sessions. */
    async sessionsMade(count: number): Promise<void> {
      while (session < count) await new Promise<void>((resolve) => heard.push(resolve));
    },
  };
}

const statusOf = (node: string): string | undefined => nodes.member(node)?.Status;
const holderOf = (node: string): string | undefined => nodes.tables.nodeSessions.get(node)?.value.Session;

describe('a session', () => {
  it('makes the node a living member, and tells the agent of all servers, which it remembers', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'isthmus-sessions-'));
    cleanup.push(() => rmSync(folder, { recursive: true }));
    const [a, b] = [await server('s1'), await server('s2')];
    const one = await agent('n1', [a.address], { dataDir: folder });
    expect(one.sessions.current?.welcome.node).toBe('s1');
    expect(statusOf('n1')).toBe('alive');
    expect((await one.contract.read('status.leader', {}, { signal: never })).value).toBe('s1');
    const kept = JSON.parse(readFileSync(join(folder, 'servers.json'), 'utf8'));
    expect(kept.map(({ address }: { address: string }) => address)).toEqual([a.address, b.address]);
    const again = new ServerList({ seeds: ['gone:1'], dataDir: folder, random: () => 0, log: noLog });
    expect(again.candidates()).toEqual([a.address, b.address, 'gone:1']);
    expect(again.candidates(a.address)).toEqual([b.address, 'gone:1', a.address]);
    writeFileSync(join(folder, 'servers.json'), '{');
    expect(new ServerList({ seeds: ['x:1'], dataDir: folder, random: () => 0, log: noLog }).candidates()).toEqual([
      'x:1',
    ]);
  });

  it('goes on with another server when its own stops: the node never flaps', async () => {
    const [a, b] = [await server('s1'), await server('s2')];
    const one = await agent('n1', [a.address]);
    const before = [store.topics.index(['checks']), holderOf('n1')];
    await a.stop();
    await one.sessionsMade(2);
    expect(one.sessions.current?.address).toBe(b.address);
    expect(statusOf('n1')).toBe('alive');
    expect(store.topics.index(['checks'])).toBe(before[0]);
    expect(holderOf('n1')).not.toBe(before[1]);
  });

  it('is lost when the agent falls silent, and not before its time', async () => {
    const a = await server('s1', {}, { nodeTimeoutMs: 300 });
    const channel = createChannel({ address: a.address });
    cleanup.push(() => channel.close());
    const stream = channel.session(never);
    stream.send({
      message: {
        case: 'hello',
        value: { protocol: 1, datacenter: 'dc1', node: 'n1', nodeId: uuidOf('n1'), address: '::1' },
      },
    });
    const started = performance.now();
    await until(() => statusOf('n1') === 'alive');
    await until(() => statusOf('n1') === 'failed');
    expect(performance.now() - started).toBeGreaterThan(290);
    const health = catalog.reads['health.node'].produce({ node: 'n1' });
    expect(health.map(({ CheckID, Status }) => [CheckID, Status])).toEqual([['serfHealth', 'critical']]);
  });

  it('ends with the departure of the node when the agent says so, and once that is written down', async () => {
    const a = await server('s1');
    const one = await agent('n1', [a.address]);
    await one.sessions.leave();
    expect(statusOf('n1')).toBe('left');
    expect(catalog.reads['catalog.node'].produce({ node: 'n1' })).toBeNull();
  });

  it('is refused to an agent of another datacenter or with a living node’s name, with what to do', async () => {
    const a = await server('s1');
    await agent('n1', [a.address]);
    const stranger = await agent('n2', [a.address], { datacenter: 'dc9', startMs: LONG_MS, holdMs: 20 });
    expect(stranger.sessions.problem).toContain('this server is of the datacenter dc1, the agent of dc9: correct');
    const twin = await agent('n1', [a.address], { nodeId: 'another', startMs: LONG_MS });
    expect(twin.sessions.problem).toContain('the name n1 belongs to another living node');
    expect(statusOf('n2')).toBeUndefined();
    await expect(stranger.contract.read('status.leader', {}, { signal: never })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('No server of dc1 is reached: this server is of the datacenter dc1'),
    });
  });

  it('is given up after as many rounds as the configuration allows', async () => {
    let onGivenUp: (error: IsthmusError) => void = () => undefined;
    const given = new Promise<IsthmusError>((resolve) => {
      onGivenUp = resolve;
    });
    await agent('n1', ['127.0.0.1:1'], { retryMax: 2, onGivenUp });
    expect((await given).message).toMatch(/^no server was found in 2 tries: 127.0.0.1:1: .*ECONNREFUSED/);
  });

  it('moves to a server that has come, in as many agents of a hundred as are its share', async () => {
    const a = await server('s1');
    const mover = await agent('n1', [a.address], { random: () => 0.4, moveWithinMs: 0 });
    const stayer = await agent('n2', [a.address], { random: () => 0.6, moveWithinMs: 0 });
    const b = await server('s2');
    await mover.sessionsMade(2);
    expect(mover.sessions.current?.address).toBe(b.address);
    expect(stayer.sessions.current?.address).toBe(a.address);
    expect([statusOf('n1'), statusOf('n2')]).toEqual(['alive', 'alive']);
  });
});

describe('a node belongs to the key that first held it', () => {
  const newKey = (): NodeKey => readNodeKey(generateNodeKey());

  it('its agent comes back at once, at another server, and after it was lost; no other agent ever does', async () => {
    const [a, b] = [await server('s1'), await server('s2', {}, { nodeTimeoutMs: LOST_MS })];
    const key = newKey();
    await agent('n1', [a.address], { key });
    const moved = await agent('n1', [b.address], { key }); // its session at s1 is still open
    expect(moved.sessions.current?.address).toBe(b.address);
    const thief = { nodeId: 'n1', startMs: LONG_MS };
    for (const claim of [{}, { key: newKey() }]) {
      const refused = await agent('n1', [a.address], { ...thief, ...claim });
      expect(refused.sessions.problem).toContain('the name n1 belongs to another living node');
      await refused.sessions.stop();
    }
    await moved.sessions.stop();
    await until(() => statusOf('n1') === 'failed');
    for (const claim of [{}, { key: newKey() }, { key: newKey(), nodeId: 'n7' }]) {
      const refused = await agent('n1', [a.address], { ...thief, ...claim });
      expect(refused.sessions.problem).toMatch(/n1 belongs to a node with another key .*isthmus force-leave n1/);
      await refused.sessions.stop();
    }
    const back = await agent('n1', [a.address], { key });
    expect(statusOf('n1')).toBe('alive');
    await back.sessions.leave();
    const next = await agent('n1', [a.address], { key: newKey(), nodeId: 'n8' }); // a name that was left is free
    expect(next.sessions.current).toBeDefined();
  });

  it('its ID takes it under no other name, and the name of a server is never an agent’s', async () => {
    const a = await server('s1');
    const key = newKey();
    const one = await agent('n1', [a.address], { key });
    const copy = await agent('n2', [a.address], { key, nodeId: 'n1', startMs: LONG_MS });
    expect(copy.sessions.problem).toContain('belongs to n1: was a data directory copied?');
    for (const [node, id] of [
      ['s1', 's1'],
      ['S1', 's1'],
      ['x', 's1'],
    ] as const) {
      const taker = await agent(node, [a.address], { key: newKey(), nodeId: id, startMs: LONG_MS });
      expect(taker.sessions.problem).toMatch(/is a server of this datacenter|belongs to s1/);
    }
    expect(nodes.servers().map(({ node }) => node)).toEqual(['s1']);
    expect(catalog.reads['catalog.node'].produce({ node: 'n1' })).not.toBeNull();
    await one.sessions.stop();
  });

  it('one of before keys is bound when it first comes with one', async () => {
    const a = await server('s1', {}, { nodeTimeoutMs: LOST_MS });
    const old = await agent('n1', [a.address]);
    await old.sessions.stop();
    const key = newKey();
    const upgraded = await agent('n1', [a.address], { key });
    expect(upgraded.sessions.current).toBeDefined();
    const refused = await agent('n1', [a.address], { startMs: LONG_MS });
    expect(refused.sessions.problem).toContain('belongs to another living node');
  });

  it('a key that is only named is not proved', async () => {
    const a = await server('s1');
    const key = newKey();
    const stranger: NodeKey = { publicKey: key.publicKey, prove: (claim) => newKey().prove(claim) };
    const refused = await agent('n1', [a.address], { key: stranger, startMs: LONG_MS });
    expect(refused.sessions.problem).toContain('did not prove that it holds the key');
  });

  it('with access control it takes node:write, which also replaces a lost node, but never a living one', async () => {
    const { callers } = tokens({ n1: ['n1'], n2: ['n2'] });
    const a = await server('s1', {}, { nodeTimeoutMs: LOST_MS, callers });
    const refused = async (node: string, options: AgentOptions): Promise<string> => {
      const one = await agent(node, [a.address], { ...options, startMs: LONG_MS });
      await one.sessions.stop();
      return one.sessions.problem;
    };
    expect(await refused('n1', { key: newKey() })).toContain('token is not known');
    expect(await refused('n1', { key: newKey(), token: 'n2' })).toContain('needs node:write on n1');
    await catalog.register({ Node: 'external', ID: uuidOf('external'), Address: '10.0.0.9' });
    const thief = { key: newKey(), token: 'n1', nodeId: 'external' };
    expect(await refused('n1', thief)).toContain('needs node:write on external');
    expect(catalog.tables.nodes.get(nodeKey('external'))).toBeDefined();
    const first = await agent('n1', [a.address], { key: newKey(), token: 'n1' });
    expect(await refused('n1', { key: newKey(), token: 'n1' })).toContain('belongs to another living node');
    await first.sessions.stop();
    await until(() => statusOf('n1') === 'failed');
    expect(await refused('n2', { key: newKey(), token: 'n2', nodeId: 'n1' })).toContain('needs node:write on n1');
    const second = await agent('n1', [a.address], { key: newKey(), token: 'n1', nodeId: 'n9' });
    expect(second.sessions.current).toBeDefined();
  });

  it.each<[string, readonly string[] | 'gone', string]>([
    ['loses node:write', ['n2'], 'needs node:write on n1'],
    ['is gone', 'gone', 'token is not known'],
  ])('ends at once when its token %s, and begins again with the right', async (_what, after, reason) => {
    const { callers, set } = tokens({ secret: ['n1'] });
    const a = await server('s1', {}, { callers });
    const one = await agent('n1', [a.address], { key: newKey(), token: 'secret' });
    const session = one.sessions.current;
    expect(session).toBeDefined();
    set('secret', after);
    expect((await session?.ended)?.message).toContain(reason);
    set('secret', ['n1']);
    await one.sessions.connected(never);
  });

  it('is asked again in time where only the primary knows its token, and stays as it is meanwhile', async () => {
    const { callers, set, asked } = tokens({ secret: ['n1'] }, { elsewhere: true });
    const a = await server('s1', {}, { nodeTimeoutMs: LOST_MS, callers });
    const key = newKey();
    const one = await agent('n1', [a.address], { key, token: 'secret' });
    const session = one.sessions.current;
    set('secret', 'away');
    await asked(2);
    expect(one.sessions.current).toBe(session);
    await one.sessions.stop();
    const again = await agent('n1', [a.address], { key, token: 'secret', startMs: LONG_MS });
    expect(again.sessions.current).toBeDefined();
    const stranger = await agent('n2', [a.address], { key: newKey(), token: 'secret', startMs: LONG_MS });
    expect(stranger.sessions.problem).toContain("can't be asked now");
    set('secret', []);
    expect((await again.sessions.current?.ended)?.message).toContain('needs node:write on n1');
  });

  it.each([
    [{ serverOf: [], clientOf: ['dc2'], name: 'client.dc2.consul' }, 'is of datacenter dc2, and this server of dc1'],
    [{ serverOf: ['dc2'], clientOf: [], name: 'server.dc2.consul' }, 'is of datacenter dc2, and this server of dc1'],
    [{ serverOf: [], clientOf: ['dc1'], node: 'n2', name: 'n2.client.dc1.consul' }, 'is for the node n2'],
    [{ serverOf: [], clientOf: ['dc1'], node: 'n1', name: 'n1.client.dc1.consul' }, undefined],
  ])('by its certificate it is of a datacenter, and of a node: %j', async (identity, refusal) => {
    const a = await server('s1', {}, { identity });
    const one = await agent('n1', [a.address], { key: newKey(), startMs: LONG_MS });
    if (refusal === undefined) expect(one.sessions.current).toBeDefined();
    else expect(one.sessions.problem).toContain(refusal);
  });

  it.each(['', '..', 'a/b', 'a b ', 'x\n', '*', 'n%20', 'a'.repeat(300)])(
    'has a name that is one: %j',
    async (node) => {
      const a = await server('s1');
      const one = await agent(node, [a.address], { key: newKey(), nodeId: 'n1', startMs: LONG_MS });
      expect(one.sessions.problem).toContain('no name that can be used');
    },
  );
});

describe('calls over sessions', () => {
  /** A server that takes calls and never answers. */
  const mute = async (name: string) => {
    let called: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => {
      called = resolve;
    });
    const hang = (): Promise<never> => {
      called();
      return new Promise(() => undefined);
    };
    return { asked, server: await server(name, { read: hang, write: hang } as unknown as Partial<ServerContract>) };
  };

  it('are asked again of the next server when the first is lost: reads, and writes that may come twice', async () => {
    for (const ask of [
      (contract: ServerContract) => contract.read('status.leader', {}, { signal: never }),
      (contract: ServerContract) => contract.write('catalog.register', {}, { signal: never }),
    ]) {
      const first = await mute('s1');
      const one = await agent('n1', [first.server.address]);
      const b = await server('s2');
      const answer = ask(one.contract);
      await first.asked;
      await first.server.stop();
      expect((await answer).value).toBe('s2');
      await one.sessions.stop();
      await b.stop();
    }
  });

  it('fail with their server when they must not be carried out twice', async () => {
    const first = await mute('s1');
    const one = await agent('n1', [first.server.address]);
    await server('s2');
    const answer = one.contract.write('config.apply', { entry: {} }, { signal: never });
    await first.asked;
    const failed = expect(answer).rejects.toMatchObject({ code: 'unavailable' });
    await first.server.stop();
    await failed;
  });

  it('wait for a session, and a watch ends with it', async () => {
    const one = await agent('n1', [], { startMs: 0 });
    const waiting = one.contract.read('status.leader', {}, { signal: never });
    const watch = async (): Promise<unknown> => {
      for await (const { value } of one.contract.watch('status.leader', {}, { signal: never })) return value;
      return undefined;
    };
    const watching = watch();
    const a = await server('s1', {
      async *watch(_name: unknown, _args: unknown, { signal }: { signal: AbortSignal }) {
        yield { index: 1, value: 'watched' };
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      },
    } as unknown as Partial<ServerContract>);
    await one.sessions.join(a.address, never);
    expect(await watching).toBe('watched');
    expect((await waiting).value).toBe('s1');
    const open = one.contract.watch('status.leader', {}, { signal: never })[Symbol.asyncIterator]();
    await open.next();
    const ended = expect(open.next()).rejects.toMatchObject({ code: 'unavailable' });
    await a.stop();
    await ended;
  });

  it('are watches that begin again at the next server without the answer that is there already', async () => {
    sent = {};
    const answer = Array.from({ length: 1_000 }, (_, n) => ({ ID: `web-${n}`, Port: n }));
    const watching = {
      async *watch(_name: unknown, _args: unknown, { signal }: { signal: AbortSignal }) {
        yield { index: 1, value: answer };
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      },
    } as unknown as Partial<ServerContract>;
    const first = await server('s1', watching);
    const one = await agent('n1', [first.address]);
    await server('s2', watching);
    const pool = new WatchPool({ contract: one.contract, clock: systemClock, log: noLog, metrics: noMetrics });
    cleanup.push(() => pool.stop());
    const states: (Followed<unknown> | undefined)[] = [];
    let wake: () => void = () => undefined;
    pool.follow('catalog.services', {}, {}, (state) => {
      states.push(state);
      wake();
    });
    const shown = async (enough: () => boolean): Promise<void> => {
      while (!enough()) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    await shown(() => states.at(-1)?.value !== undefined);
    const whole = sent.whole ?? 0;
    expect(whole).toBeGreaterThan(20_000);
    await first.stop();
    await shown(() => states.some((state) => state?.problem !== undefined) && states.at(-1)?.problem === undefined);
    expect(states.at(-1)?.value).toEqual(answer);
    expect(sent.whole).toBe(whole);
    expect(sent.delta).toBeLessThan(50);
  });
});
