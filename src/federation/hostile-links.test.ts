import { setMaxListeners } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { startDatacenter, type TestDatacenter, until } from '../../test/harness/datacenter.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import { makeResult } from '../rpc/contract/result.ts';
import { createChannel } from '../rpc/transport/channel.ts';
import type { LinkMessageInit, LinkStream } from '../rpc/transport/handlers.ts';

/** What somebody can do who may open a link: it speaks for itself, and for no one else. */

const never = new AbortController().signal;
setMaxListeners(0, never); // more than ten calls share it at once
const cleanup: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

async function start(datacenter: string, join: readonly number[] = []): Promise<TestDatacenter> {
  const local = { read: async () => makeResult({ index: 1, value: datacenter }) } as unknown as ServerContract;
  const started = await startDatacenter({ datacenter, join, local, overrides: { timings: { heartbeatMs: 50 } } });
  cleanup.push(() => started.stop());
  return started;
}

interface Said {
  readonly datacenter?: string;
  readonly node?: string;
  readonly nodeId?: string;
  readonly epoch?: string;
  readonly port?: number;
  readonly servers?: readonly { datacenter: string; nodeId: string; port: number }[];
}

function hello({ datacenter = 'dc3', node = 'liar', nodeId = 'liar', epoch = 'e3', port = 1, servers = [] }: Said) {
  const wan = { host: '127.0.0.1', port };
  return {
    message: {
      case: 'hello',
      value: {
        protocol: 1,
        datacenter,
        node,
        nodeId,
        wan,
        primaryDatacenter: 'dc1',
        epoch,
        servers: servers.map((one) => ({
          datacenter: one.datacenter,
          node: one.nodeId,
          nodeId: one.nodeId,
          wan: { host: '127.0.0.1', port: one.port },
        })),
      },
    },
  } satisfies LinkMessageInit;
}

interface Liar {
  readonly stream: LinkStream;
  /** Until the other side says something else than heartbeats and Hellos; the reason of a refusal. */
  readonly over: Promise<string>;
  readonly pong: Promise<void>;
  hangUp(): void;
}

function liar(to: TestDatacenter, said: Said): Liar {
  const channel = createChannel({ address: `127.0.0.1:${to.wanPort}` });
  cleanup.push(() => channel.close());
  const stream = channel.link(never);
  stream.send(hello(said));
  let ponged = (): void => undefined;
  const pong = new Promise<void>((resolve) => {
    ponged = resolve;
  });
  const over = (async () => {
    try {
      for await (const { message } of stream.messages) {
        if (message.case === 'refusal') return message.value.message;
        if (message.case === 'pong') ponged();
      }
    } catch {
      return 'broken';
    }
    return 'ended';
  })();
  return { stream, over, pong, hangUp: () => channel.close() };
}

const names = ({ federation }: TestDatacenter): string[] => federation.members().map(({ Name }) => Name);
const ask = async ({ federation }: TestDatacenter, datacenter: string): Promise<unknown> =>
  (await federation.contract(datacenter).read('ca.roots', {}, { signal: never })).value;

describe('a liar with the ID of another datacenter’s server', () => {
  it('displaces nothing, neither while it is there nor after', async () => {
    const dc1 = await start('dc1');
    const dc2 = await start('dc2', [dc1.wanPort]);
    await dc1.federation.whenConnected('dc2', never);
    await dc2.federation.whenConnected('dc1', never);
    const one = liar(dc1, { nodeId: 'id-of-dc2-s1', node: 'dc2-s1' });
    await until(dc1.federation, () => names(dc1).includes('dc2-s1.dc3'));
    one.stream.send({ message: { case: 'leaving', value: {} } });
    await until(dc1.federation, () => !dc1.federation.datacenters().includes('dc3'));
    expect(dc1.federation.connected()).toEqual(['dc2']);
    expect(await ask(dc1, 'dc2')).toBe('dc2');
    one.hangUp();
    await until(dc1.federation, () => !names(dc1).includes('dc2-s1.dc3'));
    expect(dc1.federation.members().map(({ Name, Status }) => `${Name} ${Status}`)).toEqual([
      'dc1-s1.dc1 1',
      'dc2-s1.dc2 1',
    ]);
    expect(await ask(dc1, 'dc2')).toBe('dc2');
  });

  it('says of the others what it likes: they are believed for themselves', async () => {
    const dc1 = await start('dc1');
    const dc2 = await start('dc2', [dc1.wanPort]);
    await dc1.federation.whenConnected('dc2', never);
    liar(dc1, { servers: [{ datacenter: 'dc2', nodeId: 'id-of-dc2-s1', port: 9 }] });
    await until(dc1.federation, () => names(dc1).includes('liar.dc3'));
    const named = dc1.federation.links().find(({ address }) => address === '127.0.0.1:9');
    expect(named?.state.kind).toBe('idle'); // the server that is said to be there is reached
    expect(
      dc1.federation.links().some(({ address, state }) => address.endsWith(`${dc2.wanPort}`) && state.kind === 'up'),
    ).toBe(true);
    expect(await ask(dc1, 'dc2')).toBe('dc2');
  });

  it('can’t speak for a server that is dialled itself, where no certificates are asked for', async () => {
    const dc1 = await start('dc1');
    const dc2 = await start('dc2', [dc1.wanPort]);
    await dc1.federation.whenConnected('dc2', never);
    const twin = liar(dc1, { datacenter: 'dc2', nodeId: 'id-of-dc2-s1', node: 'other', epoch: 'x', port: 9 });
    twin.stream.send({ message: { case: 'ping', value: { number: 1n } } });
    await until(dc1.federation, () => dc1.federation.links().some(({ address }) => address.endsWith(':9')));
    expect(await ask(dc1, 'dc2')).toBe('dc2');
    expect(dc1.federation.members().map(({ Name, Port }) => [Name, Port])).toContainEqual(['dc2-s1.dc2', dc2.wanPort]);
  });
});

describe('what one link makes the other side hold', () => {
  it('is few dialled addresses, and none once it is gone', async () => {
    const dc1 = await start('dc1');
    const one = liar(dc1, {});
    for (let turn = 0; turn < 20; turn += 1)
      one.stream.send(
        hello({
          servers: Array.from({ length: 150 }, (_, n) => ({
            datacenter: 'dc4',
            nodeId: `n${turn}-${n}`,
            port: 20_000 + 150 * turn + n,
          })),
        }),
      );
    const dialled = new Set<string>();
    dc1.federation.onChange(() => {
      for (const { address } of dc1.federation.links()) dialled.add(address);
    });
    one.stream.send({ message: { case: 'ping', value: { number: 1n } } });
    await one.pong;
    expect(dialled.size).toBeGreaterThan(10);
    expect(dialled.size).toBeLessThanOrEqual(64);
    one.hangUp();
    await until(dc1.federation, () => dc1.federation.links().length === 0);
  });

  it('is no more Hellos than a server has news', async () => {
    const dc1 = await start('dc1');
    const one = liar(dc1, {});
    for (let turn = 0; turn < 2_000; turn += 1) one.stream.send(hello({ epoch: `e${turn}` }));
    expect(await one.over).toMatch(/ended|broken/);
    await until(dc1.federation, () => names(dc1).length === 1);
  });

  it('is one server, and of one datacenter no more than it may have; all are forgotten with their links', async () => {
    const dc1 = await start('dc1');
    const liars = Array.from({ length: 80 }, (_, n) => liar(dc1, { node: `n${n}`, nodeId: `n${n}` }));
    const refused = await Promise.race(liars.map(({ over }) => over));
    expect(refused).toContain('as many servers of this datacenter are linked');
    await until(dc1.federation, () => names(dc1).length === 65);
    for (const { hangUp } of liars) hangUp();
    await until(dc1.federation, () => names(dc1).length === 1);
    expect(dc1.federation.datacenters()).toEqual(['dc1']);
  });

  it.each<[string, Said]>([
    ['another datacenter', { datacenter: 'dc4' }],
    ['another node', { node: 'n2' }],
    ['another ID', { nodeId: 'n2' }],
  ])('never becomes %s', async (_what, second) => {
    const dc1 = await start('dc1');
    const one = liar(dc1, {});
    await until(dc1.federation, () => names(dc1).length === 2);
    one.stream.send(hello(second));
    expect(await one.over).toContain('became another one on the same link');
    await until(dc1.federation, () => names(dc1).length === 1);
  });
});

it.each<Said>([
  { datacenter: 'DC3' },
  { datacenter: '' },
  { datacenter: '../x\n' },
  { datacenter: '*' },
  { datacenter: 'd'.repeat(64) },
  { node: '' },
  { node: 'a/b' },
  { node: 'x\u0000' },
  { nodeId: '' },
  { nodeId: 'n\n' },
  { epoch: 'e'.repeat(10_000) },
])('a Hello has names that are names: not %#', async (said) => {
  const dc1 = await start('dc1');
  expect(await liar(dc1, said).over).toMatch(/a name that is none|no usable node name|is no trust domain/);
  expect(names(dc1)).toEqual(['dc1-s1.dc1']);
});
