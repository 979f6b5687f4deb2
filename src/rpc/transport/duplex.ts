import { create, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { IsthmusError } from '../../lib/errors.ts';
import { AsyncQueue } from '../../lib/queue.ts';
import type { DuplexStream } from './handlers.ts';
import type { PeerIdentity } from './security.ts';

/** Either of gRPC's duplex calls. */
interface DuplexCall<Message> {
  on(event: 'data', listener: (message: Message) => void): unknown;
  on(event: 'end' | 'close' | 'cancelled', listener: () => void): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  readonly writable: boolean;
  readonly writableLength: number;
  write(message: Message): boolean;
  end(): void;
}

/**
 * The other side says little: heartbeats, and who it is when that changes. More than this unread means that it floods
 * us.
 */
const MAX_UNREAD = 64;
/** Messages that the other side has not taken yet: more means that it reads no more. */
const MAX_UNSENT = 1_024;

/**
 * A gRPC duplex call as a {@link DuplexStream}. `toError` makes the error that the reader sees when the call breaks.
 */
export function createDuplex<Schema extends DescMessage>(
  schema: Schema,
  call: DuplexCall<MessageShape<Schema>>,
  peer: string,
  toError: (error: unknown) => IsthmusError,
  identity?: PeerIdentity,
): DuplexStream<MessageShape<Schema>, MessageInitShape<Schema>> {
  const queue = new AsyncQueue<MessageShape<Schema>>(MAX_UNREAD);
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
    send(message) {
      if (ended || !call.writable) return;
      if (call.writableLength < MAX_UNSENT) call.write(create(schema, message));
      else queue.fail(new IsthmusError('unavailable', `${peer} reads no more`));
    },
    end() {
      if (ended) return;
      ended = true;
      if (call.writable) call.end();
    },
  };
}
