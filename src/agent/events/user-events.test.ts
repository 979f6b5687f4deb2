import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { AsyncQueue } from '../../lib/queue.ts';
import { KEPT_EVENTS, type UserEvent } from '../../model/event.ts';
import type { ServerContract, WatchUpdate } from '../../rpc/contract/contract.ts';
import { noLog } from '../../telemetry/types.ts';
import { UserEvents } from './user-events.ts';

let clock: FakeClock;
let events: UserEvents;
/** Of each time that the servers were asked. */
let watches: AsyncQueue<WatchUpdate<readonly UserEvent[]>>[];

beforeEach(async () => {
  clock = new FakeClock();
  watches = [];
  const contract = {
    watch: () => {
      const queue = new AsyncQueue<WatchUpdate<readonly UserEvent[]>>();
      watches.push(queue);
      return queue;
    },
  } as unknown as ServerContract;
  const services = () => [{ ID: 'web-1', Service: 'web', Tags: ['v2', 'blue'] }];
  events = new UserEvents({ contract, node: 'n1', services, clock, log: noLog });
  await events.start();
  await settle();
});
afterEach(async () => {
  for (const watch of watches) watch.end();
  await events.stop();
});

let number = 0;
function event(Name: string, filters: Partial<UserEvent> = {}): UserEvent {
  number += 1;
  const none = { NodeFilter: '', ServiceFilter: '', TagFilter: '' };
  return { ID: `id-${number}`, Name, Payload: null, ...none, Version: 1, LTime: number, ...filters };
}

async function answer(value: readonly UserEvent[]): Promise<void> {
  watches.at(-1)?.push({ index: 1, value });
  await settle();
}

const names = (): readonly string[] => events.list().map(({ Name }) => Name);

it('has what was fired since it started, once, and what was fired while it had no server', async () => {
  const [old, a, b, c] = [event('old'), event('a'), event('b'), event('c')] as const;
  await answer([old]);
  expect(names()).toEqual([]);
  await answer([old, a]);
  await answer([old, a, b]);
  expect(names()).toEqual(['a', 'b']);
  watches.at(-1)?.end();
  await settle();
  await clock.advance(60_000);
  expect(watches).toHaveLength(2);
  await answer([a, b, c]);
  expect(names()).toEqual(['a', 'b', 'c']);
});

it('receives events when its datacenter had none before', async () => {
  await answer([]);
  const coming = events.next(new AbortController().signal);
  await answer([event('first')]);
  await coming;
  expect(names()).toEqual(['first']);
});

it.each<[string, Partial<UserEvent>, boolean]>([
  ['every node', {}, true],
  ['this node', { NodeFilter: '^n[0-9]$' }, true],
  ['another node', { NodeFilter: '^m' }, false],
  ['a service', { ServiceFilter: 'web' }, true],
  ['an instance', { ServiceFilter: '^web-1$' }, true],
  ['another service', { ServiceFilter: 'db' }, false],
  ['a tag', { ServiceFilter: 'web', TagFilter: '^blue$' }, true],
  ['another tag', { ServiceFilter: 'web', TagFilter: 'green' }, false],
  ['a service on another node', { NodeFilter: 'm', ServiceFilter: 'web' }, false],
  ['a pattern that can’t be read', { NodeFilter: '(' }, false],
])('takes what is for %s: %j', async (_for, filters, taken) => {
  await answer([]);
  await answer([event('x', filters)]);
  expect(names()).toEqual(taken ? ['x'] : []);
});

it('keeps the newest', async () => {
  await answer([]);
  const all = Array.from({ length: KEPT_EVENTS + 44 }, (_, at) => event(`e${at}`));
  await answer(all.slice(0, 200));
  await answer(all.slice(44));
  expect(events.list()).toHaveLength(KEPT_EVENTS);
  expect(names().at(0)).toBe('e44');
  expect(names().at(-1)).toBe(`e${KEPT_EVENTS + 43}`);
});
