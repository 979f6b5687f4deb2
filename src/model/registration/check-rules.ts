import { IsthmusError } from '../../lib/errors.ts';
import type { CheckDefinition, CheckType } from './definitions.ts';

export type CheckKind = 'ttl' | 'tcp' | 'http' | 'alias' | 'maintenance' | 'script' | 'docker' | 'grpc';

type GivenCheck = CheckType | CheckDefinition;

/** Which kind of check a definition describes; Consul's names. */
export function checkKind(check: GivenCheck): CheckKind {
  if (check.TTL !== undefined && check.TTL > 0) return 'ttl';
  if (isAlias(check)) return 'alias';
  if (hasScript(check)) return check.DockerContainerID ? 'docker' : 'script';
  if (check.GRPC) return 'grpc';
  return check.HTTP ? 'http' : 'tcp';
}

function isAlias(check: GivenCheck): boolean {
  return Boolean(check.AliasNode) || Boolean(check.AliasService);
}

function hasScript(check: GivenCheck): boolean {
  return (check.Args ?? check.ScriptArgs ?? []).length > 0;
}

/** Why this agent can't carry out a check that Consul's can; undefined when it can. Such a check is refused. */
export function unsupportedCheck(check: GivenCheck): string | undefined {
  const kind = checkKind(check);
  if (kind === 'script') return 'Scripts are not run by this agent; use an HTTP, TCP, TTL or alias check';
  if (kind === 'docker') return 'Docker checks are not supported; use an HTTP, TCP, TTL or alias check';
  if (kind === 'grpc') return 'gRPC checks are not supported; use an HTTP, TCP, TTL or alias check';
  return undefined;
}

/** Why a definition makes no sense, in Consul's words; undefined when it does. */
export function checkFault(check: GivenCheck): string | undefined {
  const ofInterval = hasScript(check) || Boolean(check.HTTP) || Boolean(check.TCP) || Boolean(check.GRPC);
  const interval = check.Interval ?? 0;
  const ttl = check.TTL ?? 0;
  if (interval > 0 && ttl > 0) return 'Interval and TTL cannot both be specified';
  if (ofInterval && interval <= 0) return 'Interval must be > 0 for Script, HTTP, or TCP checks';
  if (ofInterval && isAlias(check)) return 'Interval cannot be set for Alias checks';
  if (isAlias(check) && ttl > 0) return 'TTL must be not be set for Alias checks';
  if (!ofInterval && !isAlias(check) && ttl <= 0) return 'TTL must be > 0 for TTL checks';
  if ((check.OutputMaxSize ?? 0) < 0) return 'MaxOutputMaxSize must be positive';
  return undefined;
}

/** What is wrong with a check that is registered on its own, in the order in which Consul looks. */
export function* checkDefinitionFaults(definition: CheckDefinition): Iterable<string> {
  if (!definition.Name) yield 'Missing check name';
  if (definition.Status && !isStatus(definition.Status)) yield 'Bad check status';
  const fault = checkFault(definition) ?? unsupportedCheck(definition);
  if (fault !== undefined) yield `Invalid check: ${fault}`;
}

export function isStatus(text: string): boolean {
  return text === 'passing' || text === 'warning' || text === 'critical';
}

export function badRequest(message: string): IsthmusError {
  return new IsthmusError('invalid_argument', message);
}
