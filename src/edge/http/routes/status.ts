import { type ReadRouteDeps, readRoute } from '../read-route.ts';
import type { Route } from '../route.ts';

/** /v1/status, and what operators' tools ask about the servers. */
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
      path: '/v1/operator/raft/configuration',
      about: 'The datacenter’s servers in the form of Consul’s Raft configuration.',
      acl: 'operator:read',
      read: 'operator.raftConfiguration',
      args,
      meta: 'none',
    }),
    readRoute(deps, {
      path: '/v1/operator/autopilot/health',
      about: 'Health of the datacenter’s servers.',
      acl: 'operator:read',
      read: 'operator.autopilotHealth',
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
