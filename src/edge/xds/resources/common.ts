import { create, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt';
import { type Address, AddressSchema } from '../gen/envoy/config/core/v3/address_pb.ts';
import { ApiVersion, type ConfigSource, ConfigSourceSchema } from '../gen/envoy/config/core/v3/config_source_pb.ts';
import { type Filter, FilterSchema } from '../gen/envoy/config/listener/v3/listener_components_pb.ts';
import type { Listener_ConnectionBalanceConfigSchema as Balance } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import { pack } from '../resource.ts';

/** This stream. Waits for ever: to start with what is missing would refuse connections. */
export function overThisStream(): ConfigSource {
  return create(ConfigSourceSchema, {
    configSourceSpecifier: { case: 'ads', value: {} },
    resourceApiVersion: ApiVersion.V3,
    initialFetchTimeout: millis(0),
  });
}

export function millis(ms: number): Duration {
  const seconds = Math.floor(ms / 1_000);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1_000) * 1e6) });
}

export function socketAddress(address: string, port: number): Address {
  return create(AddressSchema, {
    address: { case: 'socketAddress', value: { address, portSpecifier: { case: 'portValue', value: port } } },
  });
}

/** A Unix socket; `mode` in octal, as in configuration files. */
export function pipeAddress(path: string, mode: string | undefined): Address {
  return create(AddressSchema, {
    address: { case: 'pipe', value: { path, ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }) } },
  });
}

/** Each connection goes to the thread that has the fewest: costs more for each, for long-lived ones it pays. */
export function balance(exact: boolean): { readonly connectionBalanceConfig?: MessageInitShape<typeof Balance> } {
  return exact ? { connectionBalanceConfig: { balanceType: { case: 'exactBalance', value: {} } } } : {};
}

/** A filter of connections, with its configuration. */
export function networkFilter<D extends DescMessage>(name: string, schema: D, config: MessageShape<D>): Filter {
  return create(FilterSchema, { name, configType: { case: 'typedConfig', value: pack(schema, config) } });
}
