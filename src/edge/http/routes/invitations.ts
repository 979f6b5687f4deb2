import type { InviteArgs } from '../../../model/transport.ts';
import { asDuration, asList, asString, asStruct, decodeBody } from '../decode.ts';
import { type ReadRouteDeps, readRoute } from '../read-route.ts';
import { EMPTY, type Route } from '../route.ts';
import { writeRoute } from '../write-route.ts';

/** /v1/operator/federation: invitations of datacenters and agents. Not in Consul. */
export function invitationRoutes(deps: ReadRouteDeps): readonly Route[] {
  return [
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/operator/federation/invitation',
      about:
        'Invite a datacenter, in the primary, or an agent of this one. The answer holds the only copy of the ' +
        'invitation.',
      acl: 'operator:write',
      write: 'transport.invite',
      args: (request) => (request.body.length === 0 ? {} : (decodeBody(request, INVITE) as InviteArgs)),
    }),
    readRoute(deps, {
      path: '/v1/operator/federation/invitations',
      about: 'Invitations and whether they were used, without their secrets.',
      acl: 'operator:read',
      read: 'transport.invitations',
      args: () => ({}),
      meta: 'index',
    }),
    writeRoute(deps, {
      method: 'DELETE',
      path: '/v1/operator/federation/invitation/:id',
      about: 'Revoke an invitation: it cannot be used any more.',
      acl: 'operator:write',
      write: 'transport.revokeInvitation',
      args: ({ params }) => ({ id: params.id ?? '' }),
      render: () => EMPTY,
    }),
  ];
}

const INVITE = asStruct(
  'api.Invitation',
  { Kind: asString, JoiningDatacenter: asString, TTL: asDuration, Addresses: asList(asString) },
  { unknown: 'refuse' },
);
