import { IsthmusError } from '../../lib/errors.ts';
import { HTTP_STATUS } from '../../model/status.ts';
import type { Audit } from '../../telemetry/types.ts';
import type { ApiRequest, ApiResponse, Route } from './route.ts';

export interface AuditDeps {
  readonly audit: Audit;
  /** AccessorID of a token, as far as it is known here; '' otherwise. */
  readonly accessorOf: (token: string | undefined) => string;
  readonly datacenter: string;
  readonly node: string;
}

/**
 * The routes, with every change put on record once it is decided. Put it around all other stages: what they refuse
 * counts too.
 */
export function auditRoutes(routes: readonly Route[], deps: AuditDeps): readonly Route[] {
  return routes.map((route) => {
    if (route.method === 'GET' || ASKS.has(`${route.method} ${route.path}`)) return route;
    return { ...route, handle: (request) => recorded(route, request, deps) };
  });
}

/** Change nothing, whatever their method. */
const ASKS: ReadonlySet<string> = new Set([
  'POST /v1/agent/connect/authorize',
  'POST /v1/discovery-chain/*service',
  'PUT /v1/internal/sidecar/:session/ack',
]);

async function recorded(route: Route, request: ApiRequest, deps: AuditDeps): Promise<ApiResponse> {
  // A token that deletes itself, or is set here, is known before and not after.
  const before = deps.accessorOf(request.token);
  const tell = (status: number, error?: string): void =>
    deps.audit.record({
      kind: 'http',
      accessor: before || deps.accessorOf(request.token),
      operation: request.method,
      endpoint: endpointOf(request),
      remote: request.remoteAddress,
      datacenter: request.query.text('dc') || deps.datacenter,
      node: deps.node,
      status: String(status),
      verdict: status === 401 || status === 403 ? 'denied' : 'allowed',
      ...(error === undefined ? {} : { error }),
    });
  try {
    const answer = await route.handle(request);
    const { status = 200, text } = answer;
    tell(status, status >= 400 ? text : undefined);
    return answer;
  } catch (thrown) {
    const error = IsthmusError.from(thrown);
    tell(HTTP_STATUS[error.code], error.message);
    throw thrown;
  }
}

/** Queries above this length are cut. */
const MAX_QUERY = 1_024;

function endpointOf({ path, query }: ApiRequest): string {
  const shown = query.entries().filter(([name]) => name !== 'token');
  const text = new URLSearchParams(shown.map(([name, value]): [string, string] => [name, value]))
    .toString()
    .slice(0, MAX_QUERY);
  return text === '' ? path : `${path}?${text}`;
}
