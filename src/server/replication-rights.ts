import { REPLICATION_ROLE } from '../model/acl.ts';
import type { Rights } from '../model/rights.ts';

/** What a secondary needs of the primary beside its tables: the CA's configuration, and its intermediate. */
export const CERTIFICATES = 'certificates';

/** The rights that a replication token lacks for a table, or for {@link CERTIFICATES}. */
export function missingRights(rights: Rights, kind: string): readonly string[] {
  if (rights.everything || rights.replication) return [];
  switch (kind) {
    case 'config-entries':
      return [
        ...(rights.mayAll('service', 'read') ? [] : ['service_prefix "" read']),
        ...(rights.mayAll('intention', 'read') ? [] : ['service_prefix "" intentions read']),
      ];
    case CERTIFICATES:
      return rights.may('operator', '', 'write') ? [] : ['operator write'];
    // Secrets are part of tokens, so reading is not enough for these.
    case 'acl-tokens':
      return rights.may('acl', '', 'write') ? [] : ['acl write'];
    default:
      return rights.may('acl', '', 'read') ? [] : ['acl read'];
  }
}

/** One text for all that is missing: `acl write for acl-tokens; …`. '' when nothing is. */
export function describeMissing(rights: Rights, kinds: readonly string[]): string {
  const parts = kinds.flatMap((kind) => {
    const missing = missingRights(rights, kind);
    return missing.length === 0 ? [] : [`${missing.join(' and ')} for ${kind}`];
  });
  if (parts.length === 0) return '';
  return `the replication token lacks ${parts.join('; ')}. The role ${REPLICATION_ROLE} has all rights`;
}
