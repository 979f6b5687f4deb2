import type { ConfigEntry } from '../config-entry.ts';
import type { ServiceIntentionsEntry } from '../intention.ts';
import { foldName } from '../names.ts';
import { normaliseIntentions, validateIntentions } from '../service-intentions.ts';
import { HEADER_MATCH } from './http-match.ts';
import { type KindSpec, validateMeta } from './kind.ts';
import { COUNT, type Field, FLAG, NAME, NAMES, TEXT, TEXT_MAP, TEXTS } from './schema.ts';

const JWT: Field = {
  type: 'object',
  fields: {
    Providers: {
      type: 'list',
      of: { Name: NAME, VerifyClaims: { type: 'list', of: { Path: TEXTS, Value: TEXT } } },
    },
  },
};

/** Who may connect to a service. The rules are in the model, where the views on intentions find them too. */
export const serviceIntentions: KindSpec<ServiceIntentionsEntry & ConfigEntry> = {
  kind: 'service-intentions',
  fields: {
    Datacenters: NAMES,
    JWT,
    Sources: {
      type: 'list',
      of: {
        Name: NAME,
        Action: TEXT,
        Permissions: {
          type: 'list',
          of: {
            Action: TEXT,
            HTTP: {
              type: 'object',
              fields: {
                PathExact: TEXT,
                PathPrefix: TEXT,
                PathRegex: TEXT,
                Header: { type: 'list', of: { ...HEADER_MATCH, IgnoreCase: FLAG } },
                Methods: TEXTS,
              },
            },
            JWT,
          },
        },
        Precedence: COUNT,
        LegacyID: TEXT,
        Type: TEXT,
        Description: TEXT,
        LegacyMeta: TEXT_MAP,
        LegacyCreateTime: TEXT,
        LegacyUpdateTime: TEXT,
        Datacenters: NAMES,
        DestinationDatacenters: NAMES,
      },
    },
  },
  normalise: (entry) => normaliseIntentions(entry, { legacy: false }) as ServiceIntentionsEntry & ConfigEntry,
  validate(entry) {
    validateIntentions(entry, { legacy: false });
    validateMeta(entry.Meta);
  },
  topics: (entry) => [...new Set(entry.Sources.map((source) => sourceTopic(source.Name)))],
};

/** Touched when an entry that has this source changes. */
export function sourceTopic(source: string): string {
  return `intention-source:${foldName(source)}`;
}
