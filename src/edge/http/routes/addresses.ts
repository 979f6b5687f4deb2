import { BY_SERVERS } from '../../../agent/access/rules.ts';
import { reachedAt } from '../../../model/address.ts';
import { jsonResponse, type Route } from '../route.ts';
import { callOptions } from '../write-route.ts';
import type { CatalogRouteDeps } from './catalog.ts';
import { required } from './list-args.ts';

/** Which address of a service is handed out, and where it comes from. */
export function addressRoutes(deps: CatalogRouteDeps): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/internal/addresses/:service',
      about: 'Where each instance of a service is reached from a datacenter, and which setting says so.',
      acl: 'node:read,service:read',
      rule: BY_SERVERS,
      query: [
        { name: 'dc', about: 'Datacenter of the instances; default the agent’s own.' },
        { name: 'from', about: 'Datacenter that asks; default the agent’s own.' },
        { name: 'connect', about: 'Instances that accept mesh connections for the service.' },
      ],
      async handle(request) {
        const service = required(request.params.service, 'Missing service name');
        const options = callOptions(request);
        const home = options.datacenter ?? deps.datacenter;
        const from = request.query.text('from') || deps.datacenter;
        const { value } = await deps.contract.read(
          'health.service',
          { service, ...(request.query.has('connect') ? { connect: true } : {}) },
          options,
        );
        return jsonResponse(
          value.map(({ Node, Service }) => {
            const { address, port, source } = reachedAt(Node, Service, from !== home);
            return {
              Node: Node.Node,
              ServiceID: Service.ID,
              Datacenter: home,
              From: from,
              Address: address,
              Port: port,
              Source: source,
            };
          }),
        );
      },
    },
  ];
}
