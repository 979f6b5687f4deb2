import type { ConfigEntry } from '../config-entry.ts';
import type { HeaderModifiers } from '../layer7/headers.ts';
import { HEADER_MODIFIERS } from './http-match.ts';
import { type KindSpec, rejected, requireName, validateMeta } from './kind.ts';
import { NAME, TEXT } from './schema.ts';

export interface Split {
  /** Percent; two decimals count. */
  readonly Weight: number;
  readonly Service?: string;
  readonly ServiceSubset?: string;
  readonly Namespace?: string;
  readonly RequestHeaders?: HeaderModifiers;
  readonly ResponseHeaders?: HeaderModifiers;
}

export interface ServiceSplitter extends ConfigEntry {
  readonly Kind: 'service-splitter';
  readonly Splits?: readonly Split[];
}

/** Shares the requests of a service between several. */
export const serviceSplitter: KindSpec<ServiceSplitter> = {
  kind: 'service-splitter',
  fields: {
    Splits: {
      type: 'list',
      of: {
        Weight: { type: 'number', shown: true },
        Service: NAME,
        ServiceSubset: TEXT,
        Namespace: TEXT,
        RequestHeaders: { type: 'object', fields: HEADER_MODIFIERS },
        ResponseHeaders: { type: 'object', fields: HEADER_MODIFIERS },
      },
    },
  },
  normalise(entry) {
    if (entry.Splits === undefined) return entry;
    return { ...entry, Splits: entry.Splits.map((split) => ({ ...split, Weight: hundredths(split.Weight) / 100 })) };
  },
  validate(entry) {
    requireName(entry);
    validateMeta(entry.Meta);
    if (entry.Splits === undefined) throw rejected('no splits configured');
    const seen = new Set<string>();
    let sum = 0;
    for (const { Service = entry.Name, ServiceSubset = '', Weight } of entry.Splits) {
      if (Weight < 0 || Weight > 100) throw rejected(`a weight is from 0 to 100, not ${Weight}`);
      const key = JSON.stringify([Service, ServiceSubset]);
      if (seen.has(key))
        throw rejected(
          `split destination occurs more than once: service=${JSON.stringify(Service)}, ` +
            `subset=${JSON.stringify(ServiceSubset)}`,
        );
      seen.add(key);
      sum += hundredths(Weight);
    }
    if (sum !== 10_000) throw rejected(`the sum of all split weights must be 100, not ${(sum / 100).toFixed(6)}`);
  },
  mentions: (entry) => [...new Set((entry.Splits ?? []).map((split) => split.Service ?? entry.Name))],
};

function hundredths(weight: number): number {
  return Math.round(weight * 100);
}
