import { type ReadRouteDeps, readRoute } from '../read-route.ts';
import type { Route } from '../route.ts';

/** /v1/status, and how this datacenter does beside the others. */
export function statusRoutes(deps: ReadRouteDeps): readonly Route[] {
  const args = (): Record<never, never> => NO_ARGS;
  return [
    readRoute(deps, {
      path: '/v1/status/leader',
      about: 'Address of the server that leads the datacenter.',
      acl: 'none',
      read: 'status.leader',
      args,
      meta: 'none',
    }),
    readRoute(deps, {
      path: '/v1/status/peers',
      about: 'Addresses of the datacenter’s servers.',
      acl: 'none',
      read: 'status.peers',
      args,
      meta: 'none',
    }),
    readRoute(deps, {
      path: '/v1/internal/autonomy',
      about: 'How long this datacenter could run alone, and what would end first.',
      acl: 'operator:read',
      read: 'federation.autonomy',
      args,
      meta: 'none',
    }),
    readRoute(deps, {
      path: '/v1/internal/replication',
      about: 'What this datacenter takes over from the primary, and how far behind it is.',
      acl: 'operator:read',
      read: 'replication.status',
      args,
      meta: 'index',
    }),
  ];
}

const NO_ARGS: Record<never, never> = Object.freeze({});
