import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../src/edge/xds/gen/envoy/service/discovery/v3/discovery_pb.ts';

const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

/** One stream for all types, in either protocol. */
export const adsService = {
  DeltaAggregatedResources: bidi('DeltaAggregatedResources', DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema),
  StreamAggregatedResources: bidi('StreamAggregatedResources', DiscoveryRequestSchema, DiscoveryResponseSchema),
} satisfies ServiceDefinition;

function bidi<I extends DescMessage, O extends DescMessage>(
  method: string,
  input: I,
  output: O,
): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  const write =
    <D extends DescMessage>(schema: D) =>
    (message: MessageShape<D>): Buffer => {
      const bytes = toBinary(schema, message);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    };
  return {
    path: `${SERVICE}/${method}`,
    requestStream: true,
    responseStream: true,
    requestSerialize: write(input),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: write(output),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}
