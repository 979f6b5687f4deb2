/** The kinds of resources that an Envoy is given, in the order in which it is given them. */
export const XDS_TYPES = ['cluster', 'endpoints', 'secret', 'listener', 'route', 'extension'] as const;

export type XdsType = (typeof XDS_TYPES)[number];

export interface XdsTypeInfo {
  readonly url: string;
  /** Envoy's name of it, for logs and users. */
  readonly service: string;
  /** A subscription without names means all. The others are subscribed to by name. */
  readonly wildcard: boolean;
}

const PREFIX = 'type.googleapis.com/envoy';

export const XDS_TYPE_INFO: Readonly<Record<XdsType, XdsTypeInfo>> = {
  cluster: { url: `${PREFIX}.config.cluster.v3.Cluster`, service: 'CDS', wildcard: true },
  endpoints: { url: `${PREFIX}.config.endpoint.v3.ClusterLoadAssignment`, service: 'EDS', wildcard: false },
  secret: { url: `${PREFIX}.extensions.transport_sockets.tls.v3.Secret`, service: 'SDS', wildcard: false },
  listener: { url: `${PREFIX}.config.listener.v3.Listener`, service: 'LDS', wildcard: true },
  route: { url: `${PREFIX}.config.route.v3.RouteConfiguration`, service: 'RDS', wildcard: false },
  extension: { url: `${PREFIX}.config.core.v3.TypedExtensionConfig`, service: 'ECDS', wildcard: false },
};

const BY_URL: ReadonlyMap<string, XdsType> = new Map(XDS_TYPES.map((type) => [XDS_TYPE_INFO[type].url, type]));

export function xdsTypeOf(url: string): XdsType | undefined {
  return BY_URL.get(url);
}
