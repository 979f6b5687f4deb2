import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { type EventRequest, KEPT_EVENTS, MAX_EVENT_BYTES, type UserEvent } from '../../model/event.ts';
import { createEvents } from './events.ts';

const store = memoryStore();
const events = createEvents(store);

beforeAll(() => store.start(new AbortController().signal));
afterAll(() => store.stop());

const fire = (request: EventRequest): Promise<UserEvent> => events.writes['events.fire'](request);
const recent = (): readonly UserEvent[] => events.reads['events.recent'].produce({});

describe('events', () => {
  it('are kept in the order in which they were fired, also when many fire at once', async () => {
    const fired = await Promise.all(Array.from({ length: 10 }, (_, at) => fire({ Name: `e${at}`, Payload: 'AQI=' })));
    expect(fired[0]).toEqual({
      ID: expect.stringMatching(/^[0-9a-f-]{36}$/),
      Name: 'e0',
      Payload: 'AQI=',
      NodeFilter: '',
      ServiceFilter: '',
      TagFilter: '',
      Version: 1,
      LTime: 0,
    });
    expect(recent().map(({ LTime }) => LTime)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(new Set(recent().map(({ ID }) => ID))).toEqual(new Set(fired.map(({ ID }) => ID)));
  });

  it('are the newest ones', async () => {
    for (let at = 0; at < KEPT_EVENTS + 20; at += 1) await fire({ Name: `n${at}` });
    expect(recent()).toHaveLength(KEPT_EVENTS);
    expect(recent().at(0)?.Name).toBe('n20');
    expect(recent().at(-1)?.Name).toBe(`n${KEPT_EVENTS + 19}`);
  });

  const big = (bytes: number): string => Buffer.alloc(bytes).toString('base64');
  const tooBig =
    '1 error occurred:\n\t* error broadcasting event to segment "": user event exceeds configured limit of 512 ' +
    'bytes before encoding\n\n';

  it.each<[string, EventRequest]>([
    ['User event missing name', { Name: '' }],
    ['Cannot provide tag filter without service filter', { Name: 'x', TagFilter: 'a' }],
    ['Invalid node filter: error parsing regexp: missing closing ): `(`', { Name: 'x', NodeFilter: '(' }],
    ['Invalid service filter: error parsing regexp: missing closing ]: `[a`', { Name: 'x', ServiceFilter: '[a' }],
    [
      'Invalid tag filter: error parsing regexp: missing argument to repetition operator: `*`',
      { Name: 'x', ServiceFilter: 'a', TagFilter: '*' },
    ],
    [tooBig, { Name: 'x', Payload: big(MAX_EVENT_BYTES) }],
    [tooBig, { Name: 'x'.repeat(MAX_EVENT_BYTES + 1) }],
    [tooBig, { Name: 'x', NodeFilter: 'x'.repeat(300), ServiceFilter: 'x'.repeat(300) }],
  ])('are refused: %s', async (message, request) => {
    const before = recent();
    await expect(fire(request)).rejects.toMatchObject({ code: 'rejected', message });
    expect(recent()).toEqual(before);
  });

  it('hold as many bytes as they may, and nothing but texts', async () => {
    await fire({ Name: 'x', Payload: big(MAX_EVENT_BYTES - 1) });
    const odd = { Name: 'odd', Payload: 7, NodeFilter: { a: 1 }, LTime: 99, ID: 'mine' } as unknown as EventRequest;
    expect(await fire(odd)).toMatchObject({
      Payload: null,
      NodeFilter: '',
      LTime: 0,
      ID: expect.not.stringMatching('mine'),
    });
  });
});
