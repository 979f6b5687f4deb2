import { IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import { EVENT_VERSION, type EventRequest, KEPT_EVENTS, MAX_EVENT_BYTES, type UserEvent } from '../../model/event.ts';
import { compilePattern } from '../../model/filter/pattern/pattern.ts';
import type { Read } from '../../store/read.ts';
import type { Store } from '../../store/store.ts';

export interface Events {
  readonly reads: { readonly 'events.recent': Read<unknown, readonly UserEvent[]> };
  readonly writes: { readonly 'events.fire': (request: EventRequest) => Promise<UserEvent> };
}

export const EVENTS_TABLE = 'events';

/** Custom events of the datacenter: the newest ones, in the order in which they were fired. */
export function createEvents(store: Store): Events {
  const table = store.table<UserEvent>({ name: EVENTS_TABLE, key: ({ LTime }) => keyOf(LTime) });
  return {
    reads: {
      'events.recent': { topics: () => [EVENTS_TABLE], produce: () => table.list().map(({ value }) => value) },
    },
    writes: {
      async 'events.fire'(request) {
        const event = checked(request);
        await store.transact((tx) => {
          const rows = table.list();
          const LTime = (rows.at(-1)?.value.LTime ?? 0) + 1;
          tx.get(table, keyOf(LTime)); // so that two servers don't take the same place
          tx.put(table, { ...event, LTime });
          for (const { key } of rows.slice(0, Math.max(0, rows.length + 1 - KEPT_EVENTS))) tx.delete(table, key);
        });
        return event;
      },
    },
  };
}

/** In the order of the numbers. */
function keyOf(place: number): string {
  return String(place).padStart(16, '0');
}

/** Throws `rejected` with Consul's texts. */
function checked(request: EventRequest): UserEvent {
  const { Name } = request;
  const NodeFilter = textOf(request.NodeFilter);
  const ServiceFilter = textOf(request.ServiceFilter);
  const TagFilter = textOf(request.TagFilter);
  const Payload = textOf(request.Payload);
  if (Name === '') throw rejected('User event missing name');
  if (TagFilter !== '' && ServiceFilter === '') throw rejected('Cannot provide tag filter without service filter');
  const bytes = [Name, NodeFilter, ServiceFilter, TagFilter].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  // Before the patterns: compiling a long one is work.
  if (bytes + Buffer.from(Payload, 'base64').length > MAX_EVENT_BYTES)
    throw rejected(
      `1 error occurred:\n\t* error broadcasting event to segment "": user event exceeds configured limit of ` +
        `${MAX_EVENT_BYTES} bytes before encoding\n\n`,
    );
  for (const [what, pattern] of [
    ['node', NodeFilter],
    ['service', ServiceFilter],
    ['tag', TagFilter],
  ] as const) {
    try {
      compilePattern(pattern);
    } catch (error) {
      throw rejected(`Invalid ${what} filter: ${IsthmusError.from(error).message}`, error);
    }
  }
  return {
    ID: newUuid(),
    Name,
    Payload: Payload === '' ? null : Buffer.from(Payload, 'base64').toString('base64'),
    NodeFilter,
    ServiceFilter,
    TagFilter,
    Version: EVENT_VERSION,
    LTime: 0,
  };
}

/** Other processes may send anything. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function rejected(message: string, cause?: unknown): IsthmusError {
  return new IsthmusError('rejected', message, cause === undefined ? {} : { cause });
}
