import type { EventRequest, UserEvent } from '../../../model/event.ts';
import { type NoArgs, OWN_DATA, read, write } from './method.ts';
import { OPEN } from './rights.ts';
import { EVERYONE, THIS_DATACENTER } from './roles.ts';

export const eventReads = {
  /**
   * The newest events of the datacenter, oldest first: for the agents, each of which keeps those for it and decides who
   * sees them.
   */
  'events.recent': read<NoArgs, readonly UserEvent[]>({
    ...OWN_DATA,
    needs: {},
    callers: THIS_DATACENTER,
    rights: OPEN,
  }),
};

export const eventWrites = {
  'events.fire': write<EventRequest, UserEvent>({
    decided: 'here',
    leader: false,
    repeatable: false,
    arrivesIn: undefined,
    needs: { Name: 'text' },
    audit: ['Name'],
    callers: EVERYONE,
    rights: (rights, { Name }) => rights.may('event', Name, 'write'),
  }),
};
