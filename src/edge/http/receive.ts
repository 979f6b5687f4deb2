import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { BodyIntake } from './body.ts';
import { HttpApiRequest } from './exchange.ts';
import type { Route } from './route.ts';

export interface ReceiveDeps {
  readonly bodies: BodyIntake;
  readonly clock: Clock;
  /** Time to decide a write once its body is there, milliseconds. */
  readonly decideMs: number;
}

/**
 * The routes, with the body of a change taken in first. What stands around them (who may ask this at all) has its say
 * before: a request that is refused there leaves nothing behind.
 */
export function receiveBodies(routes: readonly Route[], { bodies, clock, decideMs }: ReceiveDeps): readonly Route[] {
  return routes.map((route) => {
    if (route.method === 'GET' || route.body === 'stream') return route;
    return {
      ...route,
      async handle(request) {
        if (!(request instanceof HttpApiRequest)) return route.handle(request);
        await request.receive(bodies, route.bodyLimit);
        const limit = clock.after(decideMs, () =>
          request.controller.abort(new IsthmusError('deadline', `not decided within ${decideMs} ms`)),
        );
        try {
          return await route.handle(request);
        } finally {
          limit.cancel();
        }
      },
    };
  });
}
