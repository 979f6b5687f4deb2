import type { RightsOf } from '../../../agent/access/rights-of.ts';
import { BY_PART } from '../../../agent/access/rules.ts';
import type { EventSource } from '../../../agent/events/user-events.ts';
import type { Clock } from '../../../lib/clock.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import { linkSignals } from '../../../lib/signals.ts';
import type { UserEvent } from '../../../model/event.ts';
import type { ServerContract } from '../../../rpc/contract/contract.ts';
import { parseReadParameters, type QueryTimes } from '../consistency.ts';
import type { ApiRequest, ApiResponse, Route } from '../route.ts';
import { writeRoute } from '../write-route.ts';

export interface EventRouteDeps {
  readonly contract: ServerContract;
  readonly events: EventSource;
  readonly rights: RightsOf;
  readonly datacenter: string;
  readonly queryTimes?: QueryTimes;
  readonly clock: Clock;
}

const DEFAULT_TIMES: QueryTimes = { defaultMs: 600_000, maxMs: 600_000 };

/** /v1/event */
export function eventRoutes(deps: EventRouteDeps): readonly Route[] {
  return [
    writeRoute(deps, {
      method: 'PUT',
      path: '/v1/event/fire/*name',
      about: 'Fire a custom event for the agents of a datacenter; its payload is the body.',
      acl: 'event:write',
      write: 'events.fire',
      query: [
        { name: 'node', about: 'Only for nodes whose name matches this regular expression.' },
        { name: 'service', about: 'Only for nodes with a service whose name or ID matches this one.' },
        { name: 'tag', about: 'Only where such a service has a tag that matches this one.' },
      ],
      args({ params, query, body }) {
        const Name = params.name ?? '';
        if (Name === '') throw new IsthmusError('invalid_argument', 'Missing name');
        return {
          Name,
          NodeFilter: query.text('node'),
          ServiceFilter: query.text('service'),
          TagFilter: query.text('tag'),
          ...(body.length === 0 ? {} : { Payload: body.toString('base64') }),
        };
      },
    }),
    {
      method: 'GET',
      path: '/v1/event/list',
      about: 'The newest events that this agent has, oldest first: those for its node, fired since it started.',
      acl: 'event:read',
      rule: BY_PART,
      query: [
        { name: 'name', about: 'Only events with this name.' },
        { name: 'index', about: 'Wait until the index, which names the newest event, is another.' },
        { name: 'wait', about: 'Longest wait, such as 30s; default and at most 10m.' },
      ],
      handle: (request) => listEvents(deps, request),
    },
  ];
}

async function listEvents(deps: EventRouteDeps, request: ApiRequest): Promise<ApiResponse> {
  const { query, token } = request;
  const { waitMs = DEFAULT_TIMES.maxMs } = parseReadParameters(
    query,
    deps.datacenter,
    deps.queryTimes ?? DEFAULT_TIMES,
  );
  const known = query.text('index');
  const name = query.text('name');
  const linked = linkSignals(request.signal);
  const timer = deps.clock.after(waitMs, () => linked.abort(TIME_UP));
  try {
    for (;;) {
      const rights = await deps.rights(token, request.signal);
      const seen = deps.events
        .list()
        .filter((event) => (name === '' || event.Name === name) && rights.may('event', event.Name, 'read'));
      const index = indexOf(seen.at(-1));
      const answer = { json: seen, headers: { 'X-Consul-Index': index } };
      if (known === '' || known === '0' || known !== index || linked.signal.aborted) return answer;
      await deps.events.next(linked.signal).catch((error: unknown) => {
        if (linked.signal.reason !== TIME_UP) throw error;
      });
    }
  } finally {
    timer.cancel();
    linked.release();
  }
}

const TIME_UP = new IsthmusError('deadline', 'nothing has come');

/**
 * As Consul makes one of the newest event's ID: both halves of it, each bit of which counts in one of them. It only
 * tells one event from another, and does not grow.
 */
function indexOf(newest: UserEvent | undefined): string {
  if (newest === undefined) return '1';
  const hex = newest.ID.replaceAll('-', '');
  return String(BigInt(`0x${hex.slice(0, 16)}`) ^ BigInt(`0x${hex.slice(16)}`));
}
