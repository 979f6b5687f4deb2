import { envoysSeen } from '../../../agent/access/rules.ts';
import type { EnvoyStatus } from '../../../model/envoy.ts';
import { jsonResponse, type Route } from '../route.ts';

export interface EnvoyRouteDeps {
  /** Those that follow this agent now. */
  readonly envoys: () => readonly EnvoyStatus[];
}

export function envoyRoutes({ envoys }: EnvoyRouteDeps): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/agent/connect/envoys',
      about:
        'Envoys that follow this agent: what each was sent, what it confirmed, and what it rejected, with its reason.',
      acl: 'service:read',
      rule: envoysSeen,
      handle: () => jsonResponse(envoys()),
    },
  ];
}
