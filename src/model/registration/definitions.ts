import { type Decoded, type Decoder, TOP } from '../go-decode.ts';
import { CHECK_DEFINITION, type CHECK_TYPE, SERVICE_DEFINITION, type SIDECAR } from './fields.ts';

/**
 * What callers give to register a service or a check with an agent, as the body of a request or in a configuration
 * file. Durations are milliseconds once decoded.
 */

/** How a check is carried out; `CheckID` names it within its agent. */
export type CheckType = Decoded<typeof CHECK_TYPE>;

export type CheckDefinition = Decoded<typeof CHECK_DEFINITION>;

export type SidecarDefinition = Decoded<typeof SIDECAR>;

export type ServiceDefinition = Decoded<typeof SERVICE_DEFINITION>;

/** Who a registration came from: what files define goes when it is no longer in them. */
export type Source = 'api' | 'file';

/** Decoders of request bodies: the texts of their refusals are Consul's. */
export const serviceDefinition: Decoder<ServiceDefinition> = SERVICE_DEFINITION;
export const checkDefinition: Decoder<CheckDefinition> = CHECK_DEFINITION;

/** From a configuration file, where the loader has checked names and types. */
export function decodeServiceDefinition(value: unknown): ServiceDefinition {
  return SERVICE_DEFINITION.decode(value, TOP) ?? {};
}

export function decodeCheckDefinition(value: unknown): CheckDefinition {
  return CHECK_DEFINITION.decode(value, TOP) ?? {};
}
