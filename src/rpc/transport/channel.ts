import { once, setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import {
  type ChannelCredentials,
  Client,
  type ClientOptions,
  type ClientWritableStream,
  credentials,
  Metadata,
  type MethodDefinition,
} from '@grpc/grpc-js';
import { IsthmusError } from '../../lib/errors.ts';
import { abortReason, linkSignals } from '../../lib/signals.ts';
import { LinkMessageSchema, SessionMessageSchema } from '../gen/isthmus/v1/isthmus_pb.ts';
import { createDuplex } from './duplex.ts';
import {
  DEFAULT_LIMITS,
  type DuplexStream,
  type LinkStream,
  type SessionStream,
  type TransportLimits,
} from './handlers.ts';
import { type PeerIdentity, plaintext, type TransportSecurity } from './security.ts';
import { fromStatus } from './status.ts';
import { METHODS } from './wire.ts';

export interface ChannelOptions {
  /** `host:port` of a listener. */
  readonly address: string;
  /** The datacenter whose server must answer there; absent: a server of any. */
  readonly datacenter?: string;
  readonly security?: TransportSecurity;
  readonly limits?: TransportLimits;
  /**
   * Told whenever a connection was made, before HTTP/2 begins on it. `peer` is absent where identities are not checked.
   */
  readonly onConnect?: (peer: PeerIdentity | undefined) => void;
}

/** A connection to one server, made when first used and made again when it broke. */
export interface RpcChannel {
  readonly address: string;
  unary<I, O>(method: MethodDefinition<I, O>, request: I, signal: AbortSignal): Promise<O>;
  stream<I, O>(method: MethodDefinition<I, O>, request: I, signal: AbortSignal): AsyncIterable<O>;
  /** Sends all `messages`; the answer may come before they have been read, and ends the reading. */
  upload<I, O>(method: MethodDefinition<I, O>, messages: AsyncIterable<I>, signal: AbortSignal): Promise<O>;
  link(signal: AbortSignal): LinkStream;
  session(signal: AbortSignal): SessionStream;
  /** Fails every open call with `reason` and drops the connection at once. */
  close(reason?: IsthmusError): void;
}

export function createChannel(options: ChannelOptions): RpcChannel {
  return new GrpcChannel(options);
}

class GrpcChannel implements RpcChannel {
  readonly address: string;
  readonly #client: Client;
  readonly #sockets = new Set<Socket>();
  readonly #closed = new AbortController();

  constructor(options: ChannelOptions) {
    this.address = options.address;
    setMaxListeners(0, this.#closed.signal); // all calls share it
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const creds = channelCredentials(options, this.#sockets, this.#closed.signal);
    // With its scheme, so that no host name is taken for another one ("unix:8302").
    this.#client = new Client(`dns:${options.address}`, creds, clientOptions(limits));
  }

  unary<I, O>(method: MethodDefinition<I, O>, request: I, signal: AbortSignal): Promise<O> {
    return new Promise((resolve, reject) => {
      const aborted = this.#abortedBy(signal);
      if (aborted !== undefined) {
        reject(aborted);
        return;
      }
      const done = (error: unknown, reply?: O): void => {
        signal.removeEventListener('abort', cancel);
        this.#closed.signal.removeEventListener('abort', cancel);
        if (reply !== undefined && error === null) resolve(reply);
        else reject(this.#abortedBy(signal) ?? fromStatus(error, this.address));
      };
      const { path, requestSerialize, responseDeserialize } = method;
      const call = this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, done);
      const cancel = (): void => call.cancel();
      signal.addEventListener('abort', cancel, { once: true });
      this.#closed.signal.addEventListener('abort', cancel, { once: true });
    });
  }

  async *stream<I, O>(method: MethodDefinition<I, O>, request: I, signal: AbortSignal): AsyncIterable<O> {
    const aborted = this.#abortedBy(signal);
    if (aborted !== undefined) throw aborted;
    const linked = linkSignals(signal, this.#closed.signal);
    const { path, requestSerialize, responseDeserialize } = method;
    const call = this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
    // the loop below sees it too; one that comes after the loop must not be unhandled
    call.on('error', () => undefined);
    const cancel = (): void => call.cancel();
    linked.signal.addEventListener('abort', cancel, { once: true });
    try {
      for await (const message of call) {
        if (linked.signal.aborted) break;
        yield message as O;
      }
    } catch (error) {
      throw this.#abortedBy(signal) ?? fromStatus(error, this.address);
    } finally {
      linked.release();
      call.cancel();
    }
    const late = this.#abortedBy(signal);
    if (late !== undefined) throw late;
  }

  async upload<I, O>(method: MethodDefinition<I, O>, messages: AsyncIterable<I>, signal: AbortSignal): Promise<O> {
    const linked = linkSignals(signal, this.#closed.signal);
    let unsent: unknown;
    try {
      return await new Promise<O>((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = method;
        const call = this.#client.makeClientStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          (error, reply) => {
            if (reply !== undefined && error === null) resolve(reply);
            else reject(this.#abortedBy(signal) ?? unsent ?? fromStatus(error, this.address));
          },
        );
        sendAll(call, messages, linked.signal).catch((error: unknown) => {
          if (error instanceof IsthmusError) unsent = error; // of the source; anything else the call reports
          call.cancel();
        });
      });
    } finally {
      linked.abort();
      linked.release();
    }
  }

  link(signal: AbortSignal): LinkStream {
    return this.#duplex(LinkMessageSchema, METHODS.link, signal);
  }

  session(signal: AbortSignal): SessionStream {
    return this.#duplex(SessionMessageSchema, METHODS.session, signal);
  }

  #duplex<Schema extends DescMessage>(
    schema: Schema,
    method: MethodDefinition<MessageShape<Schema>, MessageShape<Schema>>,
    signal: AbortSignal,
  ): DuplexStream<MessageShape<Schema>, MessageInitShape<Schema>> {
    const { path, requestSerialize, responseDeserialize } = method;
    const call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
    const linked = linkSignals(signal, this.#closed.signal);
    const cancel = (): void => call.cancel();
    if (linked.signal.aborted) cancel();
    linked.signal.addEventListener('abort', cancel, { once: true });
    call.once('close', linked.release);
    return createDuplex(schema, call, this.address, (error) => {
      return this.#abortedBy(signal) ?? fromStatus(error, this.address);
    });
  }

  close(reason = new IsthmusError('unavailable', `the connection to ${this.address} was closed`)): void {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(reason);
    this.#client.close();
    // A peer that no longer answers must not keep the connection half open until the kernel gives up.
    setImmediate(() => {
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  #abortedBy(signal: AbortSignal): IsthmusError | undefined {
    if (signal.aborted) return abortReason(signal);
    return this.#closed.signal.aborted ? abortReason(this.#closed.signal) : undefined;
  }
}

async function sendAll<I>(
  call: ClientWritableStream<I>,
  messages: AsyncIterable<I>,
  signal: AbortSignal,
): Promise<void> {
  for await (const message of messages) {
    if (signal.aborted) return;
    if (!call.write(message)) await once(call, 'drain', { signal });
  }
  call.end();
}

/** What may be under way to us on one connection: the default of 64 KiB would hold a snapshot to 1 MB/s at 60 ms. */
const WINDOW_BYTES = 1024 * 1024;

function clientOptions(limits: Required<TransportLimits>): ClientOptions {
  return {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_retries': 0,
    'grpc.enable_channelz': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.min_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 3_000,
    'grpc.keepalive_time_ms': limits.keepaliveMs,
    'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
    'grpc-node.flow_control_window': WINDOW_BYTES,
    'grpc.max_receive_message_length': limits.maxMessageBytes,
    'grpc.max_send_message_length': limits.maxMessageBytes,
  };
}

/** gRPC's credentials made of ours; also notes the sockets, so that closing a channel can end them at once. */
function channelCredentials(options: ChannelOptions, sockets: Set<Socket>, closed: AbortSignal): ChannelCredentials {
  const { address, datacenter, security = plaintext, onConnect } = options;
  const peer = { address, ...(datacenter === undefined ? {} : { datacenter }) };
  const creds = credentials.createInsecure();
  creds._equals = (other) => other === creds;
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  const plain = creds._createSecureConnector.bind(creds);
  creds._createSecureConnector = (target, channelOptions, callCredentials) => {
    const connector = plain(target, channelOptions, callCredentials);
    connector.connect = async (raw) => {
      if (closed.aborted) {
        raw.destroy(); // connected after the channel was closed: gRPC would leave it open
        throw abortReason(closed);
      }
      track(raw);
      const { socket, peer: identity } = await security.connect(raw, peer);
      if (socket !== raw) track(socket);
      onConnect?.(identity);
      return { socket, secure: socket instanceof TLSSocket };
    };
    return connector;
  };
  return creds;
}
