import type { ConfigEntry } from '../config-entry.ts';
import type { FailoverPolicyFields, PrioritizeByLocalityFields } from '../discovery-chain.ts';
import { type KindSpec, rejected, validateMeta } from './kind.ts';
import {
  FAILOVER_POLICY,
  PRIORITIZE_BY_LOCALITY,
  validateFailoverPolicy,
  validatePrioritizeByLocality,
} from './locality.ts';
import {
  ACCESS_LOGS,
  type AccessLogsFields,
  PROXY_FIELDS,
  type ProxyFields,
  validateAccessLogs,
  validateProxyFields,
} from './proxy-fields.ts';
import { OPAQUE } from './schema.ts';

/** The one name that this kind has. */
export const PROXY_DEFAULTS_NAME = 'global';

export interface ProxyDefaults extends ConfigEntry, ProxyFields {
  readonly Kind: 'proxy-defaults';
  readonly Config?: Readonly<Record<string, unknown>>;
  readonly AccessLogs?: AccessLogsFields;
  readonly FailoverPolicy?: FailoverPolicyFields;
  readonly PrioritizeByLocality?: PrioritizeByLocalityFields;
}

/** What every sidecar starts from. */
export const proxyDefaults: KindSpec<ProxyDefaults> = {
  kind: 'proxy-defaults',
  fields: {
    Config: OPAQUE,
    ...PROXY_FIELDS,
    AccessLogs: ACCESS_LOGS,
    FailoverPolicy: FAILOVER_POLICY,
    PrioritizeByLocality: PRIORITIZE_BY_LOCALITY,
  },
  normalise: (entry) => entry,
  validate(entry) {
    if (entry.Name !== PROXY_DEFAULTS_NAME)
      throw rejected(`invalid name (${JSON.stringify(entry.Name)}), only "${PROXY_DEFAULTS_NAME}" is supported`);
    validateMeta(entry.Meta);
    validateProxyFields(entry);
    validateAccessLogs(entry.AccessLogs);
    validateFailoverPolicy(entry.FailoverPolicy, 'Failover');
    validatePrioritizeByLocality(entry.PrioritizeByLocality);
  },
};
