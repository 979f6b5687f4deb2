import { BY_SERVERS } from '../../agent/access/rules.ts';
import type { CallOptions, ServerContract } from '../../rpc/contract/contract.ts';
import type { WriteArgs, WriteName, WriteValue } from '../../rpc/contract/writes.ts';
import {
  type AclRule,
  type ApiRequest,
  type ApiResponse,
  jsonResponse,
  type Method,
  type QueryParameter,
  type Route,
} from './route.ts';

export interface WriteRouteDeps {
  readonly contract: ServerContract;
}

export interface WriteRouteSpec<N extends WriteName> {
  readonly method: Method;
  readonly path: string;
  readonly about: string;
  readonly acl: AclRule;
  readonly write: N;
  readonly query?: readonly QueryParameter[];
  args(request: ApiRequest): WriteArgs<N>;
  /** Default: the value as JSON. */
  render?(value: WriteValue<N>, args: WriteArgs<N>): ApiResponse;
}

/** A request that is one write of the contract. */
export function writeRoute<N extends WriteName>(deps: WriteRouteDeps, spec: WriteRouteSpec<N>): Route {
  return {
    method: spec.method,
    path: spec.path,
    about: spec.about,
    acl: spec.acl,
    rule: BY_SERVERS,
    query: [...(spec.query ?? []), DATACENTER],
    async handle(request) {
      const args = spec.args(request);
      const { value } = await deps.contract.write(spec.write, args, callOptions(request));
      return spec.render === undefined ? jsonResponse(value) : spec.render(value, args);
    },
  };
}

/** Of routes whose write another datacenter may decide. */
export const DATACENTER: QueryParameter = { name: 'dc', about: 'Datacenter that decides; default the agent’s own.' };

/** Signal, token and ?dc= of a request. */
export function callOptions(request: ApiRequest): CallOptions {
  const datacenter = request.query.text('dc');
  return {
    signal: request.signal,
    ...(request.token === undefined ? undefined : { token: request.token }),
    ...(datacenter === '' ? undefined : { datacenter }),
  };
}
