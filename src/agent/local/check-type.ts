import { IsthmusError } from '../../lib/errors.ts';
import type { CheckDefinition, CheckType } from './definitions.ts';

export type CheckKind = 'ttl' | 'tcp' | 'http' | 'alias' | 'maintenance';

type GivenCheck = CheckType | CheckDefinition;

/** Which kind of check a definition describes; the peer's names. */
export function checkKind(check: GivenCheck): CheckKind {
  if (check.TTL !== undefined && check.TTL > 0) return 'ttl';
  if (isAlias(check)) return 'alias';
  return check.HTTP ? 'http' : 'tcp';
}

function isAlias(check: GivenCheck): boolean {
  return Boolean(check.AliasNode) || Boolean(check.AliasService);
}

/** Why a definition makes no sense, in the peer's words; undefined when it does. */
export function checkFault(check: GivenCheck): string | undefined {
  const hasScript = (check.Args ?? check.ScriptArgs ?? []).length > 0;
  const ofInterval = hasScript || Boolean(check.HTTP) || Boolean(check.TCP) || Boolean(check.GRPC);
  const interval = check.Interval ?? 0;
  const ttl = check.TTL ?? 0;
  if (interval > 0 && ttl > 0) return 'Interval and TTL cannot both be specified';
  if (ofInterval && interval <= 0) return 'Interval must be > 0 for Script, HTTP, or TCP checks';
  if (ofInterval && isAlias(check)) return 'Interval cannot be set for Alias checks';
  if (isAlias(check) && ttl > 0) return 'TTL must be not be set for Alias checks';
  if (!ofInterval && !isAlias(check) && ttl <= 0) return 'TTL must be > 0 for TTL checks';
  if ((check.OutputMaxSize ?? 0) < 0) return 'MaxOutputMaxSize must be positive';
  if (hasScript) return 'Scripts are not run by this agent; use an HTTP, TCP, TTL or alias check';
  if (check.GRPC) return 'gRPC checks are not supported; use an HTTP, TCP, TTL or alias check';
  return undefined;
}

export function isStatus(text: string): boolean {
  return text === 'passing' || text === 'warning' || text === 'critical';
}

export function badRequest(message: string): IsthmusError {
  return new IsthmusError('invalid_argument', message);
}
