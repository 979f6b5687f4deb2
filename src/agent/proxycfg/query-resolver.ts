import type { Clock, Timer } from '../../lib/clock.ts';
import type { QueryExecution } from '../../model/prepared-query.ts';
import type { SidecarEndpoint } from '../../model/sidecar.ts';
import type { WatchPool } from '../cache/watch-pool.ts';
import { queryEndpoints } from './endpoints.ts';
import { FIRST_ANSWER_MS, type UpstreamResolver, type UpstreamState } from './upstream-resolver.ts';

export interface QueryResolverDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly datacenter: string;
  readonly node: string;
  readonly clock: Clock;
}

/** Going back to a place that has recovered takes this long, in so many steps: it may not be warm yet. */
const RAMP_MS = 10_000;
const RAMP_STEPS = 10;
/** Sum of the weights while two places share the load. */
const RAMP_WEIGHT = 1_000;

/**
 * Upstreams of type prepared_query: whatever the query leads to now. Failing over takes effect at once; going back to
 * a better place moves the load bit by bit.
 */
export function createQueryResolver(deps: QueryResolverDeps): UpstreamResolver {
  return {
    follow(upstream, { token }, onState) {
      const following = new FollowedQuery(deps, onState);
      const args = {
        query: upstream.name,
        connect: true,
        agent: { node: deps.node, segment: '' },
      };
      const options = {
        ...(upstream.datacenter === deps.datacenter ? {} : { datacenter: upstream.datacenter }),
        ...(token === undefined ? {} : { token }),
      };
      const end = deps.pool.follow('queries.execute', args, options, ({ value, problem }) =>
        following.take(value, problem ?? ''),
      );
      following.wait(`the query ${upstream.name} has not been answered yet`);
      return () => {
        following.close();
        end();
      };
    },
  };
}

class FollowedQuery {
  readonly #deps: QueryResolverDeps;
  readonly #onState: (state: UpstreamState) => void;
  #patience: Timer | undefined;
  #answered = false;
  #execution: QueryExecution | undefined;
  #endpoints: readonly SidecarEndpoint[] = [];
  /** What is given up bit by bit, and how many steps are done. */
  #leaving: { readonly endpoints: readonly SidecarEndpoint[]; step: number; timer: Timer } | undefined;
  #problem = '';

  constructor(deps: QueryResolverDeps, onState: (state: UpstreamState) => void) {
    this.#deps = deps;
    this.#onState = onState;
  }

  /** Tells a problem when no answer comes in time: a sidecar starts without the endpoints then. */
  wait(problem: string): void {
    if (this.#answered) return;
    this.#patience = this.#deps.clock.after(FIRST_ANSWER_MS, () => this.#onState({ endpoints: [], problem }));
  }

  take(execution: QueryExecution | undefined, problem: string): void {
    this.#answered = true;
    this.#patience?.cancel();
    this.#problem = problem;
    if (execution !== undefined && execution !== this.#execution) {
      const before = this.#execution;
      const left = this.#endpoints;
      this.#execution = execution;
      this.#endpoints = queryEndpoints(execution, this.#deps.datacenter);
      if (this.#endpoints.length === 0 || (before !== undefined && execution.Failovers > before.Failovers))
        this.#endRamp();
      else if (before !== undefined && execution.Failovers < before.Failovers && left.length > 0) this.#ramp(left);
    }
    this.#tell();
  }

  close(): void {
    this.#patience?.cancel();
    this.#endRamp();
  }

  #ramp(endpoints: readonly SidecarEndpoint[]): void {
    this.#endRamp();
    const advance = (): void => {
      const ramp = this.#leaving;
      if (ramp === undefined) return;
      ramp.step += 1;
      if (ramp.step >= RAMP_STEPS) this.#leaving = undefined;
      else ramp.timer = this.#deps.clock.after(RAMP_MS / RAMP_STEPS, advance);
      this.#tell();
    };
    this.#leaving = { endpoints, step: 1, timer: this.#deps.clock.after(RAMP_MS / RAMP_STEPS, advance) };
  }

  #endRamp(): void {
    this.#leaving?.timer.cancel();
    this.#leaving = undefined;
  }

  #tell(): void {
    const ramp = this.#leaving;
    const share = ramp === undefined ? 1 : ramp.step / RAMP_STEPS;
    const endpoints =
      ramp === undefined
        ? this.#endpoints
        : [...weighted(this.#endpoints, share), ...weighted(without(ramp.endpoints, this.#endpoints), 1 - share)];
    this.#onState({ endpoints, problem: this.#problem });
  }
}

function without(endpoints: readonly SidecarEndpoint[], others: readonly SidecarEndpoint[]): SidecarEndpoint[] {
  const ids = new Set(others.map(({ id }) => id));
  return endpoints.filter(({ id }) => !ids.has(id));
}

/** The endpoints with weights that sum up to their share, as far as whole numbers above zero allow. */
function weighted(endpoints: readonly SidecarEndpoint[], share: number): readonly SidecarEndpoint[] {
  const sum = endpoints.reduce((total, { weight }) => total + Math.max(weight, 1), 0);
  return endpoints.map((endpoint) => ({
    ...endpoint,
    weight: Math.max(1, Math.round((Math.max(endpoint.weight, 1) / sum) * share * RAMP_WEIGHT)),
  }));
}
