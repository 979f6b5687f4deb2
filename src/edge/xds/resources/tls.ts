import { isIP } from 'node:net';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { opensslName, type TlsLimits } from '../../../model/layer7/mesh-settings.ts';
import {
  type DataSource,
  type DataSourceSchema,
  type TransportSocket,
  TransportSocketSchema,
} from '../gen/envoy/config/core/v3/base_pb.ts';
import {
  type CertificateValidationContext,
  CertificateValidationContextSchema,
  SubjectAltNameMatcher_SanType,
  TlsParameters_TlsProtocol,
} from '../gen/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import {
  type CommonTlsContext,
  CommonTlsContextSchema,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import type { StringMatcher } from '../gen/envoy/type/matcher/v3/string_pb.ts';
import { pack } from '../resource.ts';
import { overThisStream } from './common.ts';
import { identityPattern, regex } from './identity.ts';
import { LEAF, ROOTS } from './names.ts';

/** Who the other side must be: one exact identity, or any service of the mesh. */
export type PeerIdentity = { readonly exact: string } | { readonly anyServiceOf: string };

const SOCKET = 'envoy.transport_sockets.tls';

export interface TlsOptions {
  /** Protocols, the preferred one first. */
  readonly alpn: readonly string[];
  readonly limits: TlsLimits;
}

/** TLS to a service: it must prove that it is `identity`. */
export function upstreamTls(sni: string, identity: string, options: TlsOptions): TransportSocket {
  const context = create(UpstreamTlsContextSchema, { sni, commonTlsContext: commonTls({ exact: identity }, options) });
  return socket(pack(UpstreamTlsContextSchema, context));
}

/** TLS from services of the mesh, which must show a certificate. */
export function downstreamTls(trustDomain: string, options: TlsOptions): TransportSocket {
  const context = create(DownstreamTlsContextSchema, {
    requireClientCertificate: true,
    commonTlsContext: commonTls({ anyServiceOf: trustDomain }, options),
  });
  return socket(pack(DownstreamTlsContextSchema, context));
}

/** The leaf and the roots come as secrets of their own: a rotation changes no listener and no cluster. */
function commonTls(peer: PeerIdentity, { alpn, limits }: TlsOptions): CommonTlsContext {
  return create(CommonTlsContextSchema, {
    alpnProtocols: [...alpn],
    tlsParams: tlsParams(limits),
    tlsCertificateSdsSecretConfigs: [{ name: LEAF, sdsConfig: overThisStream() }],
    validationContextType: {
      case: 'combinedValidationContext',
      value: {
        defaultValidationContext: validation(peer),
        validationContextSdsSecretConfig: { name: ROOTS, sdsConfig: overThisStream() },
      },
    },
  });
}

/** By itself Envoy asks others for TLS 1.2 at most. */
const DEFAULT_LIMITS = { minimum: 'TLSv1_2', maximum: 'TLSv1_3' } as const;

function tlsParams({ minVersion, maxVersion, cipherSuites }: TlsLimits) {
  const minimum = TlsParameters_TlsProtocol[minVersion ?? DEFAULT_LIMITS.minimum];
  const maximum = TlsParameters_TlsProtocol[maxVersion ?? DEFAULT_LIMITS.maximum];
  return {
    // A maximum below what is the minimum otherwise is a wish for just that.
    tlsMinimumProtocolVersion: Math.min(minimum, maximum) as TlsParameters_TlsProtocol,
    tlsMaximumProtocolVersion: maximum,
    cipherSuites: cipherSuites.map(opensslName),
  };
}

/** TLS to a server of the web, which must prove that it has this name. */
export function webTls(host: string, authorities: DataSourceInit): TransportSocket {
  const context = create(UpstreamTlsContextSchema, {
    sni: host,
    commonTlsContext: {
      validationContextType: {
        case: 'validationContext',
        value: {
          trustedCa: { specifier: authorities },
          matchTypedSubjectAltNames: [
            {
              sanType: isIP(host) === 0 ? SubjectAltNameMatcher_SanType.DNS : SubjectAltNameMatcher_SanType.IP_ADDRESS,
              matcher: { matchPattern: { case: 'exact', value: host } },
            },
          ],
        },
      },
    },
  });
  return socket(pack(UpstreamTlsContextSchema, context));
}

export type DataSourceInit = NonNullable<Exclude<MessageInitShape<typeof DataSourceSchema>, DataSource>['specifier']>;

function validation(peer: PeerIdentity): CertificateValidationContext {
  const matchPattern: StringMatcher['matchPattern'] =
    'exact' in peer
      ? { case: 'exact', value: peer.exact }
      : { case: 'safeRegex', value: regex(identityPattern(peer.anyServiceOf)) };
  return create(CertificateValidationContextSchema, {
    matchTypedSubjectAltNames: [{ sanType: SubjectAltNameMatcher_SanType.URI, matcher: { matchPattern } }],
  });
}

function socket(typedConfig: Any): TransportSocket {
  return create(TransportSocketSchema, { name: SOCKET, configType: { case: 'typedConfig', value: typedConfig } });
}
