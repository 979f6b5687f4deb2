import { create, fromBinary } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import { expect, it } from 'vitest';
import { encodeDelta, encodeWhole } from './encode-response.ts';
import {
  DeltaDiscoveryResponseSchema,
  DiscoveryResponseSchema,
} from './gen/envoy/service/discovery/v3/discovery_pb.ts';
import { HEAD_BYTES } from './message-reader.ts';
import { resource } from './resource.ts';
import { XDS_TYPE_INFO } from './types.ts';

/** Lengths at which the length of a length changes, and a name that is not ASCII. */
const resources = [0, 1, 120, 127, 128, 16_383, 16_384, 70_000].map((length) =>
  resource('cluster', `näme-${length}`, StringValueSchema, create(StringValueSchema, { value: 'x'.repeat(length) })),
);
const { url } = XDS_TYPE_INFO.cluster;

/** Without the head. A Buffer would make Buffers of the parts. */
function message(frame: Buffer): Uint8Array {
  expect(frame[0]).toBe(0);
  expect(frame.readUInt32BE(1)).toBe(frame.length - HEAD_BYTES);
  return new Uint8Array(frame.subarray(HEAD_BYTES));
}

it('writes what the generated code writes, for changes', () => {
  for (const some of [[], resources.slice(0, 1), resources]) {
    const removed = some.length === 1 ? [] : ['old', 'älter'];
    const { frame, count } = encodeDelta({ type: 'cluster', nonce: '0000000a', resources: some, removed });
    expect(count).toBe(some.length);
    const read = fromBinary(DeltaDiscoveryResponseSchema, message(frame));
    expect(read).toEqual(
      create(DeltaDiscoveryResponseSchema, {
        typeUrl: url,
        nonce: '0000000a',
        resources: some.map(({ name, version, body }) => ({ name, version, resource: { ...body, typeUrl: url } })),
        removedResources: removed,
      }),
    );
  }
});

it('writes what the generated code writes, for whole lists', () => {
  const { frame } = encodeWhole({ type: 'cluster', nonce: 'b', version: 'v', resources });
  expect(fromBinary(DiscoveryResponseSchema, message(frame))).toEqual(
    create(DiscoveryResponseSchema, {
      typeUrl: url,
      nonce: 'b',
      versionInfo: 'v',
      resources: resources.map(({ body }) => ({ ...body, typeUrl: url })),
    }),
  );
});
