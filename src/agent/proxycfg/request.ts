import { IsthmusError } from '../../lib/errors.ts';
import type { NodeService, Upstream } from '../../model/catalog.ts';
import { kindOf } from './kinds/all.ts';
import type { LocalServices } from './local-services.ts';

/** Which proxy it is: a registered one, the one beside a service, or one that is described right here. */
export type ProxyRequest =
  | {
      readonly kind: 'registered';
      readonly proxyId: string;
      readonly token?: string;
      /** It keeps the connections of each caller apart, and so needs to know who may call. */
      readonly separatesCallers?: boolean;
      /** It serves exposed paths. */
      readonly exposes?: boolean;
    }
  | { readonly kind: 'sidecar-for'; readonly serviceId: string; readonly token?: string }
  | {
      readonly kind: 'standalone';
      readonly service: string;
      /** `name[.datacenter]:port`, as on the command line. */
      readonly upstreams: readonly string[];
      /** UUID of one of several processes with the identity of the service. */
      readonly instance?: string;
      readonly token?: string;
    };

/** The registration that a request means, read anew each time. Throws with what to do when there is none. */
export function registrationOf(request: ProxyRequest, local: LocalServices): () => NodeService {
  if (request.kind === 'standalone') {
    const registration = standalone(request.service, request.upstreams, request.instance);
    return () => registration;
  }
  const proxyId = request.kind === 'registered' ? request.proxyId : sidecarOf(request.serviceId, local);
  return () => {
    const proxy = local.get(proxyId);
    if (proxy === undefined || kindOf(proxy.Kind) === undefined)
      throw new IsthmusError('not_found', `No proxy with ID ${JSON.stringify(proxyId)} is registered with this agent`);
    return proxy;
  };
}

/** ID of the sidecar that is registered for a service. */
function sidecarOf(serviceId: string, local: LocalServices): string {
  const ids = local
    .list()
    .filter((each) => each.Kind === 'connect-proxy' && each.Proxy.DestinationServiceID === serviceId)
    .map((service) => service.ID);
  if (ids.length > 1)
    throw new IsthmusError(
      'rejected',
      `More than one sidecar proxy registered for ${serviceId}. Start proxy with -proxy-id and one of the following ` +
        `IDs: ${ids.sort().join(', ')}`,
    );
  const [id] = ids;
  if (id === undefined) throw new IsthmusError('not_found', `No sidecar proxy registered for ${serviceId}`);
  return id;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A sidecar that is not registered, as its registration would be. */
function standalone(service: string, upstreams: readonly string[], instance = 'standalone'): NodeService {
  if (service === '') throw new IsthmusError('invalid_argument', 'a standalone proxy must name its service');
  if (instance !== 'standalone' && !UUID.test(instance))
    throw new IsthmusError('invalid_argument', 'the instance of a service must be a UUID');
  return {
    Kind: 'connect-proxy',
    ID: `${service}-${instance}`,
    Service: `${service}-standalone`,
    Tags: null,
    Address: '',
    Meta: null,
    Port: 0,
    Weights: { Passing: 1, Warning: 1 },
    EnableTagOverride: false,
    Proxy: {
      DestinationServiceName: service,
      Upstreams: upstreams.map(parseUpstream),
      MeshGateway: {},
      Expose: {},
    },
    Connect: {},
    CreateIndex: 0,
    ModifyIndex: 0,
  };
}

/** `name[.datacenter]:port` */
function parseUpstream(text: string): Upstream {
  const match = /^([^.:]+)(?:\.([^.:]+))?:(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new IsthmusError(
      'invalid_argument',
      `upstream ${JSON.stringify(text)} must be NAME:PORT or NAME.DATACENTER:PORT`,
    );
  return {
    DestinationType: 'service',
    DestinationName: match[1] as string,
    ...(match[2] === undefined ? {} : { Datacenter: match[2] }),
    LocalBindPort: port,
    MeshGateway: {},
  };
}
