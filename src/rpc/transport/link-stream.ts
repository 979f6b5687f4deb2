import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { IsthmusError } from '../../lib/errors.ts';
import { AsyncQueue } from '../../lib/queue.ts';
import { type LinkMessage, LinkMessageSchema } from '../gen/isthmus/v1/isthmus_pb.ts';
import type { LinkStream } from './handlers.ts';
import type { PeerIdentity } from './security.ts';

/** Either of gRPC's duplex calls, as far as a link needs it. */
interface DuplexCall {
  on(event: 'data', listener: (message: LinkMessage) => void): unknown;
  on(event: 'end' | 'close' | 'cancelled', listener: () => void): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  readonly writable: boolean;
  write(message: LinkMessage): boolean;
  end(): void;
}

/** A peer says little: heartbeats, and a Hello when it changes. More than this unread means that it floods us. */
const MAX_UNREAD = 1_024;

/** A gRPC duplex call as a {@link LinkStream}. `toError` makes the error that the reader sees when the call breaks. */
export function createDuplexLink(
  call: DuplexCall,
  peer: string,
  toError: (error: unknown) => IsthmusError,
  identity?: PeerIdentity,
): LinkStream {
  const queue = new AsyncQueue<LinkMessage>(MAX_UNREAD);
  let ended = false;
  call.on('data', (message) => queue.push(message));
  call.on('error', (error) => {
    ended = true;
    queue.fail(toError(error));
  });
  call.on('end', () => queue.end());
  call.on('close', () => queue.end());
  call.on('cancelled', () => {
    ended = true;
    queue.end();
  });
  return {
    peer,
    ...(identity === undefined ? {} : { identity }),
    messages: queue,
    send(message: MessageInitShape<typeof LinkMessageSchema>) {
      if (!ended && call.writable) call.write(create(LinkMessageSchema, message));
    },
    end() {
      if (ended) return;
      ended = true;
      if (call.writable) call.end();
    },
  };
}
