import type { ConfigEntry } from '../../../model/config-entry.ts';
import { COUNT, type Fields, FLAG, TEXT } from '../schema.ts';
import { type KindSpec, rejected, validateMeta } from './kind.ts';

export const MESH_GATEWAY: Fields = { Mode: TEXT };

export const EXPOSE: Fields = {
  Checks: FLAG,
  Paths: {
    type: 'list',
    of: { ListenerPort: COUNT, Path: TEXT, LocalPathPort: COUNT, Protocol: TEXT, ParsedFromCheck: FLAG },
  },
};

export interface ServiceDefaults extends ConfigEntry {
  readonly Kind: 'service-defaults';
  readonly Protocol?: string;
  readonly MeshGateway: { readonly Mode?: string };
  readonly ExternalSNI?: string;
}

/** How a service is reached: its protocol, gateways, exposed paths. */
export const serviceDefaults: KindSpec<ServiceDefaults> = {
  kind: 'service-defaults',
  fields: {
    Protocol: TEXT,
    MeshGateway: { type: 'object', fields: MESH_GATEWAY, shown: true },
    Expose: { type: 'object', fields: EXPOSE, shown: true },
    ExternalSNI: TEXT,
  },
  normalise: (entry) => (entry.Protocol === undefined ? entry : { ...entry, Protocol: entry.Protocol.toLowerCase() }),
  validate(entry) {
    if (entry.Name === '') throw rejected('serviceName is required');
    validateMeta(entry.Meta);
  },
};
