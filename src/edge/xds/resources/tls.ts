import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { type TransportSocket, TransportSocketSchema } from '../gen/envoy/config/core/v3/base_pb.ts';
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

/** TLS to a service: it must prove that it is `identity`. */
export function upstreamTls(sni: string, identity: string): TransportSocket {
  const context = create(UpstreamTlsContextSchema, { sni, commonTlsContext: commonTls({ exact: identity }) });
  return socket(pack(UpstreamTlsContextSchema, context));
}

/** TLS from services of the mesh, which must show a certificate. */
export function downstreamTls(trustDomain: string): TransportSocket {
  const context = create(DownstreamTlsContextSchema, {
    requireClientCertificate: true,
    commonTlsContext: commonTls({ anyServiceOf: trustDomain }),
  });
  return socket(pack(DownstreamTlsContextSchema, context));
}

/** The leaf and the roots come as secrets of their own: a rotation changes no listener and no cluster. */
function commonTls(peer: PeerIdentity): CommonTlsContext {
  return create(CommonTlsContextSchema, {
    tlsParams: { tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_2 },
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
