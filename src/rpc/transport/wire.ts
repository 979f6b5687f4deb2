import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { MethodDefinition } from '@grpc/grpc-js';
import { ERROR_CODES, type ErrorCode, IsthmusError } from '../../lib/errors.ts';
import { type Failure, FailureSchema, Server } from '../gen/isthmus/v1/isthmus_pb.ts';

/** gRPC's description of each method, from the generated one. */
function method<I extends DescMessage, O extends DescMessage>(description: {
  readonly name: string;
  readonly input: I;
  readonly output: O;
  readonly methodKind: string;
}): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  const { input, output, methodKind } = description;
  return {
    path: `/${Server.typeName}/${description.name}`,
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    requestSerialize: (message) => buffer(toBinary(input, message)),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: (message) => buffer(toBinary(output, message)),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

export const METHODS = {
  read: method(Server.method.read),
  write: method(Server.method.write),
  watch: method(Server.method.watch),
  changes: method(Server.method.changes),
  link: method(Server.method.link),
  saveSnapshot: method(Server.method.saveSnapshot),
  restoreSnapshot: method(Server.method.restoreSnapshot),
  session: method(Server.method.session),
} as const;

const KIB = 1024;

/** The largest message that a listener takes of each method, bytes; undefined: as large as a write may be. */
const MAX_REQUEST: Readonly<Record<keyof typeof METHODS, number | undefined>> = {
  read: 1024 * KIB,
  write: undefined,
  watch: 1024 * KIB,
  changes: 64 * KIB,
  // Hellos, which name up to 64 servers or the metadata of a node, and heartbeats.
  link: 128 * KIB,
  session: 128 * KIB,
  saveSnapshot: 64 * KIB,
  restoreSnapshot: undefined,
};
const MAX_BY_PATH = new Map(
  (Object.keys(METHODS) as (keyof typeof METHODS)[]).map((name) => [METHODS[name].path, MAX_REQUEST[name]]),
);

/** @param path of the call; one of no method is refused before it says anything */
export function maxRequestBytes(path: string, { maxWriteBytes }: { readonly maxWriteBytes: number }): number {
  return Math.min(MAX_BY_PATH.get(path) ?? maxWriteBytes, maxWriteBytes);
}

/** The same bytes as a Buffer, not copied. */
export function buffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function toJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value) ?? 'null');
}

/** Parses what a peer sent; `what` names it in the error. */
export function fromJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(buffer(bytes).toString('utf8'));
  } catch (cause) {
    throw new IsthmusError('invalid_argument', `${what} is not valid JSON`, { cause });
  }
}

const CODES: ReadonlySet<string> = new Set(ERROR_CODES);

export function toFailure(error: IsthmusError): Failure {
  return create(FailureSchema, {
    code: error.code,
    message: error.message,
    detailsJson: Object.keys(error.details).length === 0 ? new Uint8Array() : toJson(error.details),
  });
}

/** A code of a later version becomes `internal`; its text is kept. */
export function fromFailure(failure: Failure): IsthmusError {
  const code = CODES.has(failure.code) ? (failure.code as ErrorCode) : 'internal';
  if (failure.detailsJson.length === 0) return new IsthmusError(code, failure.message);
  const details = fromJson(failure.detailsJson, 'the details of an error') as Record<string, unknown>;
  return new IsthmusError(code, failure.message, { details });
}
