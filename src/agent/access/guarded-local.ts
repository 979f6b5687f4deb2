import type { ServiceDefinition } from '../../model/registration/definitions.ts';
import { checksOf, sidecarId } from '../../model/registration/service-rules.ts';
import type { Rights } from '../../model/rights.ts';
import type { LocalState, RegisterOptions } from '../local/types.ts';
import { denied } from './denied.ts';
import type { RightsOf } from './rights-of.ts';
import { requireCheck, requireService } from './rules.ts';

/** Registrations ask for the right to every service that they name. */
export function guardedLocal(local: LocalState, rightsOfToken: RightsOf, nodeName: string): LocalState {
  const never = new AbortController().signal;
  const rightsOf = ({ token }: RegisterOptions = {}): Promise<Rights> => rightsOfToken(token, never);
  return {
    ...local,
    get synced() {
      return local.synced;
    },
    async registerService(definition, options) {
      const rights = await rightsOf(options);
      if (!rights.everything) {
        for (const service of servicesOf(definition))
          if (!rights.may('service', service, 'write')) throw denied(`service:write on ${service}`);
        for (const id of instancesOf(definition)) requireService(rights, local, id);
        for (const id of checkIdsOf(definition)) requireCheck(rights, { local, nodeName }, id);
      }
      await local.registerService(definition, options);
    },
    async registerCheck(definition, options) {
      const rights = await rightsOf(options);
      if (!rights.everything) {
        const { ServiceID } = definition;
        if (ServiceID) requireService(rights, local, ServiceID);
        else if (!rights.may('node', nodeName, 'write')) throw denied(`node:write on ${nodeName}`);
        requireCheck(rights, { local, nodeName }, definition.ID || definition.Name || '');
      }
      await local.registerCheck(definition, options);
    },
  };
}

/** Its own name, that of the service it is a proxy for, and both of its sidecar. */
function servicesOf(definition: ServiceDefinition): readonly string[] {
  const sidecar = definition.Connect?.SidecarService;
  const own = definition.Name ?? '';
  const names = [own, definition.Proxy?.DestinationServiceName];
  if (sidecar) names.push(sidecar.Name || `${own}-sidecar-proxy`, sidecar.Proxy?.DestinationServiceName);
  return names.filter((name): name is string => name !== undefined && name !== '');
}

/** The instances that it takes the place of, or speaks for. */
function instancesOf(definition: ServiceDefinition): readonly string[] {
  const sidecar = definition.Connect?.SidecarService;
  const own = definition.ID || definition.Name || '';
  const ids = [own, definition.Proxy?.DestinationServiceID];
  if (sidecar) ids.push(sidecarId(own), sidecar.Proxy?.DestinationServiceID);
  return ids.filter((id): id is string => id !== undefined && id !== '');
}

/** Checks that it names: one that is there is replaced. */
function checkIdsOf(definition: ServiceDefinition): readonly string[] {
  const sidecar = definition.Connect?.SidecarService;
  const checks = [...checksOf(definition), ...(sidecar ? checksOf(sidecar) : [])];
  return checks.flatMap(({ CheckID, ID }) => CheckID || ID || []);
}
