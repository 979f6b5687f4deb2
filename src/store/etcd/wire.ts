import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { MethodDefinition } from '@grpc/grpc-js';
import { Auth, KV, Lease, Maintenance, type ResponseHeader, Watch } from './gen/etcdserverpb/etcd_pb.ts';

/** gRPC's description of a method, from the generated one. */
function method<I extends DescMessage, O extends DescMessage>(description: {
  readonly name: string;
  readonly parent: { readonly typeName: string };
  readonly input: I;
  readonly output: O;
  readonly methodKind: string;
}): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  const { name, parent, input, output, methodKind } = description;
  const streams = methodKind === 'bidi_streaming';
  return {
    path: `/${parent.typeName}/${name}`,
    requestStream: streams,
    responseStream: streams,
    requestSerialize: (message) => buffer(toBinary(input, message)),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: (message) => buffer(toBinary(output, message)),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

export const METHODS = {
  range: method(KV.method.range),
  txn: method(KV.method.txn),
  compact: method(KV.method.compact),
  watch: method(Watch.method.watch),
  leaseGrant: method(Lease.method.leaseGrant),
  leaseRevoke: method(Lease.method.leaseRevoke),
  leaseKeepAlive: method(Lease.method.leaseKeepAlive),
  leaseTimeToLive: method(Lease.method.leaseTimeToLive),
  authenticate: method(Auth.method.authenticate),
  status: method(Maintenance.method.status),
} as const;

/** The same bytes as a Buffer, not copied. */
function buffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function text(bytes: Uint8Array): string {
  return buffer(bytes).toString('utf8');
}

/** The revision of etcd at which an answer was made. */
export function revisionOf({ header }: { readonly header?: ResponseHeader | undefined }): number {
  return Number(header?.revision ?? 0n);
}

/** The first key after all that start with `prefix`, which must not be empty. UTF-8 holds no byte 0xff. */
export function endOf(prefix: string): Buffer {
  const bytes = Buffer.from(prefix);
  const last = bytes.length - 1;
  bytes[last] = (bytes[last] as number) + 1;
  return bytes;
}
