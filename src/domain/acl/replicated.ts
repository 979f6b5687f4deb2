import { isUuid } from '../../lib/ids.ts';
import { ANONYMOUS_ID, GLOBAL_MANAGEMENT_ID, GLOBAL_READ_ONLY_ID } from '../../model/acl.ts';
import { rejected } from './links.ts';
import { parseRules } from './rules.ts';
import type { StoredPolicy, StoredRole, StoredToken } from './tables.ts';

/**
 * What the primary sends is taken over when it is sound and not one of the built-in objects, which every datacenter has
 * of its own.
 */

export function checkPolicy(value: unknown): StoredPolicy {
  const policy = value as StoredPolicy;
  if (policy.ID === GLOBAL_MANAGEMENT_ID || policy.ID === GLOBAL_READ_ONLY_ID)
    throw rejected('built-in policies are not replicated');
  requireTexts(policy.ID, policy.Name, policy.Rules);
  parseRules(policy.Rules, { kept: true });
  return policy;
}

export function checkRole(value: unknown): StoredRole {
  const role = value as StoredRole;
  requireTexts(role.ID, role.Name);
  return role;
}

export function checkToken(value: unknown): StoredToken {
  const token = value as StoredToken;
  if (token.AccessorID === ANONYMOUS_ID) throw rejected('the anonymous token is not replicated');
  requireTexts(token.AccessorID, token.SecretID);
  if (token.Local !== false) throw rejected('a local token belongs to its own datacenter');
  if (token.SecretID === '') throw rejected('a token must have a secret');
  return token;
}

function requireTexts(id: unknown, ...texts: readonly unknown[]): void {
  if (typeof id !== 'string' || !isUuid(id)) throw rejected('the ID is not a UUID');
  if (!texts.every((text) => typeof text === 'string')) throw rejected('the entry lacks a field');
}
