import type { RightsOf } from '../../agent/access/rights-of.ts';
import type { AgentFacts, AgentRule } from '../../agent/access/rules.ts';
import type { ApiRequest, ApiResponse, Route } from './route.ts';

export interface GuardDeps extends AgentFacts {
  readonly rights: RightsOf;
}

/** The routes, with those that the agent decides on asking for rights first. */
export function guardRoutes(routes: readonly Route[], deps: GuardDeps): readonly Route[] {
  return routes.map((route) => {
    const { rule } = route;
    if (typeof rule === 'string') return route;
    const { prepare: _unguarded, ...rest } = route; // a prepared call would go past the check
    return { ...rest, handle: (request) => guarded(route, rule, request, deps) };
  });
}

async function guarded(route: Route, rule: AgentRule, request: ApiRequest, deps: GuardDeps): Promise<ApiResponse> {
  const rights = await deps.rights(request.token, request.signal);
  if (rights.everything) return route.handle(request);
  rule.check?.(rights, request, deps);
  const answer = await route.handle(request);
  return rule.show === undefined || answer.json === undefined
    ? answer
    : { ...answer, json: rule.show(rights, answer.json, deps) };
}
