import { IsthmusError } from '../../lib/errors.ts';
import type { CheckDefinition, CheckType, Source } from './definitions.ts';

export type CheckKind =
  | 'ttl'
  | 'tcp'
  | 'udp'
  | 'http'
  | 'h2ping'
  | 'grpc'
  | 'script'
  | 'docker'
  | 'os_service'
  | 'alias'
  | 'maintenance';

type GivenCheck = CheckType | CheckDefinition;

/** Which kind of check a definition describes; Consul's names. */
export function checkKind(check: GivenCheck): CheckKind {
  if (check.TTL !== undefined && check.TTL > 0) return 'ttl';
  if (isAlias(check)) return 'alias';
  if (runsCommand(check)) return check.DockerContainerID ? 'docker' : 'script';
  if (check.GRPC) return 'grpc';
  if (check.HTTP) return 'http';
  if (check.TCP) return 'tcp';
  if (check.UDP) return 'udp';
  if (check.H2PING) return 'h2ping';
  return check.OSService ? 'os_service' : 'tcp';
}

function isAlias(check: GivenCheck): boolean {
  return Boolean(check.AliasNode) || Boolean(check.AliasService);
}

/** Runs what the definition says, on this machine or in one of its containers. */
function runsCommand(check: GivenCheck): boolean {
  return commandOf(check).length > 0;
}

/** Program and arguments. */
export function commandOf(check: GivenCheck): readonly string[] {
  return check.Args ?? check.ScriptArgs ?? [];
}

/** Whose commands an agent runs for checks. */
export interface ScriptsAllowed {
  /** Those in its own files: `enable_local_script_checks`, or `enable_script_checks`. */
  readonly local: boolean;
  /** Those that the API brings: `enable_script_checks`. */
  readonly remote: boolean;
}

export const NO_SCRIPTS: ScriptsAllowed = { local: false, remote: false };

/** Why a check is not taken because of the command that it runs, in Consul's words. */
export function scriptRefusal(check: GivenCheck, source: Source, allowed: ScriptsAllowed): string | undefined {
  if (!runsCommand(check)) return undefined;
  if (source === 'file' && !allowed.local)
    return (
      "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or " +
      "'enable_local_script_checks' to true"
    );
  if (source === 'api' && !allowed.remote)
    return "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true";
  return undefined;
}

/** The name of a unit; never an option of the program that is asked. */
const OS_SERVICE = /^[A-Za-z0-9_@][A-Za-z0-9_.@:\\-]{0,254}$/;

/** Why a definition makes no sense, in Consul's words; undefined when it does. */
export function checkFault(check: GivenCheck): string | undefined {
  const { HTTP, TCP, UDP, GRPC, H2PING, OSService } = check;
  const ofInterval = runsCommand(check) || [HTTP, TCP, UDP, GRPC, H2PING, OSService].some(Boolean);
  const interval = check.Interval ?? 0;
  const ttl = check.TTL ?? 0;
  if (check.Script) return 'Script is no longer taken: give Args, for a line of a shell ["sh", "-c", "…"]';
  if (interval > 0 && ttl > 0) return 'Interval and TTL cannot both be specified';
  if (ofInterval && interval <= 0) return 'Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks';
  if (ofInterval && isAlias(check)) return 'Interval cannot be set for Alias checks';
  if (isAlias(check) && ttl > 0) return 'TTL must be not be set for Alias checks';
  if (!ofInterval && !isAlias(check) && ttl <= 0) return 'TTL must be > 0 for TTL checks';
  if ((check.OutputMaxSize ?? 0) < 0) return 'MaxOutputMaxSize must be positive';
  if ((check.FailuresBeforeWarning ?? 0) > (check.FailuresBeforeCritical ?? 0))
    return "FailuresBeforeWarning can't be higher than FailuresBeforeCritical";
  if (OSService && !OS_SERVICE.test(OSService)) return `OSService ${JSON.stringify(OSService)} is no name of a service`;
  return undefined;
}

/** What is wrong with a check that is registered on its own, in the order in which Consul looks. */
export function* checkDefinitionFaults(definition: CheckDefinition): Iterable<string> {
  if (!definition.Name) yield 'Missing check name';
  if (definition.Status && !isStatus(definition.Status)) yield 'Bad check status';
  const fault = checkFault(definition);
  if (fault !== undefined) yield `Invalid check: ${fault}`;
}

export function isStatus(text: string): boolean {
  return text === 'passing' || text === 'warning' || text === 'critical';
}

export function badRequest(message: string): IsthmusError {
  return new IsthmusError('invalid_argument', message);
}
