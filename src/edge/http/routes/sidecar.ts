import { BY_PART, OPEN } from '../../../agent/access/rules.ts';
import type { ProxyFeeds } from '../../../agent/proxycfg/proxy-configs.ts';
import type { ProxyRequest } from '../../../agent/proxycfg/request.ts';
import type { Clock } from '../../../lib/clock.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import { newUuid } from '../../../lib/ids.ts';
import { parseUnsigned } from '../consistency.ts';
import { heartbeats } from '../heartbeat.ts';
import { type ApiRequest, EMPTY, type Route } from '../route.ts';
import { SidecarWire } from '../sidecar-wire.ts';

export interface SidecarRouteDeps {
  readonly proxies: ProxyFeeds;
  readonly clock: Clock;
  /** Milliseconds between two heartbeats on a silent stream. */
  readonly heartbeatMs: number;
}

/**
 * The stream that a built-in sidecar follows. Each line is one JSON object: first `{"session": id}`, then one
 * SidecarUpdate each (they have a `version`); a line `{}` is a heartbeat.
 */
export function sidecarRoutes(deps: SidecarRouteDeps): readonly Route[] {
  const sessions = new Map<string, SidecarWire>();
  return [
    {
      method: 'GET',
      path: '/v1/internal/sidecar',
      about: 'Stream of everything that a sidecar needs: configuration, roots, certificate, verdicts, endpoints.',
      acl: 'service:write',
      rule: BY_PART,
      query: [
        { name: 'proxy', about: 'ID of a proxy registered with this agent.' },
        { name: 'sidecar-for', about: 'Instead of proxy: ID of a service; its sidecar is meant.' },
        { name: 'service', about: 'Instead of proxy: identity of a proxy that is not registered.' },
        { name: 'upstream', about: 'With service: name[.datacenter]:port; may be repeated.' },
        { name: 'instance', about: 'With service: UUID that tells several processes of one service apart.' },
      ],
      async handle(request) {
        const id = newUuid();
        const session = new SidecarWire(await deps.proxies.open(proxyRequest(request), request.signal));
        return { stream: lines(deps, sessions, id, session, request.signal) };
      },
    },
    {
      method: 'PUT',
      path: '/v1/internal/sidecar/:session/ack',
      about: 'Confirm that the sidecar uses an update and all before it.',
      acl: 'none',
      rule: OPEN, // the ID of a session is known to its sidecar alone
      query: [{ name: 'version', about: 'Version of the update.' }],
      handle({ params, query }) {
        const version = parseUnsigned(query.text('version'));
        if (version === undefined) throw new IsthmusError('invalid_argument', 'Invalid version');
        const session = sessions.get(params.session ?? '');
        if (session === undefined)
          throw new IsthmusError('not_found', 'Unknown sidecar session: open the stream again');
        session.acknowledge(version);
        return EMPTY;
      },
    },
  ];
}

async function* lines(
  deps: SidecarRouteDeps,
  sessions: Map<string, SidecarWire>,
  id: string,
  session: SidecarWire,
  signal: AbortSignal,
): AsyncGenerator<string, void, void> {
  sessions.set(id, session);
  try {
    yield `${JSON.stringify({ session: id })}\n`;
    for await (const update of heartbeats(session.updates(), deps.clock, deps.heartbeatMs, signal))
      yield update === undefined ? '{}\n' : `${JSON.stringify(update)}\n`;
  } finally {
    sessions.delete(id);
  }
}

function proxyRequest({ query, token }: ApiRequest): ProxyRequest {
  const secret = token === undefined ? {} : { token };
  const proxyId = query.text('proxy');
  if (proxyId !== '') return { kind: 'registered', proxyId, ...secret };
  const serviceId = query.text('sidecar-for');
  if (serviceId !== '') return { kind: 'sidecar-for', serviceId, ...secret };
  const service = query.text('service');
  if (service === '') throw new IsthmusError('invalid_argument', 'One of proxy, sidecar-for and service must be given');
  const instance = query.text('instance');
  const which = instance === '' ? {} : { instance };
  return { kind: 'standalone', service, upstreams: query.all('upstream'), ...which, ...secret };
}
