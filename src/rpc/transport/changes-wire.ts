import { create } from '@bufbuild/protobuf';
import { IsthmusError } from '../../lib/errors.ts';
import type { ChangesCursor, ChangesMessage, ChangesRequest, RowDelta } from '../contract/changes.ts';
import {
  type Change,
  type ChangesReply,
  ChangesReplySchema,
  ChangesRequestSchema,
  ChangesSchema,
  type ChangesRequest as WireRequest,
} from '../gen/isthmus/v1/isthmus_pb.ts';
import { buffer, fromFailure, toFailure } from './wire.ts';

export function encodeRequest({ kind, token, cursor }: ChangesRequest): WireRequest {
  return create(ChangesRequestSchema, {
    kind,
    token: token ?? '',
    epoch: cursor?.epoch ?? '',
    revision: BigInt(cursor?.revision ?? 0),
    ...(cursor?.proof === undefined
      ? {}
      : {
          proof: {
            key: cursor.proof.key,
            revision: BigInt(cursor.proof.revision),
            digest: Buffer.from(cursor.proof.digest, 'base64'),
          },
        }),
  });
}

export function decodeRequest({ kind: name, token, epoch, revision, proof }: WireRequest): ChangesRequest {
  const kind = { kind: name, ...(token === '' ? {} : { token }) };
  if (epoch === '') return kind;
  const cursor: ChangesCursor = { epoch, revision: Number(revision) };
  if (proof === undefined) return { ...kind, cursor };
  const digest = buffer(proof.digest).toString('base64');
  return { ...kind, cursor: { ...cursor, proof: { key: proof.key, revision: Number(proof.revision), digest } } };
}

export function changesError(error: IsthmusError): ChangesReply {
  return create(ChangesReplySchema, { message: { case: 'error', value: toFailure(error) } });
}

export function encodeChanges(message: ChangesMessage): ChangesReply {
  switch (message.type) {
    case 'begin': {
      const { epoch, snapshot, datacenter, diverged = false, proven = false } = message;
      const revision = BigInt(message.revision);
      return create(ChangesReplySchema, {
        message: { case: 'begin', value: { epoch, snapshot, datacenter, diverged, proven, revision } },
      });
    }
    case 'snapshot':
      return create(ChangesReplySchema, { message: { case: 'snapshot', value: rows(message.changes, 0) } });
    case 'changes':
      return create(ChangesReplySchema, {
        message: { case: 'changes', value: rows(message.changes, message.revision) },
      });
    case 'snapshotEnd':
      return create(ChangesReplySchema, { message: { case: 'snapshotEnd', value: BigInt(message.revision) } });
    case 'progress':
      return create(ChangesReplySchema, { message: { case: 'progress', value: BigInt(message.revision) } });
  }
}

/** Throws the error that the source sent; `undefined` for a kind of message that a later version added. */
export function decodeChanges(reply: ChangesReply): ChangesMessage | undefined {
  const { message } = reply;
  switch (message.case) {
    case 'error':
      throw fromFailure(message.value);
    case 'begin': {
      const { epoch, snapshot, datacenter, diverged, proven } = message.value;
      return { type: 'begin', epoch, snapshot, datacenter, diverged, proven, revision: Number(message.value.revision) };
    }
    case 'snapshot':
      return { type: 'snapshot', changes: message.value.changes.map(delta) };
    case 'changes':
      return {
        type: 'changes',
        changes: message.value.changes.map(delta),
        revision: Number(message.value.revision),
      };
    case 'snapshotEnd':
      return { type: 'snapshotEnd', revision: Number(message.value) };
    case 'progress':
      return { type: 'progress', revision: Number(message.value) };
    case undefined:
      return undefined;
  }
}

const DELETED = new Uint8Array();

function rows(changes: readonly RowDelta[], revision: number) {
  return create(ChangesSchema, {
    revision: BigInt(revision),
    changes: changes.map(({ key, revision: at, json }) => ({ key, revision: BigInt(at), json: json ?? DELETED })),
  });
}

function delta(change: Change): RowDelta {
  const revision = Number(change.revision);
  if (!Number.isSafeInteger(revision))
    throw new IsthmusError('internal', `revision ${change.revision} is out of range`);
  return change.json.length === 0
    ? { key: change.key, revision }
    : { key: change.key, revision, json: buffer(change.json) };
}
