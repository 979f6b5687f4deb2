import { bucketOf } from '../../lib/address.ts';
import type { Logger } from '../../telemetry/types.ts';
import { HttpApiRequest } from './exchange.ts';
import type { PassedOver } from './passed-over.ts';
import type { ApiResponse, Route } from './route.ts';

/** Names the fields of a request's body that were passed over, separated by commas. */
const UNKNOWN_FIELDS_HEADER = 'X-Isthmus-Unknown-Fields';

/** Addresses whose fields are remembered; the one that was first seen goes first. */
const MAX_CLIENTS = 1_024;
/** Fields of one address that are logged. */
export const MAX_LOGGED = 64;

/** Logs each unknown field once for each client. */
export class UnknownFieldLog {
  readonly #log: Logger;
  readonly #seen = new Map<string, Set<string>>();

  constructor(log: Logger) {
    this.#log = log;
  }

  report(client: string, endpoint: string, paths: readonly string[]): void {
    const seen = this.#seenOf(client);
    const fresh = paths.filter((path) => !seen.has(path)).slice(0, MAX_LOGGED - seen.size);
    if (fresh.length === 0) return;
    for (const path of fresh) seen.add(path);
    this.#log.warn('a request has fields that are not known and were passed over', {
      client,
      endpoint,
      fields: fresh.join(','),
      ...(seen.size >= MAX_LOGGED ? { more: 'further ones of this client are not logged' } : undefined),
    });
  }

  #seenOf(client: string): Set<string> {
    const known = this.#seen.get(client);
    if (known !== undefined) return known;
    const oldest = this.#seen.size >= MAX_CLIENTS ? this.#seen.keys().next().value : undefined;
    if (oldest !== undefined) this.#seen.delete(oldest);
    const seen = new Set<string>();
    this.#seen.set(client, seen);
    return seen;
  }
}

/** The routes, with what was passed over of a body shown in a header and logged. */
export function reportUnknownFields(routes: readonly Route[], log: UnknownFieldLog): readonly Route[] {
  return routes.map((route) => {
    if (route.body === 'stream') return route;
    return {
      ...route,
      async handle(request) {
        if (!(request instanceof HttpApiRequest)) return route.handle(request);
        try {
          return named(await route.handle(request), request.passedOver);
        } finally {
          const { passedOver, remoteAddress } = request;
          if (passedOver !== undefined)
            log.report(bucketOf(remoteAddress) ?? '', `${route.method} ${route.path}`, passedOver.paths);
        }
      },
    };
  });
}

function named(answer: ApiResponse, passedOver: PassedOver | undefined): ApiResponse {
  if (passedOver === undefined) return answer;
  return { ...answer, headers: { ...answer.headers, [UNKNOWN_FIELDS_HEADER]: passedOver.paths.join(',') } };
}
