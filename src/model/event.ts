/** A custom event as the API shows it: fired by somebody, kept by the agents that it is for. */
export interface UserEvent {
  readonly ID: string;
  readonly Name: string;
  /** Base64; null when there is none. */
  readonly Payload: string | null;
  /** Regular expressions; '' takes every node, service, tag. */
  readonly NodeFilter: string;
  readonly ServiceFilter: string;
  readonly TagFilter: string;
  readonly Version: number;
  /** Its place among the events of the datacenter; 0 in the answer to whoever fires it. */
  readonly LTime: number;
}

/** What whoever fires an event says. */
export type EventRequest = Pick<UserEvent, 'Name'> & Partial<UserEvent>;

export const EVENT_VERSION = 1;
/** Bytes of an event's name, payload and filters together: what Consul's gossip takes by default. */
export const MAX_EVENT_BYTES = 512;
/** Events that a datacenter, and each agent of those that are for it, keeps: the newest. */
export const KEPT_EVENTS = 256;
