import type { PeerCertificate } from 'node:tls';
import { create, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import type {
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { IsthmusError } from '../../lib/errors.ts';
import { abortable, abortReason, linkSignals } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { Counter, Histogram, Logger } from '../../telemetry/types.ts';
import { knownRead, knownWrite } from '../contract/arguments.ts';
import type { CallOptions, Consistency, ReadOptions } from '../contract/contract.ts';
import { READS, type ReadArgs } from '../contract/reads.ts';
import { WRITES, type WriteArgs } from '../contract/writes.ts';
import {
  type ChangesReply,
  type ChangesRequest,
  LinkMessageSchema,
  type ReadReply,
  ReadReplySchema,
  type ReadRequest,
  type RestorePart,
  type RestoreReply,
  RestoreReplySchema,
  type SaveSnapshotRequest,
  SessionMessageSchema,
  type SnapshotPart,
  type WatchReply,
  WatchReplySchema,
  type WatchRequest,
  type WriteReply,
  WriteReplySchema,
  type WriteRequest,
} from '../gen/isthmus/v1/isthmus_pb.ts';
import type { Admission } from './admission.ts';
import { changesError, decodeRequest, encodeChanges } from './changes-wire.ts';
import { createDuplex } from './duplex.ts';
import type { DuplexStream, RpcHandlers } from './handlers.ts';
import type { PeerIdentity, TransportSecurity } from './security.ts';
import { openUpload, snapshotError, snapshotParts } from './snapshots-wire.ts';
import { fromStatus } from './status.ts';
import { WatchEncoder } from './watch-wire.ts';
import { fromJson, METHODS, toFailure, toJson } from './wire.ts';

export interface ServerMethodsDeps {
  readonly handlers: RpcHandlers;
  /** Decides about reads, watches and writes by their names; about the other methods {@link admitCalls} does. */
  readonly admission: Admission;
  /** As {@link TransportSecurity.identify}. */
  readonly identify: TransportSecurity['identify'];
  /** Runs streams; stopping it ends them. */
  readonly tasks: TaskGroup;
  readonly log: Logger;
  readonly steady: () => number;
  /** Labels: method, code ('ok' or the error's). */
  readonly calls: Counter;
  /** Label: method. Only calls that don't block. */
  readonly seconds: Histogram;
  /** Label: form. Bytes of watched answers. */
  readonly watchBytes: Counter;
}

export const serviceDefinition: ServiceDefinition = METHODS;

/** Any of gRPC's server calls, as far as cancelling is concerned. */
interface Cancellable {
  readonly cancelled: boolean;
  on(event: 'cancelled', listener: () => void): unknown;
  getPeer(): string;
}

type Duplex<Schema extends DescMessage> = DuplexStream<MessageShape<Schema>, MessageInitShape<Schema>>;

interface Authenticated {
  getAuthContext(): { readonly sslPeerCertificate?: PeerCertificate };
}

interface StreamOut<O> extends Cancellable {
  write(message: O): boolean;
  end(): void;
  on(event: 'cancelled' | 'error' | 'drain' | 'close', listener: () => void): unknown;
  removeListener(event: 'drain' | 'close', listener: () => void): unknown;
}

/** gRPC's method implementations over {@link RpcHandlers}. */
export function createServerMethods(deps: ServerMethodsDeps): UntypedServiceImplementation {
  const { handlers, admission, tasks } = deps;
  const contract = () => {
    if (handlers.contract === undefined) throw new IsthmusError('unavailable', 'this port answers no requests');
    return handlers.contract;
  };

  const snapshots = () => {
    if (handlers.snapshots === undefined) throw new IsthmusError('unavailable', 'this port gives no snapshots');
    return handlers.snapshots;
  };

  const callerOf = (call: Authenticated) => (): PeerIdentity | undefined =>
    deps.identify(call.getAuthContext().sslPeerCertificate);

  const count = (method: string, error: IsthmusError | undefined): void => {
    deps.calls.add(1, { method, code: error?.code ?? 'ok' });
    if (error?.code === 'internal') deps.log.error('a call failed inside', { method, error: error.message });
  };

  const unary = <I, O>(
    method: string,
    blocks: (request: I) => boolean,
    answer: (request: I, signal: AbortSignal, caller: () => PeerIdentity | undefined) => Promise<O>,
    fail: (error: IsthmusError) => O,
  ) => {
    return (call: ServerUnaryCall<I, O>, reply: sendUnaryData<O>): void => {
      tasks.run(method, async (stopping) => {
        const linked = cancelledWith(call, stopping);
        const started = deps.steady();
        try {
          const value = await abortable(answer(call.request, linked.signal, callerOf(call)), linked.signal);
          count(method, undefined);
          reply(null, value);
        } catch (thrown) {
          const error = stopping.aborted ? STOPPING : IsthmusError.from(thrown);
          count(method, error);
          if (!call.cancelled) reply(null, fail(error));
        } finally {
          linked.release();
          if (!blocks(call.request)) deps.seconds.observe((deps.steady() - started) / 1_000, { method });
        }
      });
    };
  };

  const serverStream = <I, O>(
    method: string,
    produce: (request: I, signal: AbortSignal, caller: () => PeerIdentity | undefined) => AsyncIterable<O>,
    fail: (error: IsthmusError) => O,
  ) => {
    return (call: ServerWritableStream<I, O>): void => {
      tasks.run(method, async (stopping) => {
        const linked = cancelledWith(call, stopping);
        call.on('error', () => undefined); // a broken connection: 'cancelled' says it too
        let failure: IsthmusError | undefined;
        try {
          for await (const message of produce(call.request, linked.signal, callerOf(call))) {
            if (!call.write(message)) await drained(call, linked.signal);
          }
        } catch (thrown) {
          failure = stopping.aborted ? STOPPING : IsthmusError.from(thrown);
          if (!call.cancelled) call.write(fail(failure));
        } finally {
          count(method, failure);
          linked.release();
          call.end();
        }
      });
    };
  };

  const duplex = <Schema extends DescMessage>(
    name: 'link' | 'session',
    schema: Schema,
    hold: ((stream: Duplex<Schema>, signal: AbortSignal) => Promise<void>) | undefined,
  ) => {
    return (call: ServerDuplexStream<MessageShape<Schema>, MessageShape<Schema>>): void => {
      tasks.run(name, async (stopping) => {
        const linked = cancelledWith(call, stopping);
        const peer = call.getPeer();
        const stream = createDuplex(schema, call, peer, (error) => fromStatus(error, peer), callerOf(call)());
        try {
          await hold?.(stream, linked.signal);
        } finally {
          linked.release();
          stream.end();
        }
      });
    };
  };

  return {
    read: unary<ReadRequest, ReadReply>(
      'read',
      (request) => request.index !== undefined,
      async (request, signal, caller) => {
        const args = argsOf(request);
        const name = knownRead(request.name, args);
        admission.check(name, READS[name].callers, caller);
        const result = await contract().read(name, args as ReadArgs<typeof name>, {
          ...callOptions(request, signal),
          ...readOptions(request),
        });
        return create(ReadReplySchema, {
          index: BigInt(result.index),
          knownLeader: result.knownLeader,
          lastContactMs: Math.max(0, Math.trunc(result.lastContactMs)),
          json: result.json,
        });
      },
      (error) => create(ReadReplySchema, { error: toFailure(error) }),
    ),
    write: unary<WriteRequest, WriteReply>(
      'write',
      () => false,
      async (request, signal, caller) => {
        const args = argsOf(request);
        const name = knownWrite(request.name, args);
        const { callers, speaksFor } = WRITES[name];
        const of = speaksFor === undefined ? undefined : (args as Readonly<Record<string, unknown>>)[speaksFor];
        admission.check(name, callers, caller, of);
        const result = await contract().write(name, args as WriteArgs<typeof name>, callOptions(request, signal));
        return create(WriteReplySchema, { revision: BigInt(result.revision), json: toJson(result.value) });
      },
      (error) => create(WriteReplySchema, { error: toFailure(error) }),
    ),
    watch: serverStream<WatchRequest, WatchReply>(
      'watch',
      async function* (request, signal, caller) {
        const args = argsOf(request);
        const name = knownRead(request.name, args);
        admission.check(name, READS[name].callers, caller);
        const encoder = new WatchEncoder(request.deltas, request.knownDigest);
        for await (const update of contract().watch(
          name,
          args as ReadArgs<typeof name>,
          callOptions(request, signal),
        )) {
          const reply = encoder.encode(update);
          if (reply.deltaJson.length === 0) deps.watchBytes.add(reply.json.length, { form: 'whole' });
          else deps.watchBytes.add(reply.deltaJson.length, { form: 'delta' });
          yield reply;
        }
      },
      (error) => create(WatchReplySchema, { error: toFailure(error) }),
    ),
    changes: serverStream<ChangesRequest, ChangesReply>(
      'changes',
      async function* (request, signal) {
        if (handlers.changes === undefined) throw new IsthmusError('unavailable', 'this server replicates nothing');
        const messages = handlers.changes.changes(decodeRequest(request), signal);
        for await (const message of messages) yield encodeChanges(message);
      },
      changesError,
    ),
    saveSnapshot: serverStream<SaveSnapshotRequest, SnapshotPart>(
      'saveSnapshot',
      async function* (request, signal) {
        yield* snapshotParts(await snapshots().save(callOptions(request, signal)));
      },
      snapshotError,
    ),
    restoreSnapshot: (
      call: ServerReadableStream<RestorePart, RestoreReply>,
      reply: sendUnaryData<RestoreReply>,
    ): void => {
      tasks.run('restoreSnapshot', async (stopping) => {
        const linked = cancelledWith(call, stopping);
        call.on('error', () => undefined); // a broken connection: 'cancelled' says it too
        const unread = (): void => void call.destroy(abortReason(linked.signal)); // nothing more comes, not even an end
        linked.signal.addEventListener('abort', unread, { once: true });
        try {
          const { options, archive } = await openUpload(call);
          const { index } = await snapshots().restore(archive, { ...options, signal: linked.signal });
          count('restoreSnapshot', undefined);
          reply(null, create(RestoreReplySchema, { index: BigInt(index) }));
        } catch (thrown) {
          const error = stopping.aborted ? STOPPING : IsthmusError.from(thrown);
          count('restoreSnapshot', error);
          if (!call.cancelled) reply(null, create(RestoreReplySchema, { error: toFailure(error) }));
        } finally {
          linked.release();
        }
      });
    },
    link: duplex('link', LinkMessageSchema, handlers.link),
    session: duplex('session', SessionMessageSchema, handlers.session),
  };
}

const STOPPING = new IsthmusError('unavailable', 'the server is stopping');

function cancelledWith(call: Cancellable, stopping: AbortSignal) {
  const linked = linkSignals(stopping);
  call.on('cancelled', () => linked.abort(new IsthmusError('cancelled', 'the caller went away')));
  if (call.cancelled) linked.abort(new IsthmusError('cancelled', 'the caller went away'));
  return linked;
}

function drained<O>(call: StreamOut<O>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    const finish = (): void => {
      signal.removeEventListener('abort', onAbort);
      call.removeListener('drain', onDrain);
      call.removeListener('close', onDrain);
    };
    const onAbort = (): void => {
      finish();
      reject(abortReason(signal));
    };
    const onDrain = (): void => {
      finish();
      resolve();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    call.on('drain', onDrain);
    call.on('close', onDrain);
  });
}

function argsOf(request: { readonly argsJson: Uint8Array }): unknown {
  return fromJson(request.argsJson, 'the arguments');
}

function callOptions(request: { datacenter: string; token: string }, signal: AbortSignal): CallOptions {
  return {
    signal,
    ...(request.datacenter === '' ? {} : { datacenter: request.datacenter }),
    ...(request.token === '' ? {} : { token: request.token }),
  };
}

const CONSISTENCIES: ReadonlySet<string> = new Set<Consistency>(['default', 'stale', 'consistent']);

function readOptions(request: ReadRequest): Omit<ReadOptions, keyof CallOptions> {
  return {
    ...(CONSISTENCIES.has(request.consistency) ? { consistency: request.consistency as Consistency } : {}),
    ...(request.index === undefined ? {} : { index: Number(request.index) }),
    ...(request.waitMs === undefined ? {} : { waitMs: request.waitMs }),
  };
}
