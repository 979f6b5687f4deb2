import type { Resource, ResourceSet } from './resource.ts';
import type { XdsType } from './types.ts';

/** What an Envoy said about resources that it was sent. */
export interface Answer {
  readonly type: XdsType;
  readonly resources: readonly Resource[];
  /** Why it rejected them; undefined: it has taken them over. */
  readonly error: string | undefined;
}

/**
 * One stream's side of the xDS protocol: what was asked for, sent and confirmed. It sends nothing by itself: whoever
 * owns the stream takes the next message when there is room for it, so that only the newest version of anything ever
 * waits.
 */
export interface XdsProtocol<Request, Response> {
  /**
   * Takes a message of the Envoy. Throws when the stream can't go on. Returns its answer to what it was sent, if any.
   */
  receive(request: Request): Answer | undefined;
  /** Everything that the Envoy is to have from now on. */
  update(set: ResourceSet): void;
  /** The version of a resource that the Envoy is known to have taken over, on this stream or before it. */
  takenOver(type: XdsType, name: string): string | undefined;
  /** The next message for it, if there is one to send now. */
  next(): Response | undefined;
}
