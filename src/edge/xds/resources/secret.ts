import { create } from '@bufbuild/protobuf';
import type { CaRoots, LeafCert } from '../../../model/ca.ts';
import { type Secret, SecretSchema } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import { type Resource, resource } from '../resource.ts';
import type { ResourceBuilder } from './builder.ts';
import { LEAF, ROOTS } from './names.ts';
import { oncePer } from './once.ts';

export const leafSecret: ResourceBuilder = {
  inputs: ({ leaf }) => [leaf],
  build: ({ leaf }) => [leafOf(leaf, '')],
};

const leafOf = oncePer((leaf: LeafCert) =>
  made(
    create(SecretSchema, {
      name: LEAF,
      type: {
        case: 'tlsCertificate',
        value: { certificateChain: inline(leaf.CertPEM), privateKey: inline(leaf.PrivateKeyPEM) },
      },
    }),
  ),
);

/** Every root to be trusted. */
export const rootsSecret: ResourceBuilder = {
  inputs: ({ roots }) => [roots],
  build: ({ roots }) => [rootsOf(roots, '')],
};

const rootsOf = oncePer((roots: CaRoots) =>
  made(
    create(SecretSchema, {
      name: ROOTS,
      type: {
        case: 'validationContext',
        value: {
          trustedCa: inline(
            roots.Roots.map(({ RootCert }) => RootCert.trimEnd())
              .sort()
              .map((pem) => `${pem}\n`)
              .join(''),
          ),
        },
      },
    }),
  ),
);

function inline(text: string) {
  return { specifier: { case: 'inlineString' as const, value: text } };
}

function made(secret: Secret): Resource {
  return resource('secret', secret.name, SecretSchema, secret);
}
