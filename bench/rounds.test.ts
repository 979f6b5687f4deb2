import { createServer, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { openOne } from './application.ts';
import type { Bed, Program } from './bed.ts';
import { measureRows, type RoundsOptions } from './rounds.ts';
import type { Figure, Row } from './rows.ts';
import { table } from './table.ts';

const servers: { close(): void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const figure = (value: number, unit = '/s'): Figure => ({ what: 'work', unit, value, samples: 1, goal: '' });

/** A program that starts nothing and notes what is done with it. */
function fake(name: string, events: string[]): Program {
  const bed: Bed = {
    ...{ kind: 'isthmus' as const, binary: name, own: false },
    ...{ dc1: '', dc2: '', dns: '', pids: [], readyMs: 0, federatedMs: 0 },
    sidecar: async () => undefined,
    sidecarPids: () => [],
    stop: async () => void events.push(`stop ${name}`),
    kill: async () => void events.push(`kill ${name}`),
  };
  return {
    name,
    async start() {
      events.push(`start ${name}`);
      return bed;
    },
  };
}

const options = (programs: readonly Program[], row: Row, more: Partial<RoundsOptions> = {}): RoundsOptions => ({
  programs,
  rows: new Map([['row', row]]),
  rounds: 3,
  timeoutMs: 60_000,
  onProgress: () => undefined,
  ...more,
});

it('runs one program after the other, each first in turn, and each on what was just started', async () => {
  const events: string[] = [];
  const programs = [fake('a', events), fake('b', events)];
  const values: Record<string, number[]> = { a: [1, 5, 3], b: [10, 30, 20] };
  const row: Row = async ({ binary }) => [figure(values[binary]?.shift() ?? Number.NaN)];
  const { measured, failures } = await measureRows(options(programs, row));
  expect(failures).toEqual([]);
  expect([...(measured[0]?.values ?? [])]).toEqual([
    ['a', [1, 5, 3]],
    ['b', [10, 30, 20]],
  ]);
  const order = ['a', 'b', 'b', 'a', 'a', 'b'];
  expect(events).toEqual(order.flatMap((name) => [`start ${name}`, `stop ${name}`]));
});

it('ends what does not come to its end, says what it waited for, and goes on with the other program', async () => {
  const events: string[] = [];
  const row: Row = ({ binary }) => (binary === 'hangs' ? new Promise(() => undefined) : Promise.resolve([figure(1)]));
  const { measured, failures } = await measureRows(
    options([fake('hangs', events), fake('fine', events)], row, { timeoutMs: 50 }),
  );
  expect(failures).toEqual([
    { row: 'row', program: 'hangs', why: 'not over within 0.05 s: waited for the measurement' },
  ]);
  expect(events.filter((event) => event.endsWith('hangs'))).toEqual(['start hangs', 'kill hangs']); // tried once
  expect(measured[0]?.values.get('fine')).toEqual([1, 1, 1]);
  expect(table({ measured, failures }, ['fine', 'hangs'])).toContain('row failed with hangs: not over within 0.05 s');
});

it('prints medians and ranges, and says whether a difference is more than noise', () => {
  const of = (unit: string, a: number[], b: number[]): string => {
    const values = new Map([
      ['new', a],
      ['old', b],
    ]);
    return table({ measured: [{ what: 'work', unit, goal: '', values }], failures: [] }, ['new', 'old']);
  };
  expect(of('/s', [11, 12, 13], [8, 9, 10])).toMatch(
    /work {2}12\.0 \/s +11\.0–13\.0 n=3 +9\.00 \/s .* 1\.33× better$/m,
  );
  expect(of('ms', [11, 12, 13], [8, 9, 10])).toMatch(/1\.33× worse$/m);
  expect(of('ms', [9, 12, 13], [8, 9, 10])).toMatch(/1\.33× worse \(ranges overlap\)$/m);
  expect(of('ms/s', [1, 1, 1], [2, 2, 2])).toMatch(/0\.50× better$/m);
});

/** A listener that does with each connection what a proxy in trouble does. */
async function listener(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer(onConnection);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

it('takes a connection that is accepted and closed for refused, never for answered', async () => {
  const port = await listener((socket) => socket.resume().end());
  await expect(openOne(port)).rejects.toThrow('closed without an answer');
  const answering = await listener((socket) => socket.once('data', () => socket.end('x')));
  await expect(openOne(answering)).resolves.toBeUndefined();
});
