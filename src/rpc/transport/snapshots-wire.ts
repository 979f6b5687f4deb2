import { create } from '@bufbuild/protobuf';
import { IsthmusError } from '../../lib/errors.ts';
import type { RestoreCallOptions, SavedSnapshot, SnapshotContract } from '../contract/snapshots.ts';
import {
  RestoreBeginSchema,
  type RestorePart,
  RestorePartSchema,
  SaveSnapshotRequestSchema,
  SnapshotBeginSchema,
  SnapshotEndSchema,
  type SnapshotPart,
  SnapshotPartSchema,
} from '../gen/isthmus/v1/isthmus_pb.ts';
import type { RpcChannel } from './channel.ts';
import { fromFailure, METHODS, toFailure } from './wire.ts';

/** Snapshots of another server's datacenter, over its connection. */
export function createRemoteSnapshots(channel: RpcChannel): SnapshotContract {
  return {
    async save({ signal, datacenter = '', token = '' }) {
      const request = create(SaveSnapshotRequestSchema, { datacenter, token });
      const parts = channel.stream(METHODS.saveSnapshot, request, signal)[Symbol.asyncIterator]();
      const first = await nextPart(parts);
      if (first?.case !== 'begin') throw new IsthmusError('unavailable', 'the snapshot has no beginning');
      return { index: Number(first.value.index), archive: archiveOf(parts) };
    },
    async restore(archive, options) {
      const reply = await channel.upload(METHODS.restoreSnapshot, restoreParts(archive, options), options.signal);
      if (reply.error !== undefined) throw fromFailure(reply.error);
      return { index: Number(reply.index) };
    },
  };
}

async function nextPart(parts: AsyncIterator<SnapshotPart>): Promise<SnapshotPart['message'] | undefined> {
  const next = await parts.next();
  if (next.done === true) return undefined;
  const { message } = next.value;
  if (message.case === 'error') throw fromFailure(message.value);
  return message;
}

async function* archiveOf(parts: AsyncIterator<SnapshotPart>): AsyncGenerator<Uint8Array, void, void> {
  try {
    for (;;) {
      const part = await nextPart(parts);
      if (part?.case === 'end') return;
      if (part === undefined) throw new IsthmusError('unavailable', 'the snapshot was cut off');
      if (part.case === 'archive') yield part.value;
    }
  } finally {
    await parts.return?.();
  }
}

async function* restoreParts(
  archive: AsyncIterable<Uint8Array>,
  { datacenter = '', token = '', force = false }: RestoreCallOptions,
): AsyncGenerator<RestorePart, void, void> {
  const part = (message: RestorePart['message']): RestorePart => create(RestorePartSchema, { message });
  yield part({ case: 'begin', value: create(RestoreBeginSchema, { datacenter, token, force }) });
  for await (const value of archive) yield part({ case: 'archive', value });
  yield part({ case: 'end', value: create(SnapshotEndSchema) });
}

/** What the server sends of a snapshot. */
export async function* snapshotParts({ index, archive }: SavedSnapshot): AsyncGenerator<SnapshotPart, void, void> {
  const part = (message: SnapshotPart['message']): SnapshotPart => create(SnapshotPartSchema, { message });
  yield part({
    case: 'begin',
    value: create(SnapshotBeginSchema, { index: BigInt(index) }),
  });
  for await (const value of archive) yield part({ case: 'archive', value });
  yield part({ case: 'end', value: create(SnapshotEndSchema) });
}

export function snapshotError(error: IsthmusError): SnapshotPart {
  return create(SnapshotPartSchema, { message: { case: 'error', value: toFailure(error) } });
}

/** What a server receives of a restore: who asks for what, then the archive. */
export async function openUpload(
  parts: AsyncIterable<RestorePart>,
): Promise<{ options: Omit<RestoreCallOptions, 'signal'>; archive: AsyncIterable<Uint8Array> }> {
  const iterator = parts[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true || first.value.message.case !== 'begin')
    throw new IsthmusError('invalid_argument', 'a restore must begin with what it is for');
  const { datacenter, token, force } = first.value.message.value;
  const rest = async function* (): AsyncGenerator<Uint8Array, void, void> {
    for (;;) {
      const next = await iterator.next();
      if (next.done === true) throw new IsthmusError('cancelled', 'the upload was cut off');
      const { message } = next.value;
      if (message.case === 'end') return;
      if (message.case === 'archive') yield message.value;
    }
  };
  return {
    options: {
      force,
      ...(datacenter === '' ? {} : { datacenter }),
      ...(token === '' ? {} : { token }),
    },
    archive: rest(),
  };
}
