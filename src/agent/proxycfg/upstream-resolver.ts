import type { Clock, Timer } from '../../lib/clock.ts';
import type { SidecarEndpoint, SidecarUpstream } from '../../model/sidecar.ts';
import type { WatchPool } from '../cache/watch-pool.ts';
import { endpointsOf } from './endpoints.ts';

/** Where an upstream leads now. `problem` says why that can't be followed; the last known endpoints stay. */
export interface UpstreamState {
  readonly endpoints: readonly SidecarEndpoint[];
  readonly problem: string;
}

/** Follows where one kind of upstream leads. */
export interface UpstreamResolver {
  /** Calls `onState` soon, even when nothing can be reached, and after every change; returns the function that ends it. */
  follow(
    upstream: SidecarUpstream,
    options: { readonly token?: string },
    onState: (state: UpstreamState) => void,
  ): () => void;
}

/** By upstream type. A type without a resolver leads nowhere, and says so. */
export type UpstreamResolvers = Readonly<Partial<Record<SidecarUpstream['type'], UpstreamResolver>>>;

export interface ServiceResolverDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly datacenter: string;
  readonly clock: Clock;
}

/** A sidecar waits this long for the first endpoints of an upstream before it starts without them, milliseconds. */
export const FIRST_ANSWER_MS = 2_000;

/** Upstreams of type service: the healthy instances of the service in one datacenter. */
export function createServiceResolver(deps: ServiceResolverDeps): UpstreamResolver {
  return {
    follow(upstream, { token }, onState) {
      const { name, datacenter } = upstream;
      let known: readonly SidecarEndpoint[] = [];
      let lastInstances: unknown;
      let patience: Timer | undefined = deps.clock.after(FIRST_ANSWER_MS, () => {
        patience = undefined;
        onState({ endpoints: known, problem: `no answer from datacenter ${datacenter} yet` });
      });
      const options = {
        ...(datacenter === deps.datacenter ? {} : { datacenter }),
        ...(token === undefined ? {} : { token }),
      };
      const end = deps.pool.follow('health.service', { service: name, connect: true }, options, (state) => {
        patience?.cancel();
        patience = undefined;
        if (state.value !== undefined && state.value !== lastInstances) {
          lastInstances = state.value;
          known = endpointsOf(state.value, name, datacenter, deps.datacenter);
        }
        onState({ endpoints: known, problem: state.problem ?? '' });
      });
      return () => {
        patience?.cancel();
        end();
      };
    },
  };
}
