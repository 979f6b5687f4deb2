import { IsthmusError } from '../lib/errors.ts';
import { type ScriptsAllowed, scriptRefusal } from '../model/registration/check-rules.ts';
import {
  type CheckDefinition,
  type CheckType,
  decodeCheckDefinition,
  decodeServiceDefinition,
} from '../model/registration/definitions.ts';
import { checksOf, formsOf, type PortRange, proxyAddress } from '../model/registration/service-rules.ts';
import type { Definition, PlacedDefinition } from './definition.ts';
import { checkOf, placed } from './keys/definitions.ts';
import type { Findings } from './read-file.ts';

export interface Together {
  readonly services: readonly PlacedDefinition[];
  readonly checks: readonly PlacedDefinition[];
  readonly sidecarPorts: PortRange;
  readonly scripts: ScriptsAllowed;
  /** No service can have been registered by the API: a check of one that no file defines is refused. */
  readonly onlyFiles: boolean;
}

/** Rules that span several definitions: what would take another's place, or could never work beside it. */
export function checkTogether(given: Together, { problems, warnings }: Findings): void {
  const { services, checks, sidecarPorts, scripts, onlyFiles } = given;
  const ids = new Map<string, string>();
  const proxies = new Map<string, { readonly id: string; readonly at: string }>();
  const portsInUse = new Set<number>();
  const refuseScript = (check: CheckType | CheckDefinition, where: string): void => {
    const refusal = scriptRefusal(check, 'file', scripts);
    if (refusal !== undefined) problems.add(`${where}: ${refusal}`);
  };
  for (const { definition, at } of services) {
    problems.attempt(() => {
      const decoded = decodeServiceDefinition(definition);
      for (const ofSidecar of [false, true]) {
        const of = ofSidecar ? decoded.Connect?.SidecarService : decoded;
        for (const [check, type] of checksOf(of ?? {}).entries())
          refuseScript(
            type,
            `${placed(checkOf(definition, { check, ofSidecar })).at}: service ${JSON.stringify(decoded.Name)}`,
          );
      }
      for (const form of formsWithPorts(definition, at, sidecarPorts, portsInUse)) {
        const { ID: id } = form;
        const before = ids.get(id);
        if (before !== undefined)
          problems.add(`${at}: the service ID ${JSON.stringify(id)} stands in ${before} already; give each an "id"`);
        ids.set(id, at);
        const address = proxyAddress(form);
        if (address === undefined) continue;
        if (address.port !== form.Port)
          warnings.push(
            `${at}: the proxy ${JSON.stringify(id)} listens on its "bind_port" ${address.port}, but others are sent ` +
              `to its port ${form.Port}`,
          );
        const key = `${address.host}:${address.port}`;
        const other = proxies.get(key);
        if (other !== undefined && before === undefined)
          problems.add(
            `${at}: the proxy ${JSON.stringify(id)} has port ${address.port}, as ${JSON.stringify(other.id)} in ` +
              `${other.at} has; give each a port`,
          );
        proxies.set(key, { id, at });
      }
    });
  }
  const checkIds = new Map<string, string>();
  for (const { definition, at } of checks) {
    const decoded = decodeCheckDefinition(definition);
    const { ID, Name, ServiceID: serviceId } = decoded;
    refuseScript(decoded, `${at}: check ${JSON.stringify(Name)}`);
    const id = ID || Name || '';
    const before = checkIds.get(id);
    if (before !== undefined)
      problems.add(`${at}: the check ID ${JSON.stringify(id)} stands in ${before} already; give each an "id"`);
    checkIds.set(id, at);
    if (onlyFiles && serviceId && !ids.has(serviceId))
      problems.add(
        `${at}: check ${JSON.stringify(Name)}: ServiceID ${JSON.stringify(serviceId)} does not exist: no file ` +
          `defines that service`,
      );
  }
}

/** The service and its sidecar, which gets the port that the agent would give it. */
function formsWithPorts(
  definition: Definition,
  at: string,
  range: PortRange,
  portsInUse: Set<number>,
): ReturnType<typeof formsOf> {
  try {
    const forms = formsOf(decodeServiceDefinition(definition), range, portsInUse);
    for (const { Port } of forms) portsInUse.add(Port);
    return forms;
  } catch (error) {
    throw new IsthmusError('invalid_argument', `${at}: ${IsthmusError.from(error).message}`, { cause: error });
  }
}
