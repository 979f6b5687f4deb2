import { BY_SERVERS } from '../../agent/access/rules.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Consistency, ReadOptions, ReadResult, ServerContract } from '../../rpc/contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../../rpc/contract/reads.ts';
import { parseReadParameters, type QueryTimes, type ReadParameters } from './consistency.ts';
import { errorResponse } from './error-response.ts';
import type { Query } from './query.ts';
import type { AclRule, ApiRequest, ApiResponse, PreparedCall, QueryParameter, Route } from './route.ts';

export interface ReadRouteDeps {
  readonly contract: ServerContract;
  readonly datacenter: string;
  /** Answers from other datacenters show WAN addresses. */
  readonly translateWanAddrs?: boolean;
  readonly queryTimes?: QueryTimes;
}

export interface ReadRouteSpec<N extends ReadName> {
  readonly path: string;
  readonly about: string;
  readonly acl: AclRule;
  readonly read: N;
  readonly query?: readonly QueryParameter[];
  /** May throw `invalid_argument`. */
  args(params: Readonly<Record<string, string>>, query: Query): ReadArgs<N>;
  /**
   * Which headers tell about the index: none; index, leader and contact; or these and the effective consistency.
   * Differs from endpoint to endpoint of Consul without a rule behind it.
   */
  readonly meta: 'none' | 'index' | 'consistency';
  /** Consul sets the index headers of a failed request too (index 1, no leader). */
  readonly metaOnError?: boolean;
  /** Consul never fills in the leader here and says "false". */
  readonly leaderUnknown?: boolean;
  /** Takes ?cached and then says X-Cache and Age. */
  readonly cached?: boolean;
  /** The answer with WAN addresses; see translate.ts. */
  translate?(value: ReadValue<N>): ReadValue<N>;
  /** Datacenter that the answer is about; the one asked when absent. */
  from?(value: ReadValue<N>): string;
  /** Another form of the answer than its JSON; undefined keeps the JSON. Takes the value only if it needs it. */
  render?(result: ReadResult<ReadValue<N>>, query: Query): ApiResponse | undefined;
}

/** A GET that is one read of the contract. */
export function readRoute<N extends ReadName>(deps: ReadRouteDeps, spec: ReadRouteSpec<N>): Route {
  const shared: SharedAnswers<N> = { default: new WeakMap(), stale: new WeakMap(), consistent: new WeakMap() };
  const prepare = (params: Readonly<Record<string, string>>, query: Query): PreparedCall =>
    new PreparedReadCall(deps, spec, params, query, shared);
  return {
    method: 'GET',
    path: spec.path,
    about: spec.about,
    acl: spec.acl,
    rule: BY_SERVERS,
    query: [...(spec.query ?? []), ...READ_PARAMETERS, ...(spec.cached ? [CACHED_PARAMETER] : [])],
    prepare,
    handle: (request) => prepare(request.params, request.query).run(request.token, request.signal),
  };
}

/**
 * The same read, asked with a body. @param withBody what the body adds to the arguments; may throw `invalid_argument`.
 */
export function readRouteWithBody<N extends ReadName>(
  deps: ReadRouteDeps,
  spec: ReadRouteSpec<N>,
  withBody: (request: ApiRequest) => Partial<ReadArgs<N>>,
): Route {
  return { ...readRouteOf(deps, spec, withBody), method: 'POST' };
}

/** A read whose arguments depend on more of the request than its URL. @param of what that adds to them. */
export function readRouteOf<N extends ReadName>(
  deps: ReadRouteDeps,
  spec: ReadRouteSpec<N>,
  of: (request: ApiRequest) => Partial<ReadArgs<N>>,
): Route {
  const { prepare: _never, ...route } = readRoute(deps, spec);
  return {
    ...route,
    handle(request) {
      const more = of(request);
      const args: typeof spec.args = (params, query) => ({ ...spec.args(params, query), ...more });
      return readRoute(deps, { ...spec, args }).handle(request);
    },
  };
}

const READ_PARAMETERS: readonly QueryParameter[] = [
  { name: 'dc', about: 'Datacenter that answers; default the agent’s own.' },
  { name: 'index', about: 'Wait until the answer is newer than this index.' },
  { name: 'wait', about: 'Longest wait, such as 30s; default 5m, at most 10m.' },
  { name: 'stale', about: 'Any server may answer.' },
  { name: 'consistent', about: 'The answer must include every write acknowledged before.' },
];

const CACHED_PARAMETER: QueryParameter = { name: 'cached', about: 'Let the agent answer from its cache.' };

const EFFECTIVE: Readonly<Record<Consistency, string>> = {
  default: 'leader',
  stale: 'stale',
  consistent: 'consistent',
};

const CACHED = { cached: true } as const;

const FAILED_META = { 'X-Consul-Index': '1', 'X-Consul-Knownleader': 'false', 'X-Consul-Lastcontact': '0' };

/** Answers by the result they were made from: the same result gives the same object. */
type KeptAnswers<N extends ReadName> = WeakMap<ReadResult<ReadValue<N>>, ApiResponse>;

/** Plain answers of all calls of a route: those who wait for one thing, each with its own URL, are woken with one. */
type SharedAnswers<N extends ReadName> = Readonly<Record<Consistency, KeptAnswers<N>>>;

class PreparedReadCall<N extends ReadName> implements PreparedCall {
  readonly waits: boolean;
  readonly #deps: ReadRouteDeps;
  readonly #spec: ReadRouteSpec<N>;
  readonly #query: Query;
  readonly #args: ReadArgs<N>;
  readonly #parameters: ReadParameters;
  readonly #pretty: boolean;
  readonly #answers: KeptAnswers<N> = new WeakMap();
  readonly #shared: KeptAnswers<N>;
  #askedBefore = false;

  constructor(
    deps: ReadRouteDeps,
    spec: ReadRouteSpec<N>,
    params: Readonly<Record<string, string>>,
    query: Query,
    shared: SharedAnswers<N>,
  ) {
    this.#deps = deps;
    this.#spec = spec;
    this.#query = query;
    this.#parameters = parseReadParameters(query, deps.datacenter, deps.queryTimes);
    this.#args = spec.args(params, query);
    this.#pretty = query.has('pretty');
    this.#shared = shared[this.#parameters.consistency];
    this.waits = this.#parameters.index !== undefined || this.#parameters.datacenter !== undefined;
  }

  async run(token: string | undefined, signal: AbortSignal): Promise<ApiResponse> {
    const { consistency, datacenter, index, waitMs } = this.#parameters;
    const cached = this.#spec.cached === true && this.#parameters.cached;
    const options: ReadOptions = {
      signal,
      consistency,
      ...(datacenter === undefined ? undefined : { datacenter }),
      ...(token === undefined ? undefined : { token }),
      ...(index === undefined ? undefined : { index }),
      ...(waitMs === undefined ? undefined : { waitMs }),
      ...(cached ? CACHED : undefined),
    };
    let result: ReadResult<ReadValue<N>>;
    try {
      result = await this.#deps.contract.read(this.#spec.read, this.#args, options);
    } catch (error) {
      return this.#failure(IsthmusError.from(error));
    }
    const known = this.#answers.get(result);
    if (known !== undefined) return known;
    const answer = this.#answer(result);
    // The first answer to ?cached says MISS, later ones HIT.
    if (cached && !this.#askedBefore) this.#askedBefore = true;
    else this.#answers.set(result, answer);
    return answer;
  }

  #answer(result: ReadResult<ReadValue<N>>): ApiResponse {
    const headers = this.#meta(result.index, result.knownLeader, result.lastContactMs);
    if (this.#spec.cached && this.#parameters.cached) {
      // A server keeps its answers and follows what they are made of: to it they are never old.
      const { hit, ageMs } = result.cache ?? { hit: this.#askedBefore, ageMs: 0 };
      headers['X-Cache'] = hit ? 'HIT' : 'MISS';
      if (hit) headers.Age = String(Math.floor(ageMs / 1_000));
    }
    const rendered = this.#spec.render?.(result, this.#query);
    if (rendered !== undefined) return { ...rendered, headers: { ...headers, ...rendered.headers } };
    if (this.#isFar(result)) return { headers, json: this.#spec.translate?.(result.value) };
    if (this.#pretty) return { headers, json: result.value };
    if (headers['X-Cache'] !== undefined) return { headers, bytes: result.json };
    let answer = this.#shared.get(result);
    if (answer === undefined) {
      answer = { headers, bytes: result.json };
      this.#shared.set(result, answer);
    }
    return answer;
  }

  #isFar(result: ReadResult<ReadValue<N>>): boolean {
    const { translate, from } = this.#spec;
    if (this.#deps.translateWanAddrs !== true || translate === undefined) return false;
    if (from !== undefined) return from(result.value) !== this.#deps.datacenter;
    return this.#parameters.datacenter !== undefined;
  }

  #failure(error: IsthmusError): ApiResponse {
    // the edge logs the one and knows what the other means
    if (error.code === 'internal' || error.code === 'cancelled') throw error;
    const { index } = error.details;
    if (
      (error.code === 'not_found' || error.code === 'permission_denied') &&
      this.#spec.meta !== 'none' &&
      !this.#spec.metaOnError &&
      typeof index === 'number'
    )
      return errorResponse(error, this.#meta(index, true, 0, false));
    return errorResponse(error, this.#spec.metaOnError ? FAILED_META : undefined);
  }

  #meta(index: number, knownLeader: boolean, lastContactMs: number, found = true): Record<string, string> {
    const { meta, leaderUnknown } = this.#spec;
    // Where Consul says nothing, the age is shown once there is one: the primary is away.
    if (meta === 'none')
      return lastContactMs > 0 && found ? { 'X-Consul-Lastcontact': String(Math.round(lastContactMs)) } : {};
    return {
      ...(meta === 'consistency' && found
        ? { 'X-Consul-Effective-Consistency': EFFECTIVE[this.#parameters.consistency] }
        : undefined),
      'X-Consul-Index': String(Math.max(1, index)),
      'X-Consul-Knownleader': String(knownLeader && leaderUnknown !== true),
      'X-Consul-Lastcontact': String(Math.round(lastContactMs)),
    };
  }
}
