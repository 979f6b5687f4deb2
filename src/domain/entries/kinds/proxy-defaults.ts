import type { ConfigEntry } from '../../../model/config-entry.ts';
import { OPAQUE } from '../schema.ts';
import { type KindSpec, rejected, validateMeta } from './kind.ts';
import { EXPOSE, MESH_GATEWAY } from './service-defaults.ts';

/** The one name that this kind has. */
export const PROXY_DEFAULTS_NAME = 'global';

export interface ProxyDefaults extends ConfigEntry {
  readonly Kind: 'proxy-defaults';
  readonly Config?: Readonly<Record<string, unknown>>;
  readonly MeshGateway: { readonly Mode?: string };
}

/** What every sidecar starts from. */
export const proxyDefaults: KindSpec<ProxyDefaults> = {
  kind: 'proxy-defaults',
  fields: {
    Config: OPAQUE,
    MeshGateway: { type: 'object', fields: MESH_GATEWAY, shown: true },
    Expose: { type: 'object', fields: EXPOSE, shown: true },
  },
  normalise: (entry) => entry,
  validate(entry) {
    if (entry.Name !== PROXY_DEFAULTS_NAME)
      throw rejected(`invalid name (${JSON.stringify(entry.Name)}), only "${PROXY_DEFAULTS_NAME}" is supported`);
    validateMeta(entry.Meta);
  },
};
