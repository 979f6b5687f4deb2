import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { nodeCatalog } from '../../daemon/domains/node-catalog.ts';
import { createTaskGroup, type TaskGroup } from '../../lib/task.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { noLog } from '../../telemetry/types.ts';
import { type Catalog, createCatalog } from '../catalog/catalog.ts';
import { keepNodes } from './keeper.ts';
import { createNodes, type NodeAgentInfo, type Nodes } from './nodes.ts';

const TTL_MS = 15_000;
const OPTIONS = { graceMs: 10_000, reconnectTimeoutMs: 60_000 };

let clock: FakeClock;
let store: Store;
let catalog: Catalog;
let nodes: Nodes;
let tasks: TaskGroup;
let lease: string;

const info = (Node: string, over: Partial<NodeAgentInfo> = {}): NodeAgentInfo => ({
  Node,
  ID: `00000000-0000-0000-0000-0000000000${Buffer.from(Node).toString('hex').slice(0, 2)}`,
  Role: 'client',
  Addr: '10.0.0.1',
  Port: 0,
  Tags: { role: 'node' },
  TaggedAddresses: {},
  Meta: {},
  ...over,
});

const health = (node: string): string | undefined =>
  catalog.reads['health.node'].produce({ node }).find(({ CheckID }) => CheckID === 'serfHealth')?.Status;
const status = (node: string): string | undefined => nodes.member(node)?.Status;

beforeEach(async () => {
  clock = new FakeClock();
  const onError = (what: string, error: Error): void => {
    throw new Error(`${what}: ${error.message}`);
  };
  store = new Store({ engine: new MemoryEngine(clock), clock, onError });
  catalog = createCatalog({ store, datacenter: 'dc1' });
  nodes = createNodes({ store, catalog: nodeCatalog(catalog), server: 's1', clock });
  await store.start(new AbortController().signal);
  lease = (await store.leases.grantLease(TTL_MS)).id;
  tasks = createTaskGroup({ clock, onError });
});

afterEach(async () => {
  await tasks.stop();
  await store.stop();
});

const keep = (): void =>
  keepNodes(
    {
      nodes,
      store,
      onCommit: (listener) => store.onCommit(listener),
      catalog: nodeCatalog(catalog),
      clock,
      log: noLog,
    },
    OPTIONS,
    tasks,
  );

it('writes what differs and nothing else when a node comes, and when it comes again', async () => {
  await nodes.begin(info('a'), 'first', lease);
  expect([health('a'), status('a')]).toEqual(['passing', 'alive']);
  const members = store.topics.index(['members']);
  const checks = store.topics.index(['checks']);
  await nodes.begin(info('a'), 'second', lease);
  expect([store.topics.index(['members']), store.topics.index(['checks'])]).toEqual([members, checks]);
});

it('never flaps when a node moves: what is said of its former session counts no more', async () => {
  await nodes.begin(info('a'), 'first', lease);
  await nodes.begin(info('a'), 'second', lease);
  expect(await nodes.lost('a', 'first')).toBe(false);
  await nodes.left('a', 'first');
  expect([health('a'), status('a')]).toEqual(['passing', 'alive']);
  expect(await nodes.lost('a', 'second')).toBe(true);
  expect([health('a'), status('a')]).toEqual(['critical', 'failed']);
  await nodes.begin(info('a'), 'third', lease);
  expect([health('a'), status('a')]).toEqual(['passing', 'alive']);
});

it('gives no living node’s name to another, but that of a lost one', async () => {
  await nodes.begin(info('a'), 'first', lease);
  const other = info('a', { ID: '11111111-1111-1111-1111-111111111111' });
  await expect(nodes.begin(other, 'other', lease)).rejects.toMatchObject({
    code: 'rejected',
    message: expect.stringContaining('the name a belongs to another living node'),
  });
  await nodes.lost('a', 'first');
  await nodes.begin(other, 'other', lease);
  expect(nodes.member('a')?.ID).toBe(other.ID);
});

it('a departure takes all that was registered on the node, and lists it as having left', async () => {
  await nodes.begin(info('a'), 'first', lease);
  await catalog.register({ Node: 'a', Address: '10.0.0.1', Service: { Service: 'web' } });
  await nodes.left('a', 'first');
  expect(catalog.reads['catalog.node'].produce({ node: 'a' })).toBeNull();
  expect(nodes.members().map(({ Name, Status }) => [Name, Status])).toEqual([['a', 3]]);
});

it('tells servers from clients, and only those that live', async () => {
  const server = { Role: 'server', Tags: { port: '8300' } } as const;
  await nodes.begin(info('a', server), 'a', lease);
  await nodes.begin(info('b', server), 'b', lease);
  await nodes.begin(info('c'), 'c', lease);
  await nodes.lost('b', 'b');
  expect(nodes.servers()).toEqual([expect.objectContaining({ node: 'a', address: '10.0.0.1', port: 8300 })]);
});

it('the keeper marks the nodes of a server that died, unless another one has them by then', async () => {
  keep();
  await clock.advance(OPTIONS.graceMs);
  const other = await store.leases.grantLease(10 * TTL_MS);
  const life = await store.leases.grantLease(TTL_MS);
  await nodes.begin(info('stays'), 'one', life.id);
  await nodes.begin(info('moves'), 'two', life.id);
  await clock.advance(TTL_MS - 1_000);
  await nodes.begin(info('moves'), 'three', other.id);
  expect([status('stays'), status('moves')]).toEqual(['alive', 'alive']);
  await clock.advance(2_000);
  expect([health('stays'), health('moves')]).toEqual(['critical', 'passing']);
  expect([status('stays'), status('moves')]).toEqual(['failed', 'alive']);
});

it('the keeper gives nodes time to come back before it checks them, then removes those that stay away', async () => {
  await nodes.begin(info('a'), 'first', lease);
  await store.transact((tx) => tx.delete(nodes.tables.nodeSessions, 'a')); // ended while no server led
  keep();
  await clock.advance(OPTIONS.graceMs - 1);
  expect(status('a')).toBe('alive');
  await clock.advance(1);
  expect([health('a'), status('a')]).toEqual(['critical', 'failed']);
  await clock.advance(OPTIONS.reconnectTimeoutMs - 1);
  expect(status('a')).toBe('failed');
  await clock.advance(1);
  expect([status('a'), catalog.reads['catalog.node'].produce({ node: 'a' })]).toEqual([undefined, null]);
});

const YEAR_MS = 365 * 24 * 3_600_000;

it.each([
  ['forward', YEAR_MS],
  ['back', -YEAR_MS],
])('the keeper gives a failed node its whole time when the time of day jumps %s', async (_way, byMs) => {
  lease = (await store.leases.grantLease(YEAR_MS * 2)).id;
  keep();
  await clock.advance(OPTIONS.graceMs + 30_000); // the next look is before the failed ones are due
  for (const node of ['a', 'b', 'c']) await nodes.begin(info(node), 'first', lease);
  for (const node of ['a', 'b']) expect(await nodes.lost(node, 'first')).toBe(true);
  await clock.set(byMs);
  await clock.advance(OPTIONS.reconnectTimeoutMs - 1);
  expect(['a', 'b', 'c'].map(status)).toEqual(['failed', 'failed', 'alive']);
  await nodes.begin(info('a'), 'second', lease);
  await clock.advance(1);
  expect(['a', 'b', 'c'].map(status)).toEqual(['alive', undefined, 'alive']);
});

it('a keeper that begins with a wrong time of day gives failed nodes the grace to come back', async () => {
  await nodes.begin(info('a'), 'first', lease);
  await nodes.begin(info('b'), 'first', lease);
  for (const node of ['a', 'b']) expect(await nodes.lost(node, 'first')).toBe(true);
  await clock.set(YEAR_MS);
  keep();
  await clock.advance(OPTIONS.graceMs - 1);
  expect([status('a'), status('b')]).toEqual(['failed', 'failed']);
  await nodes.begin(info('a'), 'second', lease);
  await clock.advance(1);
  expect([status('a'), status('b')]).toEqual(['alive', undefined]);
});

it('a second keeper finds nothing left to write', async () => {
  keep();
  keep();
  await clock.advance(OPTIONS.graceMs);
  const life = await store.leases.grantLease(TTL_MS);
  await nodes.begin(info('a'), 'first', life.id);
  await clock.advance(TTL_MS + 1_000);
  const { revision } = store;
  expect(status('a')).toBe('failed');
  await clock.advance(30_000);
  expect(store.revision).toBe(revision);
});

it('the keeper does not take a node for lost whose session is written anew a moment after a restore', async () => {
  keep();
  await clock.advance(OPTIONS.graceMs);
  await nodes.begin(info('a'), 'first', lease);
  const checks = store.topics.index(['checks']);
  await store.transact((tx) => tx.delete(nodes.tables.nodeSessions, 'a'));
  await clock.advance(500);
  await nodes.begin(info('a'), 'first', lease);
  await clock.advance(5_000);
  expect([status('a'), store.topics.index(['checks'])]).toEqual(['alive', checks]);
});
