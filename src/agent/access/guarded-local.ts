import type { ServiceDefinition } from '../../model/registration/definitions.ts';
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
        requireService(rights, local, definition.ID || definition.Name || '');
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

/** Its own name, that of the service it is a proxy for, and those of its sidecar. */
function servicesOf(definition: ServiceDefinition): readonly string[] {
  const sidecar = definition.Connect?.SidecarService;
  const own = definition.Name ?? '';
  const names = [own, definition.Proxy?.DestinationServiceName];
  if (sidecar !== undefined && sidecar !== null) names.push(sidecar.Name || `${own}-sidecar-proxy`);
  return names.filter((name): name is string => name !== undefined && name !== '');
}
