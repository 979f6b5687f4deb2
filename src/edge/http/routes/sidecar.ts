import type { Clock } from '../../../lib/clock.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import { newUuid } from '../../../lib/ids.ts';
import type { SidecarRequest, SidecarSession, SidecarSessions } from '../agent-parts.ts';
import { parseUnsigned } from '../consistency.ts';
import { heartbeats } from '../heartbeat.ts';
import { type ApiRequest, EMPTY, type Route } from '../route.ts';

export interface SidecarRouteDeps {
  readonly sidecars: SidecarSessions;
  readonly clock: Clock;
  /** Milliseconds between two signs of life on a silent stream. */
  readonly heartbeatMs: number;
}

/**
 * The stream that a built-in sidecar follows. Each line is one JSON object: first `{"session": id}`, then one
 * SidecarUpdate each (they have a `version`); a line `{}` is a sign of life.
 */
export function sidecarRoutes(deps: SidecarRouteDeps): readonly Route[] {
  const sessions = new Map<string, SidecarSession>();
  return [
    {
      method: 'GET',
      path: '/v1/internal/sidecar',
      about: 'Stream of everything that a sidecar needs: configuration, roots, certificate, verdicts, endpoints.',
      acl: 'service:write',
      query: [
        { name: 'proxy', about: 'ID of a proxy registered with this agent.' },
        { name: 'sidecar-for', about: 'Instead of proxy: ID of a service; its sidecar is meant.' },
        { name: 'service', about: 'Instead of proxy: identity of a proxy that is not registered.' },
        { name: 'upstream', about: 'With service: name[.datacenter]:port; may be repeated.' },
      ],
      async handle(request) {
        const id = newUuid();
        const session = await deps.sidecars.open(sidecarRequest(request), request.signal);
        return { stream: lines(deps, sessions, id, session, request.signal) };
      },
    },
    {
      method: 'PUT',
      path: '/v1/internal/sidecar/:session/ack',
      about: 'Tell that an update, and all before it, is in effect in the sidecar.',
      acl: 'service:write',
      query: [{ name: 'version', about: 'Version of the update.' }],
      handle({ params, query }) {
        const session = sessions.get(params.session ?? '');
        if (session === undefined)
          throw new IsthmusError('not_found', 'Unknown sidecar session: open the stream again');
        const version = parseUnsigned(query.text('version'));
        if (version === undefined) throw new IsthmusError('invalid_argument', 'Invalid version');
        session.acknowledge(version);
        return EMPTY;
      },
    },
  ];
}

async function* lines(
  deps: SidecarRouteDeps,
  sessions: Map<string, SidecarSession>,
  id: string,
  session: SidecarSession,
  signal: AbortSignal,
): AsyncGenerator<string, void, void> {
  sessions.set(id, session);
  try {
    yield `${JSON.stringify({ session: id })}\n`;
    for await (const update of heartbeats(session.updates, deps.clock, deps.heartbeatMs, signal))
      yield update === undefined ? '{}\n' : `${JSON.stringify(update)}\n`;
  } finally {
    sessions.delete(id);
  }
}

function sidecarRequest({ query, token }: ApiRequest): SidecarRequest {
  const secret = token === undefined ? {} : { token };
  const proxyId = query.text('proxy');
  if (proxyId !== '') return { kind: 'registered', proxyId, ...secret };
  const serviceId = query.text('sidecar-for');
  if (serviceId !== '') return { kind: 'sidecar-for', serviceId, ...secret };
  const service = query.text('service');
  if (service === '') throw new IsthmusError('invalid_argument', 'One of proxy, sidecar-for and service must be given');
  return { kind: 'standalone', service, upstreams: query.all('upstream'), ...secret };
}
