import type { FailoverPolicyFields, PrioritizeByLocalityFields } from '../discovery-chain.ts';
import { rejected } from './kind.ts';
import { type Field, TEXT, TEXTS } from './schema.ts';

/** In which order failover takes targets. */
export const FAILOVER_POLICY: Field = { type: 'object', fields: { Mode: TEXT, Regions: TEXTS } };

/** Whether instances that are near go first. */
export const PRIORITIZE_BY_LOCALITY: Field = { type: 'object', fields: { Mode: TEXT } };

export function validateFailoverPolicy(policy: FailoverPolicyFields | undefined, where: string): void {
  const mode: string = policy?.Mode ?? '';
  if (!['', 'sequential', 'order-by-locality'].includes(mode))
    throw rejected(`${where}.Policy.Mode must be one of '', 'sequential', or 'order-by-locality'`);
}

export function validatePrioritizeByLocality(fields: PrioritizeByLocalityFields | undefined): void {
  const mode: string = fields?.Mode ?? '';
  if (!['', 'none', 'failover'].includes(mode))
    throw rejected(`PrioritizeByLocality.Mode must be one of '', 'none', or 'failover'`);
}
