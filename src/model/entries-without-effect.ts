/**
 * Fields of configuration entries that Consul documents, that are kept, shown and replicated, and that this version
 * does not carry out: each with what that means for who writes it. The one list: the HTTP API and the command line warn
 * by it.
 */

interface Field {
  /** Of the entry; list items and overrides are looked through. */
  readonly path: string;
  readonly why: string;
  /** Values that ask for nothing. */
  readonly idle?: readonly unknown[];
}

const NO_GATEWAYS = 'gateways and transparent proxies are not offered yet';
const NO_LOCALITY = 'nodes have no locality yet';

const FIELDS: readonly Field[] = [
  {
    path: 'Expose.Checks',
    why: 'give expose.checks in the registration of the proxy, or name the paths in Expose.Paths',
    idle: [false],
  },
  { path: 'Mode', why: NO_GATEWAYS, idle: ['', 'direct'] },
  { path: 'TransparentProxy', why: NO_GATEWAYS },
  { path: 'Destination', why: NO_GATEWAYS },
  { path: 'MutualTLSMode', why: 'sidecars stay strict', idle: ['', 'strict'] },
  { path: 'MeshGateway.Mode', why: NO_GATEWAYS, idle: ['', 'none'] },
  { path: 'UpstreamConfig.Defaults.MeshGateway.Mode', why: NO_GATEWAYS, idle: ['', 'none'] },
  { path: 'UpstreamConfig.Overrides.MeshGateway.Mode', why: NO_GATEWAYS, idle: ['', 'none'] },
  ...['Defaults', 'Overrides'].map((part) => ({
    path: `UpstreamConfig.${part}.Limits.PassiveHealthCheck`,
    why: 'give PassiveHealthCheck beside Limits',
  })),
  { path: 'PrioritizeByLocality', why: NO_LOCALITY },
  { path: 'FailoverPolicy', why: NO_LOCALITY },
];

/** One sentence for each field of an entry that has no effect here; field names count in any spelling of Consul's. */
export function entryWarnings(entry: unknown): readonly string[] {
  return FIELDS.flatMap(({ path, why, idle = [] }) => {
    const values = at(entry, path.split('.')).filter((value) => value !== undefined && value !== null);
    const counts = values.some((value) => !idle.includes(value) && !isEmpty(value));
    return counts ? [`${path} has no effect: ${why}`] : [];
  });
}

function at(value: unknown, path: readonly string[]): readonly unknown[] {
  if (Array.isArray(value) && path.length > 0) return value.flatMap((item) => at(item, path));
  const [first, ...rest] = path;
  if (first === undefined) return [value];
  if (typeof value !== 'object' || value === null) return [];
  const wanted = plain(first);
  const found = Object.entries(value).filter(([key]) => plain(key) === wanted);
  return found.flatMap(([, inner]) => at(inner, rest));
}

/** As entries are decoded: `envoy_extensions` is EnvoyExtensions. */
function plain(key: string): string {
  return key.toLowerCase().replaceAll('_', '');
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
