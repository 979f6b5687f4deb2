import type { ConfigEntry } from '../../../model/config-entry.ts';
import { COUNT, DURATION, type Field, type Fields, FLAG, NAME, TEXT } from '../schema.ts';
import { type KindSpec, rejected, validateMeta } from './kind.ts';

const SHOWN_COUNT: Field = { type: 'number', shown: true };

export const MESH_GATEWAY: Fields = { Mode: TEXT };

export const EXPOSE: Fields = {
  Checks: FLAG,
  Paths: {
    type: 'list',
    of: { ListenerPort: COUNT, Path: TEXT, LocalPathPort: COUNT, Protocol: TEXT, ParsedFromCheck: FLAG },
  },
};

/** What the proxies of a service are told about one upstream. */
const UPSTREAM: Fields = {
  ConnectTimeoutMs: COUNT,
  Limits: {
    type: 'object',
    fields: { MaxConnections: COUNT, MaxPendingRequests: COUNT, MaxConcurrentRequests: COUNT },
  },
  PassiveHealthCheck: {
    type: 'object',
    fields: {
      Interval: DURATION,
      MaxFailures: COUNT,
      EnforcingConsecutive5xx: SHOWN_COUNT,
      MaxEjectionPercent: SHOWN_COUNT,
      BaseEjectionTime: DURATION,
    },
  },
};

export interface ServiceDefaults extends ConfigEntry {
  readonly Kind: 'service-defaults';
  readonly Protocol?: string;
  readonly MeshGateway: { readonly Mode?: string };
  readonly ExternalSNI?: string;
  readonly UpstreamConfig?: { readonly Overrides?: readonly { readonly Name?: string }[] };
}

/** How a service is reached: its protocol, gateways, exposed paths. */
export const serviceDefaults: KindSpec<ServiceDefaults> = {
  kind: 'service-defaults',
  fields: {
    Protocol: TEXT,
    MeshGateway: { type: 'object', fields: MESH_GATEWAY, shown: true },
    Expose: { type: 'object', fields: EXPOSE, shown: true },
    ExternalSNI: TEXT,
    UpstreamConfig: {
      type: 'object',
      fields: {
        Defaults: { type: 'object', fields: UPSTREAM },
        Overrides: { type: 'list', of: { Name: NAME, ...UPSTREAM } },
      },
    },
    MaxInboundConnections: COUNT,
    LocalConnectTimeoutMs: COUNT,
  },
  normalise: (entry) => (entry.Protocol === undefined ? entry : { ...entry, Protocol: entry.Protocol.toLowerCase() }),
  validate(entry) {
    if (entry.Name === '') throw rejected('serviceName is required');
    for (const { Name } of entry.UpstreamConfig?.Overrides ?? [])
      if (Name === undefined || Name === '*')
        throw rejected('error in upstream override: Name is required, and is no wildcard');
    validateMeta(entry.Meta);
  },
};
