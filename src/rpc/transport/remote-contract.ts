import { create } from '@bufbuild/protobuf';
import type { Clock } from '../../lib/clock.ts';
import { withDeadline } from '../../lib/signals.ts';
import type { ChangeSource } from '../contract/changes.ts';
import type {
  CallOptions,
  ReadOptions,
  ReadResult,
  ServerContract,
  WatchOptions,
  WatchUpdate,
  WriteResult,
} from '../contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../contract/reads.ts';
import { makeResult } from '../contract/result.ts';
import type { WriteArgs, WriteName, WriteValue } from '../contract/writes.ts';
import { ReadRequestSchema, WatchRequestSchema, WriteRequestSchema } from '../gen/isthmus/v1/isthmus_pb.ts';
import { decodeChanges, encodeRequest } from './changes-wire.ts';
import type { RpcChannel } from './channel.ts';
import { knownDigest, WatchDecoder } from './watch-wire.ts';
import { buffer, fromFailure, fromJson, METHODS, toJson } from './wire.ts';

export interface RemoteContractDeps {
  readonly channel: RpcChannel;
  readonly clock: Clock;
  /** Longest a call may take beside the time that it asked to block, milliseconds. Default 30,000. */
  readonly callMs?: number;
}

const DEFAULT_CALL_MS = 30_000;
/** As ReadOptions.waitMs says. */
const DEFAULT_WAIT_MS = 300_000;
const MAX_WAIT_MS = 600_000;

/** The server contract, carried to another process. JSON passes untouched and is parsed when it is first looked at. */
export function createRemoteContract(deps: RemoteContractDeps): ServerContract {
  return new RemoteContract(deps);
}

/** Replication's side of the same connection. */
export function createRemoteChanges(channel: RpcChannel): ChangeSource {
  return {
    async *changes(request, signal) {
      for await (const reply of channel.stream(METHODS.changes, encodeRequest(request), signal)) {
        const message = decodeChanges(reply);
        if (message !== undefined) yield message;
      }
    },
  };
}

class RemoteContract implements ServerContract {
  readonly #channel: RpcChannel;
  readonly #clock: Clock;
  readonly #callMs: number;

  constructor(deps: RemoteContractDeps) {
    this.#channel = deps.channel;
    this.#clock = deps.clock;
    this.#callMs = deps.callMs ?? DEFAULT_CALL_MS;
  }

  async read<N extends ReadName>(name: N, args: ReadArgs<N>, options: ReadOptions): Promise<ReadResult<ReadValue<N>>> {
    const { index, waitMs } = options;
    const request = create(ReadRequestSchema, {
      ...target(name, args, options),
      consistency: options.consistency ?? '',
      ...(index === undefined ? {} : { index: BigInt(index) }),
      ...(waitMs === undefined ? {} : { waitMs: Math.min(Math.max(0, Math.trunc(waitMs)), MAX_WAIT_MS) }),
    });
    const blockMs = index === undefined ? 0 : Math.min(waitMs ?? DEFAULT_WAIT_MS, MAX_WAIT_MS) * (17 / 16);
    const limit = withDeadline(
      this.#clock,
      this.#callMs + blockMs,
      `${name} at ${this.#channel.address}`,
      options.signal,
    );
    try {
      const reply = await this.#channel.unary(METHODS.read, request, limit.signal);
      if (reply.error !== undefined) throw fromFailure(reply.error);
      return makeResult({
        index: Number(reply.index),
        knownLeader: reply.knownLeader,
        lastContactMs: reply.lastContactMs,
        json: buffer(reply.json),
      });
    } finally {
      limit.release();
    }
  }

  async write<N extends WriteName>(
    name: N,
    args: WriteArgs<N>,
    options: CallOptions,
  ): Promise<WriteResult<WriteValue<N>>> {
    const request = create(WriteRequestSchema, target(name, args, options));
    const limit = withDeadline(this.#clock, this.#callMs, `${name} at ${this.#channel.address}`, options.signal);
    try {
      const reply = await this.#channel.unary(METHODS.write, request, limit.signal);
      if (reply.error !== undefined) throw fromFailure(reply.error);
      return { revision: Number(reply.revision), value: fromJson(reply.json, 'the answer') as WriteValue<N> };
    } finally {
      limit.release();
    }
  }

  async *watch<N extends ReadName>(
    name: N,
    args: ReadArgs<N>,
    options: WatchOptions,
  ): AsyncIterable<WatchUpdate<ReadValue<N>>> {
    const { known } = options;
    const base = { deltas: true, knownDigest: knownDigest(known) };
    const request = create(WatchRequestSchema, { ...target(name, args, options), ...base });
    const decoder = new WatchDecoder<ReadValue<N>>(known);
    for await (const reply of this.#channel.stream(METHODS.watch, request, options.signal)) yield decoder.decode(reply);
  }
}

function target(name: string, args: unknown, options: CallOptions) {
  return { name, argsJson: toJson(args), datacenter: options.datacenter ?? '', token: options.token ?? '' };
}
