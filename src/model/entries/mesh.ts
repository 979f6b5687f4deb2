import type { ConfigEntry } from '../config-entry.ts';
import type { MeshEntry, MeshTlsFields } from '../layer7/mesh-settings.ts';
import { type KindSpec, rejected, validateMeta } from './kind.ts';
import { oneOf } from './proxy-fields.ts';
import { type Fields, FLAG, TEXT, TEXTS } from './schema.ts';

/** The one name that this kind has; an entry may leave it out. */
export const MESH_NAME = 'mesh';

const TLS: Fields = { TLSMinVersion: TEXT, TLSMaxVersion: TEXT, CipherSuites: TEXTS };
const VERSIONS = ['TLS_AUTO', 'TLSv1_0', 'TLSv1_1', 'TLSv1_2', 'TLSv1_3'];
/** Those that Envoy can be given, for TLS 1.2. */
const CIPHERS = [
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA',
  'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA',
  'TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA',
  'TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA',
];

/** What holds for all proxies of the mesh. */
export const mesh: KindSpec<MeshEntry & ConfigEntry> = {
  kind: 'mesh',
  fields: {
    TransparentProxy: { type: 'object', fields: { MeshDestinationsOnly: FLAG }, shown: true },
    AllowEnablingPermissiveMutualTLS: FLAG,
    ValidateClusters: FLAG,
    TLS: {
      type: 'object',
      fields: { Incoming: { type: 'object', fields: TLS }, Outgoing: { type: 'object', fields: TLS } },
    },
    HTTP: {
      type: 'object',
      fields: {
        SanitizeXForwardedClientCert: FLAG,
        Incoming: {
          type: 'object',
          fields: {
            RequestNormalization: {
              type: 'object',
              fields: {
                InsecureDisablePathNormalization: FLAG,
                MergeSlashes: FLAG,
                PathWithEscapedSlashesAction: TEXT,
                HeadersWithUnderscoresAction: TEXT,
              },
            },
          },
        },
      },
    },
    Peering: { type: 'object', fields: { PeerThroughMeshGateways: FLAG } },
  },
  normalise: (entry) => (entry.Name === '' ? { ...entry, Name: MESH_NAME } : entry),
  validate(entry) {
    if (entry.Name !== MESH_NAME)
      throw rejected(`invalid name (${JSON.stringify(entry.Name)}), only "mesh" is supported`);
    validateMeta(entry.Meta);
    validateTls(entry.TLS?.Incoming, 'incoming');
    validateTls(entry.TLS?.Outgoing, 'outgoing');
    const normalization = entry.HTTP?.Incoming?.RequestNormalization;
    oneOf('PathWithEscapedSlashesAction', normalization?.PathWithEscapedSlashesAction, [
      '',
      'IMPLEMENTATION_SPECIFIC_DEFAULT',
      'KEEP_UNCHANGED',
      'REJECT_REQUEST',
      'UNESCAPE_AND_REDIRECT',
      'UNESCAPE_AND_FORWARD',
    ]);
    oneOf('HeadersWithUnderscoresAction', normalization?.HeadersWithUnderscoresAction, [
      '',
      'ALLOW',
      'REJECT_REQUEST',
      'DROP_HEADER',
    ]);
  },
};

function validateTls(fields: MeshTlsFields | undefined, way: string): void {
  if (fields === undefined) return;
  const refuse = (text: string): Error => rejected(`error in ${way} TLS configuration: ${text}`);
  const { TLSMinVersion: min, TLSMaxVersion: max, CipherSuites = [] } = fields;
  for (const version of [min, max]) {
    if (version !== undefined && !VERSIONS.includes(version))
      throw refuse(`no matching version found for ${JSON.stringify(version)}: it is one of ${VERSIONS.join(', ')}`);
  }
  const [least, most] = [VERSIONS.indexOf(min ?? ''), VERSIONS.indexOf(max ?? '')];
  if (least > 0 && most > 0 && most < least)
    throw refuse(`configuring max version ${max} less than the configured min version ${min} is invalid`);
  if (CipherSuites.length > 0 && min === 'TLSv1_3')
    throw refuse('configuring CipherSuites is only applicable to connections negotiated with TLS 1.2 or earlier');
  const unknown = CipherSuites.find((suite) => !CIPHERS.includes(suite));
  if (unknown !== undefined) throw refuse(`no matching cipher suite for ${JSON.stringify(unknown)}`);
}
